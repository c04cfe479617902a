//! Strangers at the relay's port, a stranger who is let in, and a relay that lies.

use std::io::{Read as _, Write as _};

use chat_core::transport::MAX_FRAME_BYTES;
use chat_core::wire::relay::Refusal;
use chat_core::wire::{Body, Envelope, FromRelay, Recipient, ToRelay};
use chat_core::{Address, EnvelopeId, Identity, MessageId, PeerId};
use chat_hostile::forge::{Forger, fresh};
use chat_hostile::lie::{self, Hears};
use chat_hostile::mangle::{flips, garbage};
use chat_hostile::raw::{TcpPeer, TcpStep, UdpPeer, UdpStep};
use chat_hostile::stack::transport;
use chat_hostile::{Clock, Desk, LyingRelay, Stack, Stranger};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use super::*;

fn stranger(n: u8) -> Identity {
    Identity::from_seed(&[n; 32])
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

impl Scenario {
    fn stack(&self) -> Stack {
        Stack::of(self.profile)
    }

    fn id(&self, person: usize) -> PeerId {
        self.people[person].peer_id().parse().expect("a peer id")
    }

    /// Anything at any step of the transport's handshake, at the relay's own port.
    pub fn strangers_at_the_port(&mut self) {
        let address = self.relay.address().to_owned();
        let cases = |genuine: &[u8]| {
            let mut all = flips(genuine, genuine.len() / 5 + 1);
            all.extend([genuine[..genuine.len() / 2].to_vec(), garbage(3, 500), SHOUT.into()]);
            all
        };
        match self.profile.network {
            // Of TLS, a library's: bytes that begin as its records do, and others.
            Network::Tcp if self.profile.transport == "tls" => {
                let hello = [&[0x16, 3, 1, 0, 80, 1, 0, 0, 76, 3, 3][..], &[7; 74]].concat();
                for case in cases(&hello) {
                    let mut stream = std::net::TcpStream::connect(&address).expect("the relay's port");
                    stream.write_all(&case).expect("it is taken");
                    stream.shutdown(std::net::Shutdown::Write).ok();
                    stream.read_to_end(&mut Vec::new()).ok();
                }
            }
            Network::Tcp => {
                for step in TcpStep::ALL {
                    let number = cases(&TcpPeer::at(&address, &stranger(1), step).genuine(step)).len();
                    for n in 0..number {
                        let mut peer = TcpPeer::at(&address, &stranger(1), step);
                        let genuine = peer.genuine(step);
                        peer.write(&cases(&genuine)[n]);
                        peer.half_close();
                        peer.closed_after();
                    }
                }
            }
            // Of QUIC too: bytes that begin as a first packet does.
            Network::Udp if self.profile.transport == "quic" => {
                let socket = std::net::UdpSocket::bind((self.world.ip(), 0)).expect("a port");
                let initial = [&[0xc3, 0, 0, 0, 1, 8][..], &[7; 1200]].concat();
                for case in cases(&initial) {
                    socket.send_to(&case, &address).expect("it is sent");
                }
            }
            Network::Udp => {
                for step in UdpStep::ALL {
                    let mut peer = UdpPeer::at(self.world.ip().into(), &address, &stranger(1), step);
                    let genuine = peer.genuine(step);
                    cases(&genuine).iter().for_each(|datagram| peer.send(datagram));
                }
            }
        }
        self.people[0].wait_state(&self.people[0].send(NICKS[1], &self.canary), "delivered");
    }

    /// A stranger who was let in: it is refused in others' names, with too much, with nonsense; it has a genuine session with
    /// one of the two and uses it for what no client says.
    pub fn a_stranger_inside(&mut self) {
        let runtime = runtime();
        let [one, two] = [0, 1].map(|person| self.id(person));
        let (relay, canary) = (Address::new(self.relay.address()), self.canary.clone());
        let transport = transport(self.profile.transport);
        let forger = Forger::new(self.stack(), stranger(7));
        runtime.block_on(async {
            let mut mallory = Stranger::welcomed(&*transport, &relay, &stranger(7)).await;
            let signed = forger.signed("mallory");
            mallory.say(&ToRelay::Publish { bundle: signed.clone() }).await;
            let theirs = bundle_of(&mut mallory, one).await;
            let mut talk = forger.begin(&signed, &theirs);
            let hello = talk.plaintext(Body::Text(canary.clone()));
            let genuine = talk.seal(&hello);
            assert_eq!(mallory.submit(genuine.clone()).await, Ok(()));
            let in_others_name = Envelope { from: two, id: EnvelopeId(fresh()), ..genuine.clone() };
            assert_eq!(mallory.submit(in_others_name).await, Err(Refusal::NotAllowed));
            let mut too_large = genuine.clone();
            too_large.frame = vec![0; (1 << 20) + (1 << 19) + 1];
            assert_eq!(mallory.submit(too_large).await, Err(Refusal::TooLarge));
            let mut flipped = Envelope { id: EnvelopeId(fresh()), ..genuine.clone() };
            flipped.frame[30] ^= 1;
            let relabelled = Envelope { id: EnvelopeId(fresh()), message: MessageId(fresh()), ..genuine };
            let in_room = talk.plaintext(Body::RoomText(canary.clone()));
            let in_room = talk.seal(&in_room);
            let nonsense = talk.seal_bytes(canary.as_bytes()).expect("it is sealed");
            let nonsense = talk.envelope(talk.conversation(), MessageId(fresh()), nonsense);
            for odd in [flipped, relabelled, in_room, nonsense] {
                assert_eq!(mallory.submit(odd).await, Ok(()), "the relay is blind");
            }
            mallory.say(&ToRelay::Publish { bundle: flips(&signed, signed.len() / 2).remove(1) }).await;
            assert_eq!(mallory.refusal().await, Refusal::NotAllowed);
            for last in [vec![0xff; 64], SHOUT.into(), vec![0; MAX_FRAME_BYTES]] {
                let mut mallory = Stranger::welcomed(&*transport, &relay, &stranger(8)).await;
                mallory.say_bytes(last).await;
                mallory.last_words().await;
            }
        });
        self.people[0].wait_event("alarm", &[("kind", "tampered")]);
    }

    /// Another relay, which alters, repeats and readdresses, names another key for one of them, speaks nonsense, and
    /// refuses; and is honest at last.
    pub fn a_lying_relay(&mut self) {
        let runtime = runtime();
        let lying = runtime.block_on(async {
            let transport = transport(self.profile.transport);
            LyingRelay::start(&*transport, &self.world.any_port(), Clock::new()).await
        });
        let place = lying.address().place.clone();
        self.leave();
        self.people.iter_mut().for_each(|person| person.restart_at(&place));
        let [one, two] = [0, 1].map(|person| self.id(person));
        self.people[0].wait_state(&self.people[0].send(NICKS[1], &self.canary), "delivered");
        let of_both = |it: &&Envelope| it.from == one && it.to == Recipient::Peer(two);
        let genuine =
            lying.with(|desk| desk.submitted().iter().rfind(of_both).cloned()).expect("it was sent");
        let anew = || Envelope { id: EnvelopeId(fresh()), ..genuine.clone() };
        let mut flipped = anew();
        flipped.frame[20] ^= 1;
        let relabelled = Envelope { message: MessageId(fresh()), ..anew() };
        let elsewhere = Envelope { to: Recipient::Peer(one), ..anew() };
        let mallory = Forger::new(self.stack(), stranger(9));
        lying.with(|desk| {
            [flipped, relabelled, anew(), elsewhere].into_iter().for_each(|it| desk.hand(two, it));
            desk.say(two, &FromRelay::Peer { bundle: mallory.signed(NICKS[0]), online: true });
        });
        let [person, other] = &self.people;
        for kind in ["tampered", "replayed"] {
            other.wait_event("alarm", &[("kind", kind)]);
        }
        other.wait_event("peer.key_changed", &[]);
        lying.with(|desk| desk.say_bytes(one, b"HTTP/1.1 200 OK".to_vec()));
        person.wait_event("link.down", &[]);
        // As soon as the name's owner has gone, what is for that owner waits for a decision: the name stays where it was.
        other.wait("to be asked", |events| {
            let asked = |event: &Event| event.method == "peer.key_changed" && event.params["held"] == true;
            events.iter().any(asked).then_some(())
        });
        other.ask("peer.accept_key", json!({ "peer": one.to_string() }));
        lying.lie(Hears(|desk: &mut Desk, from, record| match record {
            ToRelay::Submit { envelopes } => {
                let refused = |it: &Envelope| FromRelay::Refused { id: it.id, why: Refusal::Storage };
                envelopes.iter().map(refused).for_each(|record| desk.say(from, &record));
                None
            }
            other => Some(other),
        }));
        let id = person.send(&two.to_string(), &self.canary);
        person.wait("a reason", |events| {
            let of_it = |event: &&Event| event.is("msg.status", &[("id", &id)]);
            events.iter().filter(of_it).find_map(|event| event.text("reason").map(str::to_owned))
        });
        lying.lie(lie::repeat_envelopes(2));
        person.wait_state(&id, "delivered");
        assert!(lying.be_honest() > 5);
    }
}

async fn bundle_of(stranger: &mut Stranger, peer: PeerId) -> Vec<u8> {
    loop {
        stranger.say(&ToRelay::Find { peer: Some(peer), nick: None }).await;
        let answer = |record: &FromRelay| match record {
            FromRelay::Peer { bundle, .. } => Some(Some(bundle.clone())),
            FromRelay::Unknown { .. } | FromRelay::Error { .. } => Some(None),
            _ => None,
        };
        if let Some(bundle) = stranger.wait(answer).await {
            return bundle;
        }
    }
}
