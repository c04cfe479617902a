//! The framing of tcp. The first byte chooses: any bytes, any bytes behind a preamble, or frames that were written.
//!
//! However a stream is cut into reads, it gives the same frames and the same end; frames that were written come
//! back. Allocated while reading: 3 bytes for each that came (the frames and the buffer they are cut from), and
//! 256 KiB (four times what is set aside for a frame that is only announced: the buffer doubles, and moves).

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use chat_core::LinkError;
use chat_core::transport::FrameSource;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use transport_tcp::fuzzing;

use crate::alloc::bounded;
use crate::script::Script;

/// `"chattcp"` and the version, as the crate's page has it.
pub const PREAMBLE: [u8; 8] = *b"chattcp\x01";

pub fn prepare() {}

pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let kind = script.byte();
    let cuts = [script.byte(), script.byte()];
    match kind % 3 {
        0 => cut_anywhere(script.rest().to_vec(), cuts),
        1 => cut_anywhere([&PREAMBLE, script.rest()].concat(), cuts),
        _ => written(&mut script, cuts),
    }
}

fn cut_anywhere(stream: Vec<u8>, cuts: [u8; 2]) {
    let limit = 3 * stream.len() + (256 << 10);
    let [one, other] = cuts.map(|cut| {
        let io = Trickle { bytes: stream.clone(), at: 0, cut, pause: cut & 1 == 1 };
        bounded(limit, || read(fuzzing::source(io)))
    });
    assert_eq!(one, other);
}

fn written(script: &mut Script<'_>, cuts: [u8; 2]) {
    let stream = Arc::new(Mutex::new(Vec::new()));
    let mut sink = fuzzing::sink(Slow { into: Arc::clone(&stream), cut: cuts[0] });
    let cx = &mut Context::from_waker(Waker::noop());
    let mut frames = Vec::new();
    while !script.is_over() && frames.len() < 12 {
        let fill = script.byte();
        // Few long frames, so that there is time for many short ones.
        let len = usize::from(script.u16()) * if fill == 255 { 5 } else { 1 } >> (fill & 15);
        let frame = Bytes::from(vec![fill; len]);
        while sink.as_mut().poll_ready(cx).is_pending() {}
        match sink.as_mut().start_send(frame.clone()) {
            Ok(()) => frames.push(Ok(frame)),
            Err(LinkError::FrameTooLarge { len, max }) => assert!(len > max && max == 65535),
            Err(error) => panic!("{error}"),
        }
    }
    loop {
        match sink.as_mut().poll_close(cx) {
            Poll::Ready(closed) => break closed.unwrap(),
            Poll::Pending => {}
        }
    }
    let bytes = std::mem::take(&mut *stream.lock().unwrap());
    let io = Trickle { bytes, at: 0, cut: cuts[1], pause: false };
    assert_eq!(read(fuzzing::source(io)), frames);
}

/// Everything that comes, the error at the end as text.
pub(super) fn read(mut source: FrameSource) -> Vec<Result<Bytes, String>> {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut found = Vec::new();
    loop {
        match source.as_mut().poll_next(cx) {
            Poll::Ready(Some(item)) => found.push(item.map_err(named)),
            Poll::Ready(None) => return found,
            Poll::Pending => {}
        }
        assert!(found.iter().rev().skip(1).all(Result::is_ok), "nothing follows an error");
    }
}

fn named(error: LinkError) -> String {
    match error {
        // The guess is made from what has come by then.
        LinkError::ForeignProtocol { .. } => "foreign".to_owned(),
        other => other.to_string(),
    }
}

/// A stream that gives a few bytes at a time, or all at once.
struct Trickle {
    bytes: Vec<u8>,
    at: usize,
    /// Zero: as much as is wanted.
    cut: u8,
    /// Whether every second read has to wait.
    pause: bool,
}

impl AsyncRead for Trickle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if std::mem::replace(&mut self.pause, false) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.pause = self.cut & 1 == 1;
        // A long stream in pieces of one byte would take all the time there is.
        let least = self.bytes.len() / 512;
        let most = if self.cut == 0 { usize::MAX } else { usize::from(self.cut).max(least) };
        let rest = &self.bytes[self.at..];
        let len = rest.len().min(most).min(buf.remaining());
        buf.put_slice(&rest[..len]);
        self.at += len;
        Poll::Ready(Ok(()))
    }
}

/// A stream that takes a few bytes at a time.
struct Slow {
    into: Arc<Mutex<Vec<u8>>>,
    cut: u8,
}

impl AsyncWrite for Slow {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        // As in `Trickle`.
        let most = (1 + 64 * usize::from(self.cut)).max(bytes.len() / 256);
        let len = bytes.len().min(most);
        self.into.lock().unwrap().extend_from_slice(&bytes[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
