//! The transport `tcp`: a preamble, then frames; in them Noise.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use chat_core::Identity;
use chat_core::transport::Role;
use chat_tests::PATIENCE;
use transport_noise::{Handshake, MESSAGE_LENGTHS, Secured};

use super::{hello, seal};

/// What each side says first.
const PREAMBLE: &[u8] = b"chattcp\x01";
/// A sealed message that is a whole frame.
const LAST: u8 = 0;

/// What a client says before anybody lets it in, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TcpStep {
    /// The preamble.
    Preamble,
    /// Noise message 1.
    First,
    /// Noise message 3.
    Third,
    /// The sealed `Hello`.
    Hello,
}

impl TcpStep {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Preamble, Self::First, Self::Third, Self::Hello];
}

/// A client.
pub struct TcpPeer {
    stream: TcpStream,
    state: State,
    sealed: u64,
}

enum State {
    Shaking(Box<Handshake>),
    In(Secured),
}

impl TcpPeer {
    /// Connects, and says nothing.
    pub fn connect(address: &str, me: &Identity) -> Self {
        let stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        let handshake = Handshake::new(Role::Initiator, "tcp", me).expect("randomness");
        Self { stream, state: State::Shaking(Box::new(handshake)), sealed: 0 }
    }

    /// Is honest until this step comes next.
    pub fn at(address: &str, me: &Identity, step: TcpStep) -> Self {
        let mut peer = Self::connect(address, me);
        for earlier in TcpStep::ALL.into_iter().filter(|earlier| *earlier < step) {
            let bytes = peer.genuine(earlier);
            peer.write(&bytes);
        }
        peer
    }

    /// Let in.
    pub fn welcomed(address: &str, me: &Identity) -> Self {
        let mut peer = Self::at(address, me, TcpStep::Hello);
        let bytes = peer.genuine(TcpStep::Hello);
        peer.write(&bytes);
        peer
    }

    /// What an honest client says at this step, after those before it.
    pub fn genuine(&mut self, step: TcpStep) -> Vec<u8> {
        match step {
            TcpStep::Preamble => PREAMBLE.to_vec(),
            TcpStep::First => {
                let State::Shaking(handshake) = &mut self.state else { panic!("too late") };
                frame(&handshake.write_message().expect("our turn"))
            }
            TcpStep::Third => {
                let mut answer = [0; PREAMBLE.len() + 4 + MESSAGE_LENGTHS[1]];
                self.stream.read_exact(&mut answer).expect("the answer to the first message");
                let State::Shaking(handshake) = &mut self.state else { panic!("too late") };
                handshake.read_message(&answer[PREAMBLE.len() + 4..]).expect("a genuine answer");
                let third = handshake.write_message().expect("our turn");
                let fresh = Handshake::new(Role::Initiator, "tcp", &Identity::from_seed(&[1; 32]));
                let done = std::mem::replace(&mut **handshake, fresh.expect("randomness"));
                self.state = State::In(done.finish().expect("it is finished"));
                frame(&third)
            }
            TcpStep::Hello => self.sealed_frame(LAST, &hello()),
        }
    }

    /// Something sealed, of any kind: 0 is the end of a frame, 1 a part of one, 2 a close.
    pub fn sealed_frame(&mut self, kind: u8, data: &[u8]) -> Vec<u8> {
        self.sealed_bytes(&[&[kind], data].concat())
    }

    /// Any bytes, sealed.
    pub fn sealed_bytes(&mut self, inside: &[u8]) -> Vec<u8> {
        let State::In(secured) = &self.state else { panic!("not that far") };
        let sealed = seal(&secured.send_key, self.sealed, &[], inside);
        self.sealed += 1;
        frame(&sealed)
    }

    /// Writes; the other side may have hung up meanwhile.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).ok();
    }

    /// Says that nothing will follow.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).ok();
    }

    /// Waits until the other side has closed; how many bytes it said before.
    #[track_caller]
    pub fn closed_after(mut self) -> usize {
        let mut said = Vec::new();
        match self.stream.read_to_end(&mut said) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the connection is kept open")
            }
            // A reset is a way to close, too.
            _ => said.len(),
        }
    }
}

/// A frame of the transport.
fn frame(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).expect("a short message");
    [&len.to_be_bytes(), message].concat()
}

/// Somebody who listens: each caller is answered by a function of what it said, byte by byte.
pub struct TcpServer {
    listener: TcpListener,
}

impl TcpServer {
    /// Listens on a port of the system's choice.
    pub fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").expect("a port") }
    }

    /// Where.
    pub fn address(&self) -> String {
        self.listener.local_addr().expect("an address").to_string()
    }

    /// Takes one caller and is honest until its answer: preamble and Noise message 2. Of that, what `turn` makes of it
    /// is said, and that nothing follows; then it waits until the caller hangs up. What the caller said after it, in bytes.
    pub fn answer(&self, me: &Identity, turn: impl FnOnce(Vec<u8>) -> Vec<u8>) -> usize {
        let (mut stream, answer) = self.genuine(me);
        stream.write_all(&turn(answer)).ok();
        stream.shutdown(Shutdown::Write).ok();
        rest_of(stream)
    }

    /// As [`TcpServer::answer`], but in the middle of its answer it stalls: behind so many bytes it says nothing more, and
    /// keeps the connection open.
    pub fn stall(&self, me: &Identity, after: usize) -> usize {
        let (mut stream, answer) = self.genuine(me);
        stream.write_all(&answer[..after]).ok();
        rest_of(stream)
    }

    /// One caller, and what an honest listener answers.
    fn genuine(&self, me: &Identity) -> (TcpStream, Vec<u8>) {
        let (mut stream, _) = self.listener.accept().expect("a caller");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut called = [0; PREAMBLE.len() + 4 + MESSAGE_LENGTHS[0]];
        stream.read_exact(&mut called).expect("preamble and first message");
        let mut handshake = Handshake::new(Role::Responder, "tcp", me).expect("randomness");
        handshake.read_message(&called[PREAMBLE.len() + 4..]).expect("a genuine first message");
        let second = frame(&handshake.write_message().expect("our turn"));
        (stream, [PREAMBLE, &second].concat())
    }
}

/// Until it hangs up.
fn rest_of(mut stream: TcpStream) -> usize {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap_or_default();
    rest.len()
}
