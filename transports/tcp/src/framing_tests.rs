use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

fn counters() -> Arc<Counters> {
    Arc::default()
}

/// A reader that has been greeted, and the other end of its bytes.
async fn reader(room: usize) -> (Reader<DuplexStream>, DuplexStream) {
    let (near, mut far) = duplex(room);
    far.write_all(&PREAMBLE).await.unwrap();
    let mut reader = Reader::new(near, counters());
    reader.preamble().await.unwrap();
    (reader, far)
}

/// The error that must come without waiting for more bytes.
fn error_now(reader: &mut Reader<DuplexStream>) -> LinkError {
    let item = reader.next().now_or_never().expect("refused at once, not after more bytes");
    item.unwrap().unwrap_err()
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// A stream that takes what it is given and remembers each write.
#[derive(Default)]
struct Writes {
    written: Vec<Vec<u8>>,
    /// Bytes that fit into one write.
    at_most: Option<usize>,
    shut: bool,
}

impl AsyncWrite for Writes {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        all.truncate(self.at_most.unwrap_or(all.len()));
        let len = all.len();
        self.written.push(all);
        Poll::Ready(Ok(len))
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut = true;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn the_bytes_are_those_of_the_documentation() {
    let mut writer = Writer::new(Writes::default(), counters());
    writer.send_preamble();
    writer.send(Bytes::from_static(b"hello")).await.unwrap();
    writer.send(Bytes::new()).await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(writer.io.written.concat(), *b"chattcp\x01\0\0\0\x05hello\0\0\0\0");
    assert!(writer.io.shut);
    assert_eq!(writer.counters.sent.load(Ordering::Relaxed), 21);
    assert!(matches!(writer.send(Bytes::new()).await, Err(LinkError::Closed)));
}

#[tokio::test]
async fn many_waiting_frames_are_one_write() {
    let mut writer = Writer::new(Writes::default(), counters());
    let mut expected = Vec::new();
    for len in [3, 4_000, 0, 1_023, 1_024, 5, 9_000] {
        let bytes = vec![len as u8; len];
        expected.extend(frame(&bytes));
        writer.feed(bytes.into()).await.unwrap();
    }
    assert!(writer.io.written.is_empty());
    writer.flush().await.unwrap();
    assert_eq!(writer.io.written, [expected]);
}

#[tokio::test]
async fn writes_that_take_a_part_only_tear_nothing() {
    for at_most in [1, 3, 1_000] {
        let mut writer = Writer::new(Writes { at_most: Some(at_most), ..Writes::default() }, counters());
        let mut expected = Vec::new();
        for len in [2_000, 0, 7, 1_024] {
            let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            expected.extend(frame(&bytes));
            writer.feed(bytes.into()).await.unwrap();
        }
        writer.flush().await.unwrap();
        assert_eq!(writer.io.written.concat(), expected);
        assert_eq!(writer.waiting, 0);
    }
}

#[tokio::test]
async fn a_sink_whose_bytes_nobody_takes_waits() {
    let (near, _far) = duplex(1_000);
    let mut writer = Writer::new(near, counters());
    let mut accepted = 0;
    while writer.feed(Bytes::from(vec![0; 10_000])).now_or_never().is_some() {
        accepted += 10_004;
    }
    assert!((HIGH_WATER_BYTES..HIGH_WATER_BYTES + 20_000).contains(&accepted), "{accepted}");
    let held: usize = writer.queue.iter().map(Bytes::len).sum::<usize>() + writer.tail.len();
    assert_eq!((held, held), (writer.waiting, accepted - 1_000));
}

#[tokio::test]
async fn frames_come_out_of_bytes_one_by_one_and_all_at_once() {
    let frames: [&[u8]; 4] = [b"one", b"", &[7; 20_000], b"four"];
    let bytes: Vec<u8> = frames.iter().flat_map(|bytes| frame(bytes)).collect();
    for step in [1, 2, 5, 8_192, bytes.len()] {
        let (mut reader, mut far) = reader(1 << 20).await;
        let mut received = Vec::new();
        for part in bytes.chunks(step) {
            far.write_all(part).await.unwrap();
            // Each `next` that has to wait is dropped.
            while let Some(frame) = reader.next().now_or_never() {
                received.push(frame.unwrap().unwrap());
            }
        }
        assert_eq!(received, frames, "{step} bytes at a time");
        drop(far);
        assert!(reader.next().await.is_none());
        assert_eq!(reader.counters.received.load(Ordering::Relaxed), (8 + bytes.len()) as u64);
    }
}

#[tokio::test]
async fn the_preamble_may_come_byte_by_byte_with_the_first_frame_behind_it() {
    let (near, mut far) = duplex(100);
    let mut reader = Reader::new(near, counters());
    for byte in PREAMBLE {
        assert!(reader.preamble().now_or_never().is_none());
        far.write_all(&[byte]).await.unwrap();
    }
    far.write_all(&frame(b"first")).await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap(), "first");
}

#[tokio::test]
async fn foreign_protocols_are_named_at_their_first_bytes() {
    for (bytes, guess) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "looks like HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "looks like TLS"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "looks like SSH"),
        (b"{}", "looks like JSON"),
        (b"chatter", "looks like text"),
        (b"\0", "unknown bytes"),
        (b"chattcp\x02", "looks like another version of this transport"),
        (b"chattcq\x01", "unknown bytes"),
    ] {
        let (near, mut far) = duplex(100);
        far.write_all(bytes).await.unwrap();
        let mut reader = Reader::new(near, counters());
        let error = error_now(&mut reader);
        assert!(matches!(error, LinkError::ForeignProtocol { looks_like } if looks_like == guess), "{error}");
        assert!(reader.next().await.is_none(), "an error is told once");
    }
}

#[tokio::test]
async fn an_end_in_the_middle_is_an_error() {
    for bytes in [&b""[..], b"chat", b"chattcp\x01\0", b"chattcp\x01\0\0\0\x02x"] {
        let (near, mut far) = duplex(100);
        far.write_all(bytes).await.unwrap();
        drop(far);
        let mut reader = Reader::new(near, counters());
        let error = error_now(&mut reader);
        assert!(matches!(error, LinkError::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_length_over_the_limit_is_refused_before_memory_is_taken() {
    for (frames, len) in [(0, u32::MAX), (0, 65_536), (2, u32::MAX), (2, MAX_FRAME_BYTES as u32 + 1)] {
        let (mut reader, mut far) = reader(100).await;
        reader.frames = frames;
        far.write_all(&len.to_be_bytes()).await.unwrap();
        let error = error_now(&mut reader);
        assert!(matches!(error, LinkError::FrameTooLarge { len: l, .. } if l == len as usize), "{error}");
        assert!(reader.buf.capacity() <= READ_BYTES + PREAMBLE.len(), "{}", reader.buf.capacity());
    }
}

#[tokio::test]
async fn memory_grows_only_as_bytes_arrive() {
    for (frames, len, most) in [(0, 65_535, 2 * READ_BYTES), (2, MAX_FRAME_BYTES, 2 * MAX_READ_BYTES)] {
        let (mut reader, mut far) = reader(4 << 20).await;
        reader.frames = frames;
        far.write_all(&(len as u32).to_be_bytes()).await.unwrap();
        assert!(reader.next().now_or_never().is_none());
        assert!(reader.buf.capacity() <= most, "{} for nothing", reader.buf.capacity());
        let arrived = len / 2;
        far.write_all(&vec![1; arrived]).await.unwrap();
        assert!(reader.next().now_or_never().is_none());
        assert!(reader.buf.capacity() <= 4 * arrived + most, "{}", reader.buf.capacity());
        far.write_all(&vec![1; len - arrived]).await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap().len(), len);
    }
}

/// Found by fuzzing: a frame kept the whole buffer it was read into, 8 KiB for each that came alone.
#[tokio::test]
async fn small_frames_that_wait_together_keep_no_buffers() {
    let (mut reader, mut far) = reader(1 << 10).await;
    let mut kept = Vec::new();
    for len in [0, 1, 10, 100, 1000] {
        assert!(reader.next().now_or_never().is_none(), "nothing has come");
        far.write_all(&frame(&vec![7; len])).await.unwrap();
        kept.push(reader.next().await.unwrap().unwrap());
    }
    drop(reader);
    for frame in kept {
        let len = frame.len();
        let memory = frame.try_into_mut().map_or(0, |memory| memory.capacity());
        assert!(memory <= 2 * len, "{len} bytes keep {memory}");
    }
}

#[tokio::test]
async fn a_frame_over_the_limit_is_not_sent_and_the_sink_goes_on() {
    let mut writer = Writer::new(Writes::default(), counters());
    for max in [65_535, 65_535, MAX_FRAME_BYTES] {
        let refused = writer.send(vec![0; max + 1].into()).await;
        assert!(matches!(refused, Err(LinkError::FrameTooLarge { max: m, .. }) if m == max), "{refused:?}");
        writer.send(vec![0; max].into()).await.unwrap();
    }
    let sent: usize = writer.io.written.iter().map(Vec::len).sum();
    assert_eq!(sent, 3 * 4 + 2 * 65_535 + MAX_FRAME_BYTES);
}

#[tokio::test]
async fn random_bytes_are_no_panic() {
    let mut seed = 5_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u8
    };
    let mut frames = 0;
    for round in 0..10_000 {
        let mut bytes: Vec<u8> = (0..random()).map(|_| random()).collect();
        if round % 2 == 0 {
            bytes.splice(0..0, PREAMBLE);
            // Zeros make small lengths, so that frames get through too.
            bytes.iter_mut().skip(8).filter(|_| random() % 8 > 0).for_each(|byte| *byte = 0);
        }
        let reader = Reader::new(&bytes[..], counters());
        let items: Vec<_> = reader.collect().now_or_never().unwrap();
        frames += items.iter().filter(|item| item.is_ok()).count();
        let errors = items.iter().filter(|item| item.is_err()).count();
        assert!(errors == 0 || items.last().unwrap().is_err() && errors == 1);
    }
    assert!(frames > 0);
}
