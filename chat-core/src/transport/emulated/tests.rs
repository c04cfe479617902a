//! The layer over a line whose frames a test takes and puts one by one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use futures_util::{SinkExt as _, StreamExt as _};

use super::*;
use crate::identity::Identity;
use crate::transport::{Datagrams, FrameSink, FrameSource, MAX_FRAME_BYTES, NoStats, Peer, Streams};

/// One direction: a frame at a time.
#[derive(Default)]
struct Inner {
    frames: VecDeque<Bytes>,
    is_closed: bool,
    is_dropped: bool,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

#[derive(Clone, Default)]
struct Line(Arc<Mutex<Inner>>);

impl Line {
    fn look<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    fn put(&self, frame: impl Into<Bytes>) {
        self.look(|line| {
            line.frames.push_back(frame.into());
            line.reader.take().into_iter().for_each(Waker::wake);
        });
    }

    /// What was sent, and room for more.
    fn take(&self) -> Option<Bytes> {
        self.look(|line| {
            line.writer.take().into_iter().for_each(Waker::wake);
            line.frames.pop_front()
        })
    }
}

impl Sink<Bytes> for Line {
    type Error = LinkError;
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_flush(cx)
    }
    fn start_send(self: Pin<&mut Self>, frame: Bytes) -> Result<(), LinkError> {
        self.put(frame);
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.look(|line| {
            if line.frames.is_empty() {
                return Poll::Ready(Ok(()));
            }
            line.writer = Some(cx.waker().clone());
            Poll::Pending
        })
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.look(|line| line.is_closed = true);
        Poll::Ready(Ok(()))
    }
}

struct Source(Line);

impl Stream for Source {
    type Item = Result<Bytes, LinkError>;
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.look(|line| match line.frames.pop_front() {
            Some(frame) => {
                line.writer.take().into_iter().for_each(Waker::wake);
                Poll::Ready(Some(Ok(frame)))
            }
            None if line.is_closed => Poll::Ready(None),
            None => {
                line.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.0.look(|line| line.is_dropped = true);
    }
}

struct End {
    sink: FrameSink,
    source: FrameSource,
    streams: Arc<dyn Streams>,
    datagrams: Arc<dyn Datagrams>,
}

fn end(out: &Line, back: &Line) -> End {
    let link = complete(Link {
        peer: Peer::Key(Identity::from_seed(&[1; 32]).public()),
        sink: Box::pin(out.clone()),
        source: Box::pin(Source(back.clone())),
        datagrams: None,
        streams: None,
        stats: Arc::new(NoStats),
    });
    let (streams, datagrams) = (link.streams.unwrap(), link.datagrams.unwrap());
    assert!(streams.emulated() && datagrams.emulated());
    End { sink: link.sink, source: link.source, streams, datagrams }
}

/// One end, and what it says and hears.
fn alone() -> (End, Line, Line) {
    let (out, back) = (Line::default(), Line::default());
    (end(&out, &back), out, back)
}

fn both() -> (End, End) {
    let (there, back) = (Line::default(), Line::default());
    (end(&there, &back), end(&back, &there))
}

async fn polled<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Lets everybody go on as far as they can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

const HELLO: [u8; 3] = [0xc5, 1, 1];

#[tokio::test]
async fn a_link_without_streams_says_the_same_bytes_as_before() {
    let (mut a, out, back) = alone();
    for frame in [&b""[..], b"\x82\x00\x81\x01", &[0; 70_000]] {
        let frame = Bytes::copy_from_slice(frame);
        let (sent, taken) = tokio::join!(a.sink.send(frame.clone()), async {
            settle().await;
            out.take()
        });
        sent.unwrap();
        assert_eq!(taken.unwrap(), frame);
        back.put(frame.clone());
        assert_eq!(a.source.next().await.unwrap().unwrap(), frame);
    }
    drop((a.streams, a.datagrams));
    a.sink.close().await.unwrap();
    assert!(out.take().is_none() && out.look(|line| line.is_closed));
}

#[tokio::test]
async fn any_frame_of_the_links_own_arrives_as_it_is() {
    let (mut a, mut b) = both();
    let longest = |first: &[u8], len| Bytes::from([first, &vec![9; len - first.len()]].concat());
    for frame in [
        longest(&HELLO, 3),
        longest(&[0xc5], 1),
        longest(&[0xc5, 0xc5], MAX_FRAME_BYTES - 1),
        longest(&[0xc5, 0xc5, 0xc5], MAX_FRAME_BYTES),
        longest(&[0xc5, 7], MAX_FRAME_BYTES),
        longest(&[7], MAX_FRAME_BYTES),
    ] {
        let (sent, came) = tokio::join!(a.sink.send(frame.clone()), b.source.next());
        sent.unwrap();
        assert!(came.unwrap().unwrap() == frame);
    }
    assert!(matches!(
        a.sink.send(longest(&[0xc5], MAX_FRAME_BYTES + 1)).await,
        Err(LinkError::FrameTooLarge { .. })
    ));
}

/// However much waits in streams and datagrams: before a frame of the link's own goes only what the line has already.
#[tokio::test]
async fn chat_goes_first() {
    let (mut a, out, _back) = alone();
    for number in 0..3_u8 {
        let (mut sink, source) = a.streams.open().await.unwrap();
        tokio::spawn(async move {
            let _source = source;
            sink.send(Bytes::from(vec![number; 200_000])).await
        });
    }
    for _ in 0..40 {
        a.datagrams.send(Bytes::from_static(b"datagram")).unwrap();
    }
    settle().await;
    // The greeting and the openings; what is so short goes at once.
    for _ in 0..4 {
        settle().await;
        assert!(matches!(out.take().unwrap()[..2], [0xc5, 1 | 2]));
    }
    let (say, mut said) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(chat) = said.recv().await {
            a.sink.send(chat).await.unwrap();
        }
        a
    });
    for round in 0..20_u8 {
        // Something of others is on the line, and more waits.
        settle().await;
        assert!(out.look(|line| line.frames.len()) == 1);
        let chat = Bytes::from(vec![0x82, round]);
        say.send(chat.clone()).await.unwrap();
        settle().await;
        assert!(out.take().unwrap().len() <= CHUNK_BYTES + 7);
        settle().await;
        assert_eq!(out.take().unwrap(), chat);
    }
}

/// Whoever wanted to say something and was dropped holds up nobody.
#[tokio::test]
async fn who_goes_without_a_word_holds_up_nobody() {
    let (mut a, out, _back) = alone();
    let (mut sink, _source) = a.streams.open().await.unwrap();
    tokio::spawn(async move { sink.send(Bytes::from(vec![1; 200_000])).await });
    let mut last = Bytes::new();
    // The greeting, the opening, and thirteen pieces.
    for _ in 0..15 {
        settle().await;
        drop(polled(&mut Box::pin(a.sink.send(Bytes::from_static(b"never said")))).await);
        last = out.take().unwrap();
        assert_eq!(last[0], 0xc5);
    }
    assert_eq!((last[1], last[6]), (3, 1), "the last piece of the frame");
}

#[tokio::test]
async fn streams_take_turns_and_leave_datagrams_theirs() {
    let (a, out, _back) = alone();
    let mut kept = Vec::new();
    for _ in 0..3 {
        let (mut sink, source) = a.streams.open().await.unwrap();
        kept.push(source);
        tokio::spawn(async move {
            sink.send(Bytes::from(vec![7; 160_000])).await?;
            sink.send(Bytes::from(vec![7; 160_000])).await
        });
    }
    (0..6).for_each(|_| a.datagrams.send(Bytes::from_static(b"d")).unwrap());
    let mut said = Vec::new();
    loop {
        settle().await;
        let Some(frame) = out.take() else { break };
        match (frame[1], frame.get(5)) {
            (3, Some(stream)) => said.push(*stream),
            (8, _) => said.push(b'd'),
            _ => {}
        }
    }
    assert_eq!(said[..12], [b'd', 0, b'd', 1, b'd', 2, b'd', 0, b'd', 1, b'd', 2]);
    let data: Vec<u8> = said.into_iter().filter(|&of| of != b'd').collect();
    assert!(data.chunks(3).all(|turn| turn == [0, 1, 2]), "{data:?}");
    // 256 KiB each, and no more before somebody reads.
    assert!((42..=48).contains(&data.len()), "{}", data.len());
}

#[tokio::test]
async fn who_breaks_a_rule_ends_the_link_with_the_rule() {
    let open = |number: u8| vec![0xc5, 2, 0, 0, 0, number];
    let data = |bytes: usize, last| [&[0xc5, 3, 0, 0, 0, 0, last][..], &vec![0; bytes]].concat();
    let finish = vec![0xc5, 4, 0, 0, 0, 0];
    let reset = vec![0xc5, 5, 0, 0, 0, 0, 0];
    let filled = std::iter::repeat_n(data(CHUNK_BYTES, 0), 16).chain([data(1, 0)]);
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("an unknown kind", vec![vec![0xc5, 0x0a]]),
        ("second greeting", vec![HELLO.to_vec()]),
        ("window", [open(0)].into_iter().chain(filled).collect()),
        ("behind the end", vec![open(0), finish.clone(), data(1, 1)]),
        ("behind its end", vec![open(0), finish.clone(), finish.clone()]),
        ("within a frame", vec![open(0), data(1, 0), finish]),
        ("behind its end", vec![open(0), reset.clone(), reset]),
        ("not open", vec![data(1, 1)]),
        ("in their order", vec![open(1)]),
        ("in their order", vec![open(0), open(0)]),
        ("more streams", (0..17).map(open).collect()),
        ("never opened", vec![vec![0xc5, 6, 0x80, 0, 0, 0]]),
        ("never opened", vec![vec![0xc5, 7, 0, 0, 0, 0, 0, 0, 0, 1]]),
        ("never sent", vec![open(0), vec![0xc5, 7, 0, 0, 0, 0, 0, 0, 0, 1]]),
        ("two marks", vec![vec![0xc5, 9], vec![0xc5, 9]]),
        ("would have fitted", vec![vec![0xc5, 9], vec![1]]),
    ];
    for (rule, frames) in cases {
        let (mut a, out, back) = alone();
        back.put(Bytes::from_static(b"before"));
        back.put(HELLO.to_vec());
        frames.into_iter().for_each(|frame| back.put(frame));
        assert_eq!(a.source.next().await.unwrap().unwrap(), "before");
        let error = a.source.next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains(rule), "{rule}: {error}");
        assert!(a.source.next().await.is_none(), "{rule}");
        assert!(back.look(|line| line.is_dropped), "{rule}");
        assert!(a.sink.send(Bytes::new()).await.is_err() && a.streams.open().await.is_err(), "{rule}");
        assert!(a.streams.accept().await.is_err() && a.datagrams.recv().await.is_err(), "{rule}");
        drop(out);
    }
    let (mut a, _out, back) = alone();
    back.put(open(0));
    assert!(a.source.next().await.unwrap().unwrap_err().to_string().contains("no greeting"));
}

#[tokio::test]
async fn a_later_version_is_greeted_in_ours() {
    let (mut a, out, back) = alone();
    back.put(vec![0xc5, 1, 9, 8, 7]);
    back.put(vec![0xc5, 8, 42]);
    back.put(Bytes::from_static(b"chat"));
    assert_eq!(a.source.next().await.unwrap().unwrap(), "chat");
    assert_eq!(a.datagrams.recv().await.unwrap(), [42][..]);
    assert!(out.take().is_none(), "nothing was to be said");
}

#[tokio::test]
async fn what_nobody_takes_is_bounded() {
    let (mut a, _out, back) = alone();
    back.put(HELLO.to_vec());
    for number in 0..20_000_u32 {
        back.put([&[0xc5, 8][..], &number.to_be_bytes()].concat());
    }
    back.put(Bytes::from_static(b"chat"));
    assert_eq!(a.source.next().await.unwrap().unwrap(), "chat");
    let mut kept = Vec::new();
    while let Poll::Ready(datagram) = polled(&mut a.datagrams.recv()).await {
        kept.push(datagram.unwrap());
    }
    assert_eq!(kept.len(), MAX_DATAGRAMS_IN);
    assert_eq!(kept.last().unwrap()[..], 19_999_u32.to_be_bytes(), "the oldest give way");
}

/// A stream that was opened, filled, finished and stopped keeps its place until somebody has taken it.
#[tokio::test]
async fn streams_that_ended_before_they_were_taken_count() {
    let (mut a, out, back) = alone();
    back.put(HELLO.to_vec());
    for number in 0..17_u8 {
        back.put(vec![0xc5, 2, 0, 0, 0, number]);
        back.put(vec![0xc5, 3, 0, 0, 0, number, 1, 1, 2, 3]);
        back.put(vec![0xc5, 4, 0, 0, 0, number]);
        back.put(vec![0xc5, 6, 0, 0, 0, number]);
    }
    let error = a.source.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("more streams"), "{error}");
    assert!(out.take().is_none());
    // Those that were cut are not worth a place.
    let (a, out, back) = alone();
    back.put(HELLO.to_vec());
    for number in 0..100_u8 {
        back.put(vec![0xc5, 2, 0, 0, 0, number]);
        back.put(vec![0xc5, 5, 0, 0, 0, number, 0]);
        back.put(vec![0xc5, 6, 0, 0, 0, number]);
        let mut accept = std::pin::pin!(a.streams.accept());
        let answered = async {
            loop {
                assert!(polled(&mut accept).await.is_pending());
                if out.take().is_some_and(|said| said[..] == [0xc5, 5, 0x80, 0, 0, number, 0]) {
                    break;
                }
                settle().await;
            }
        };
        answered.await;
    }
}
