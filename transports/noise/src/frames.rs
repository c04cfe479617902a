//! Frames of any length over sealed messages: the sink and the source that a secured link gives.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use chat_core::LinkError;
use chat_core::transport::{FrameSink, FrameSource, MAX_FRAME_BYTES, ReceiveMemory};
use futures_util::{Sink, Stream};

use crate::messages::{FULL, MALFORMED, Message, Opener, Sealer};

/// Seals each frame into one message or, if it is long, into several.
pub(crate) struct SealedSink {
    inner: FrameSink,
    sealer: Sealer,
    /// What of the last frame is not sealed yet, because the link below had no room.
    rest: Bytes,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    /// The close is sent, or was received.
    Closed,
    /// Something failed, and what follows would not fit what went before.
    Broken,
}

impl SealedSink {
    pub(crate) fn new(inner: FrameSink, sealer: Sealer) -> Self {
        Self { inner, sealer, rest: Bytes::new(), state: State::Open }
    }

    /// Hands a message down, for which there must be room.
    fn send_message(&mut self, message: Message<&[u8]>) -> Result<(), LinkError> {
        let sent = self.sealer.seal(message).and_then(|sealed| self.inner.as_mut().start_send(sealed));
        if sent.is_err() {
            self.state = State::Broken;
        }
        sent
    }

    /// Seals and hands down as much of the frame as one message takes.
    fn send_part(&mut self, mut frame: Bytes) -> Result<(), LinkError> {
        if frame.len() <= FULL {
            return self.send_message(Message::Last(&frame));
        }
        let part = frame.split_to(FULL);
        self.rest = frame;
        self.send_message(Message::More(&part))
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        while !self.rest.is_empty() && self.state == State::Open {
            ready!(self.inner.as_mut().poll_ready(cx))?;
            let rest = std::mem::take(&mut self.rest);
            self.send_part(rest)?;
        }
        Poll::Ready(self.check())
    }

    fn check(&self) -> Result<(), LinkError> {
        match self.state {
            State::Open => Ok(()),
            State::Closed => Err(LinkError::Closed),
            State::Broken => Err(broken()),
        }
    }
}

fn broken() -> LinkError {
    LinkError::Io(io::Error::new(io::ErrorKind::BrokenPipe, "the link has failed before"))
}

impl Sink<Bytes> for SealedSink {
    type Error = LinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.poll_rest(cx))?;
        self.inner.as_mut().poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> Result<(), LinkError> {
        self.check()?;
        if frame.len() > MAX_FRAME_BYTES {
            return Err(LinkError::FrameTooLarge { len: frame.len(), max: MAX_FRAME_BYTES });
        }
        self.send_part(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.poll_rest(cx))?;
        self.inner.as_mut().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.state != State::Closed {
            ready!(self.poll_rest(cx))?;
            ready!(self.inner.as_mut().poll_ready(cx))?;
            self.send_message(Message::Close)?;
            self.state = State::Closed;
        }
        self.inner.as_mut().poll_close(cx)
    }
}

/// Opens messages and joins them to frames.
pub(crate) struct SealedSource {
    inner: FrameSource,
    opener: Opener,
    /// What has come of a frame of which more follows.
    partial: BytesMut,
    memory: ReceiveMemory,
    state: State,
}

impl SealedSource {
    pub(crate) fn new(inner: FrameSource, opener: Opener) -> Self {
        let (partial, memory) = (BytesMut::new(), ReceiveMemory::default());
        Self { inner, opener, partial, memory, state: State::Open }
    }

    /// A frame if the message completes one, an error, or nothing yet.
    fn take(&mut self, message: Message<BytesMut>) -> Result<Option<Bytes>, LinkError> {
        let (data, complete) = match message {
            Message::Last(whole) if self.partial.is_empty() => {
                return Ok(Some(ReceiveMemory::keep(whole.freeze())));
            }
            // One frame has one form: the last part is never empty.
            Message::Last(part) if part.is_empty() => return Err(MALFORMED),
            Message::Last(part) => (part, true),
            Message::More(part) => (part, false),
            Message::Close if self.partial.is_empty() => {
                self.state = State::Closed;
                return Ok(None);
            }
            Message::Close => return Err(MALFORMED),
        };
        let len = self.partial.len() + data.len();
        if len > MAX_FRAME_BYTES {
            return Err(LinkError::FrameTooLarge { len, max: MAX_FRAME_BYTES });
        }
        self.memory.hold(len)?;
        self.partial.extend_from_slice(&data);
        if !complete {
            return Ok(None);
        }
        let frame = ReceiveMemory::keep(std::mem::take(&mut self.partial).freeze());
        self.memory.hold(0)?;
        Ok(Some(frame))
    }
}

impl Stream for SealedSource {
    type Item = Result<Bytes, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while self.state == State::Open {
            let message = match ready!(self.inner.as_mut().poll_next(cx)) {
                Some(Ok(sealed)) => self.opener.open(sealed),
                Some(Err(error)) => Err(error),
                None => Err(cut()),
            };
            match message.and_then(|message| self.take(message)) {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) => {}
                Err(error) => {
                    self.state = State::Broken;
                    (self.partial, self.memory) = Default::default();
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(None)
    }
}

fn cut() -> LinkError {
    LinkError::Io(io::Error::new(io::ErrorKind::UnexpectedEof, "the link was cut without a close"))
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _, stream};
    use zeroize::Zeroizing;

    use super::*;

    /// What the source makes of messages that a peer with the right key, but not with our code, has sent.
    fn received(messages: Vec<Message<&[u8]>>) -> Vec<Result<Bytes, LinkError>> {
        let key = Zeroizing::new([9; 32]);
        let mut sealer = Sealer::new(&key);
        let sealed: Vec<_> = messages.into_iter().map(|message| sealer.seal(message)).collect();
        let source = SealedSource::new(Box::pin(stream::iter(sealed)), Opener::new(&key));
        source.collect().now_or_never().unwrap()
    }

    fn only_error(messages: Vec<Message<&[u8]>>) -> LinkError {
        let mut received = received(messages);
        assert_eq!(received.len(), 1, "{received:?}");
        received.pop().unwrap().unwrap_err()
    }

    #[test]
    fn parts_make_a_frame_and_the_close_makes_the_end() {
        let full = vec![1; FULL];
        let frames =
            received(vec![Message::More(&full), Message::Last(b"x"), Message::Last(b""), Message::Close]);
        let lengths: Vec<_> = frames.into_iter().map(|frame| frame.unwrap().len()).collect();
        assert_eq!(lengths, [FULL + 1, 0]);
    }

    #[test]
    fn a_peer_that_does_not_keep_to_the_form_ends_its_link() {
        let full = vec![1; FULL];
        let over = MAX_FRAME_BYTES.div_ceil(FULL);
        let endless = (0..over).map(|_| Message::More(&full[..])).chain([Message::Last(&full[..])]).collect();
        assert!(matches!(only_error(endless), LinkError::FrameTooLarge { max: MAX_FRAME_BYTES, .. }));
        let error = only_error(vec![Message::More(&full), Message::Close, Message::Last(b"x")]);
        assert!(matches!(error, LinkError::NotAuthenticated(_)), "closed in a frame: {error}");
        let error = only_error(vec![Message::More(&full), Message::Last(b""), Message::Last(b"x")]);
        assert!(matches!(error, LinkError::NotAuthenticated(_)), "an empty last part: {error}");
        let error = only_error(vec![Message::More(&full)]);
        assert!(matches!(error, LinkError::Io(_)), "cut in a frame: {error}");
    }

    #[test]
    fn nothing_after_the_close_is_heard() {
        assert!(received(vec![Message::Close, Message::Last(b"late")]).is_empty());
    }
}
