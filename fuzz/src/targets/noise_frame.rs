//! The messages of a link after its handshake. The script seals them with the right key, as a peer with other code
//! might, or damages them as a stranger does.
//!
//! The frames that come out are the ones that the crate's page promises, counted by a model of it here; frames that
//! were sealed by the sink come back. Allocated: 3 bytes for each that came, and 8 MiB: a frame of 2 MiB,
//! and room to grow into.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use aes_gcm::{AeadInPlace as _, Aes256Gcm, KeyInit as _};
use bytes::Bytes;
use chat_core::LinkError;
use chat_core::transport::MAX_FRAME_BYTES;
use futures_util::{Sink, stream};
use transport_noise::{MAX_MESSAGE_BYTES, fuzzing};

use super::tcp_frame::read;
use crate::alloc::bounded;
use crate::script::Script;

const KEY: [u8; 32] = [3; 32];
const FULL: usize = MAX_MESSAGE_BYTES - 17;

pub fn prepare() {}

pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    if script.byte() & 1 == 0 {
        sealed_by_the_sink(&mut script);
    } else {
        sealed_by_others(&mut script);
    }
}

fn sealed_by_the_sink(script: &mut Script<'_>) {
    let messages = Arc::new(Mutex::new(Vec::new()));
    let mut sink = fuzzing::sink(Box::pin(Collect(Arc::clone(&messages))), KEY);
    let cx = &mut Context::from_waker(Waker::noop());
    let mut frames = Vec::new();
    while !script.is_over() && frames.len() < 8 {
        let fill = script.byte();
        let frame =
            Bytes::from(vec![fill; usize::from(script.u16()) * usize::from(1 + fill / 64) >> (fill & 15)]);
        assert!(sink.as_mut().poll_ready(cx).is_ready());
        sink.as_mut().start_send(frame.clone()).unwrap();
        frames.push(Ok(frame));
    }
    assert!(matches!(sink.as_mut().poll_close(cx), Poll::Ready(Ok(()))));
    let messages = std::mem::take(&mut *messages.lock().unwrap());
    assert_eq!(opened(messages), frames);
}

fn opened(messages: Vec<Bytes>) -> Vec<Result<Bytes, String>> {
    let bytes: usize = messages.iter().map(Bytes::len).sum();
    bounded(3 * bytes + (8 << 20), || {
        read(fuzzing::source(Box::pin(stream::iter(messages.into_iter().map(Ok))), KEY))
    })
}

/// What must come of the messages so far.
#[derive(Default)]
struct Model {
    frames: Vec<Bytes>,
    partial: Vec<u8>,
    /// Closed, or failed.
    over: Option<Result<(), ()>>,
}

impl Model {
    fn takes(&mut self, plaintext: &[u8]) {
        let over = match plaintext.split_first() {
            Some((0, data)) if data.is_empty() && !self.partial.is_empty() => Some(Err(())),
            Some((0, data)) if self.partial.len() + data.len() <= MAX_FRAME_BYTES => {
                self.partial.extend_from_slice(data);
                self.frames.push(std::mem::take(&mut self.partial).into());
                None
            }
            Some((1, data)) if data.len() == FULL && self.partial.len() + FULL <= MAX_FRAME_BYTES => {
                self.partial.extend_from_slice(data);
                None
            }
            Some((2, [])) if self.partial.is_empty() => Some(Ok(())),
            _ => Some(Err(())),
        };
        self.over = self.over.take().or(over);
    }
}

fn sealed_by_others(script: &mut Script<'_>) {
    let (mut messages, mut model, mut number) = (Vec::new(), Model::default(), 0_u64);
    let mut parts = 0;
    while !script.is_over() && model.over.is_none() && messages.len() < 200 {
        let plaintext = match script.byte() % 16 {
            0..=2 => script.short().to_vec(),
            3..=7 => [&[0], script.short()].concat(),
            8 if parts < 40 => {
                parts += 1;
                [&[1][..], &[script.byte(); FULL]].concat()
            }
            9 => {
                let fill = script.byte();
                vec![fill % 4; (usize::from(script.u16()) >> (fill >> 4)).min(FULL + 2)]
            }
            10 | 11 => vec![2],
            _ => {
                let genuine = seal(number, &[&[0], script.short()].concat());
                messages.push(Bytes::from(script.damaged(&genuine)));
                model.over = Some(Err(()));
                break;
            }
        };
        let sealed = seal(number, &plaintext);
        if sealed.len() > MAX_MESSAGE_BYTES {
            model.over = Some(Err(()));
        } else {
            model.takes(&plaintext);
        }
        messages.push(sealed.into());
        number += 1;
    }
    let found = opened(messages);
    let frames: Vec<&Bytes> = found.iter().filter_map(|item| item.as_ref().ok()).collect();
    assert_eq!(frames, model.frames.iter().collect::<Vec<_>>());
    let failed = found.last().is_some_and(Result::is_err);
    // Without a close, the end of what is below is a failure too.
    assert_eq!(failed, !matches!(model.over, Some(Ok(()))));
}

/// Noise §12.4: the nonce is 32 zero bits and the number in network order.
fn seal(number: u64, plaintext: &[u8]) -> Vec<u8> {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    let mut sealed = plaintext.to_vec();
    Aes256Gcm::new(&KEY.into()).encrypt_in_place(&nonce.into(), &[], &mut sealed).unwrap();
    sealed
}

struct Collect(Arc<Mutex<Vec<Bytes>>>);

impl Sink<Bytes> for Collect {
    type Error = LinkError;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }
    fn start_send(self: Pin<&mut Self>, message: Bytes) -> Result<(), LinkError> {
        self.0.lock().unwrap().push(message);
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }
}
