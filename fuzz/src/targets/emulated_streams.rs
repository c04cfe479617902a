//! Streams and datagrams that the core carries over the frames of a link. The first byte chooses: a peer that says anything,
//! or two ends with a line between them that takes few frames at a time.
//!
//! A peer that says anything: frames of the link's own come out as a model of the protocol gives them, until the link ends;
//! whatever the program does meanwhile. Two honest ends: what is sent on a stream comes out of it, whole and in order, and the
//! link does not end. Allocated: 3 bytes for each that came, and 16 MiB: the windows of all streams, and two longest frames.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use chat_core::LinkError;
use chat_core::transport::{Datagrams, FrameSink, FrameSource, Link, NoStats, Peer, Streams, emulated};
use futures_util::{Sink, Stream};

use crate::alloc::bounded;
use crate::parties::alice;
use crate::script::Script;

/// Streams that a program opens here: as many as there may always be.
const MOST: usize = 8;
const MARK: u8 = 0xc5;

pub fn prepare() {}

pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let limit = 3 * data.len() + (16 << 20);
    if script.byte() & 1 == 0 {
        bounded(limit, || any_peer(&mut script));
    } else {
        bounded(limit, || two_ends(&mut script));
    }
}

#[derive(Default)]
struct Inside {
    frames: VecDeque<Bytes>,
    room: usize,
    is_over: bool,
}

#[derive(Clone)]
struct Line(Arc<Mutex<Inside>>);

impl Line {
    fn new(room: usize) -> Self {
        Self(Arc::new(Mutex::new(Inside { room, ..Inside::default() })))
    }

    fn put(&self, frame: Vec<u8>) {
        self.0.lock().unwrap().frames.push_back(frame.into());
    }
}

impl Sink<Bytes> for Line {
    type Error = LinkError;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let line = self.0.lock().unwrap();
        if line.frames.len() < line.room { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
    fn start_send(self: Pin<&mut Self>, frame: Bytes) -> Result<(), LinkError> {
        self.0.lock().unwrap().frames.push_back(frame);
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_ready(cx)
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.0.lock().unwrap().is_over = true;
        Poll::Ready(Ok(()))
    }
}

struct Out(Line);

impl Stream for Out {
    type Item = Result<Bytes, LinkError>;
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut line = self.0.0.lock().unwrap();
        match line.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if line.is_over => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

struct Program {
    sink: FrameSink,
    source: FrameSource,
    streams: Arc<dyn Streams>,
    datagrams: Arc<dyn Datagrams>,
    held: Vec<(Option<FrameSink>, Option<FrameSource>)>,
    own: Vec<Bytes>,
    is_over: bool,
}

impl Program {
    fn new(out: &Line, back: &Line) -> Self {
        let link = emulated::complete(Link {
            peer: Peer::Key(alice().public()),
            sink: Box::pin(out.clone()),
            source: Box::pin(Out(back.clone())),
            datagrams: None,
            streams: None,
            stats: Arc::new(NoStats),
        });
        Self {
            sink: link.sink,
            source: link.source,
            streams: link.streams.unwrap(),
            datagrams: link.datagrams.unwrap(),
            held: Vec::new(),
            own: Vec::new(),
            is_over: false,
        }
    }

    /// Takes the link's own frames that are there.
    fn read(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        // A busy source rests now and then without being empty.
        for _ in 0..4 {
            while let Poll::Ready(item) = self.source.as_mut().poll_next(cx) {
                match item {
                    Some(Ok(frame)) => self.own.push(frame),
                    Some(Err(_)) => self.is_over = true,
                    None => {
                        self.is_over = true;
                        return;
                    }
                }
            }
        }
    }

    fn act(&mut self, script: &mut Script<'_>) {
        let cx = &mut Context::from_waker(Waker::noop());
        let which = script.byte();
        let at = script.below(self.held.len().max(1));
        match which % 8 {
            0 if self.held.len() < MOST => {
                if let Poll::Ready(Ok((sink, source))) = self.streams.open().as_mut().poll(cx) {
                    self.held.push((Some(sink), Some(source)));
                }
            }
            1 => {
                if let Poll::Ready(Ok((sink, source))) = self.streams.accept().as_mut().poll(cx) {
                    self.held.push((Some(sink), Some(source)));
                }
            }
            2 => {
                let frame = Bytes::from(vec![which; usize::from(script.u16())]);
                if let Some((Some(sink), _)) = self.held.get_mut(at)
                    && let Poll::Ready(Ok(())) = sink.as_mut().poll_ready(cx)
                {
                    drop(sink.as_mut().start_send(frame));
                    drop(sink.as_mut().poll_flush(cx));
                }
            }
            3 => {
                if let Some((_, Some(source))) = self.held.get_mut(at) {
                    drop(source.as_mut().poll_next(cx));
                }
            }
            4 => {
                if let Some((Some(sink), _)) = self.held.get_mut(at) {
                    drop(sink.as_mut().poll_close(cx));
                }
            }
            5 => match self.held.get_mut(at) {
                Some((sink, _)) if script.byte() & 1 == 0 => drop(sink.take()),
                Some((_, source)) => drop(source.take()),
                None => {}
            },
            6 => {
                let sent = self.datagrams.send(Bytes::from(script.short().to_vec()));
                assert!(sent.is_ok() || self.is_over || self.link_ended(cx));
                drop(self.datagrams.recv().as_mut().poll(cx));
            }
            _ => {
                if let Poll::Ready(Ok(())) = self.sink.as_mut().poll_ready(cx) {
                    drop(self.sink.as_mut().start_send(Bytes::from(script.short().to_vec())));
                    drop(self.sink.as_mut().poll_flush(cx));
                }
            }
        }
        self.held.retain(|(sink, source)| sink.is_some() || source.is_some());
    }

    fn link_ended(&mut self, cx: &mut Context<'_>) -> bool {
        matches!(self.sink.as_mut().poll_ready(cx), Poll::Ready(Err(_)))
    }
}

/// A frame that a peer might say, genuine more or less.
fn anything(script: &mut Script<'_>) -> Vec<u8> {
    let kind = script.byte();
    let id = [script.byte() & 0x80, 0, 0, script.byte() % 20];
    let of = |kind: u8, body: &[u8]| [&[MARK, kind][..], &id, body].concat();
    match kind % 12 {
        0 => script.short().to_vec(),
        1 => vec![MARK, 1, 1],
        2 => [&[MARK, 2, 0, 0, 0][..], &[id[3]]].concat(),
        3 | 4 => of(3, &[&[kind >> 7], script.short()].concat()),
        5 => of(3, &[&[kind >> 7][..], &vec![kind; usize::from(script.u16()) % (17 << 10)]].concat()),
        6 => of(4, &[]),
        7 => of(5, &[kind >> 7]),
        8 => of(6, &[]),
        9 => of(7, &script.u64().to_be_bytes()[..4]),
        10 => [&[MARK, 8], script.short()].concat(),
        _ => [&[MARK], script.short()].concat(),
    }
}

fn any_peer(script: &mut Script<'_>) {
    let (out, back) = (Line::new(usize::from(script.byte() % 4)), Line::new(0));
    let mut program = Program::new(&out, &back);
    let mut own = Vec::new();
    if script.byte() & 1 == 0 {
        back.put(vec![MARK, 1, 1]);
    }
    let mut steps = 0;
    while !script.is_over() && steps < 400 {
        steps += 1;
        if script.byte() & 1 == 0 {
            let frame = anything(script);
            match &frame[..] {
                [MARK, MARK, ..] => own.push(frame[1..].to_vec()),
                [MARK, ..] => {}
                _ => own.push(frame.clone()),
            }
            back.put(frame);
        } else {
            program.act(script);
        }
        if script.byte() & 3 == 0 {
            // What it said goes its way.
            out.0.lock().unwrap().frames.clear();
        }
        program.read();
    }
    program.read();
    assert!(program.own.iter().zip(&own).all(|(came, sent)| came[..] == sent[..]));
    assert!(program.is_over || program.own.len() == own.len());
}

fn two_ends(script: &mut Script<'_>) {
    let room = 1 + usize::from(script.byte() % 3);
    let (there, back) = (Line::new(room), Line::new(room));
    let mut ends = [Program::new(&there, &back), Program::new(&back, &there)];
    let cx = &mut Context::from_waker(Waker::noop());
    let Poll::Ready(Ok((mut sink, _kept))) = ends[0].streams.open().as_mut().poll(cx) else {
        panic!("the first stream");
    };
    // Before others are opened.
    let mut taken = None;
    for _ in 0..50 {
        drop(sink.as_mut().poll_flush(cx));
        ends.iter_mut().for_each(Program::read);
        if let Poll::Ready(accepted) = ends[1].streams.accept().as_mut().poll(cx) {
            taken = Some(accepted.unwrap());
            break;
        }
    }
    let (_kept_there, mut source) = taken.expect("the other end hears of the first stream");
    let (mut sent, mut came) = (0_u64, 0_u64);
    let frame = |number: u64, len: usize| {
        let mut frame = number.to_be_bytes().to_vec();
        frame.resize(8 + len, number as u8);
        Bytes::from(frame)
    };
    let mut lens = VecDeque::new();
    let mut steps = 0;
    let mut rests = 0;
    // At the end of the script whatever is under way arrives.
    while rests < 600 {
        steps += 1;
        let is_over = script.is_over() || steps > 300;
        rests = if is_over { rests + 1 } else { 0 };
        if !is_over {
            let (who, len) = (usize::from(script.byte() & 1), usize::from(script.u16()) * 2);
            match script.byte() % 4 {
                0 | 1 => {
                    if let Poll::Ready(ready) = sink.as_mut().poll_ready(cx) {
                        ready.unwrap();
                        sink.as_mut().start_send(frame(sent, len)).unwrap();
                        lens.push_back(len);
                        sent += 1;
                    }
                }
                _ => ends[who].act(script),
            }
        }
        drop(sink.as_mut().poll_flush(cx));
        if let Poll::Ready(item) = source.as_mut().poll_next(cx) {
            assert!(item.unwrap().unwrap() == frame(came, lens.pop_front().unwrap()));
            came += 1;
        }
        ends.iter_mut().for_each(Program::read);
        assert!(!ends[0].is_over && !ends[1].is_over);
    }
    assert_eq!(came, sent);
}
