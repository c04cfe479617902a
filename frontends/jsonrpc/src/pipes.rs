//! The two threads of a connection. Each may block for ever on its stream: neither holds up anybody, and
//! the connection leaves without waiting for them.

use std::io::{self, ErrorKind, Read, Write};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// Most bytes of one read.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that may wait for the connection.
const CHUNKS: usize = 4;
/// Pause before trying a stream again that somebody who shares it has made non-blocking.
const RETRY: Duration = Duration::from_millis(10);

/// Reads until the end, an error, or until nobody wants the chunks any more. The channel closes at the end.
pub(crate) fn read_from(
    mut from: impl Read + Send + 'static,
) -> io::Result<mpsc::Receiver<io::Result<Vec<u8>>>> {
    let (chunks, receiver) = mpsc::channel(CHUNKS);
    let pump = move || {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let chunk = match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => Ok(buffer.get(..n).unwrap_or_default().to_vec()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(RETRY);
                    continue;
                }
                Err(error) => Err(error),
            };
            let failed = chunk.is_err();
            if chunks.blocking_send(chunk).is_err() || failed {
                return;
            }
        }
    };
    thread::Builder::new().name("jsonrpc-reader".into()).spawn(pump)?;
    Ok(receiver)
}

/// Writes what it is given. One piece may wait while another is being written.
pub(crate) struct Writer {
    /// Takes whole lines; closed after the stream failed.
    pub(crate) pieces: mpsc::Sender<Vec<u8>>,
    /// Tells how it ended: after `pieces` was dropped and everything was written, or after a failure.
    pub(crate) ended: oneshot::Receiver<io::Result<()>>,
}

/// Starts a writer.
pub(crate) fn write_to(mut to: impl Write + Send + 'static) -> io::Result<Writer> {
    let (pieces, mut receiver) = mpsc::channel::<Vec<u8>>(1);
    let (end, ended) = oneshot::channel();
    let pump = move || {
        let mut result = Ok(());
        while let Some(piece) = receiver.blocking_recv() {
            result = write_all(&mut to, &piece);
            if result.is_err() {
                break;
            }
        }
        drop(receiver);
        // Nobody waits for the result any more if the connection left before.
        end.send(result).ok();
    };
    thread::Builder::new().name("jsonrpc-writer".into()).spawn(pump)?;
    Ok(Writer { pieces, ended })
}

/// As [`Write::write_all`] and [`Write::flush`], but also for a stream that is not blocking.
fn write_all(to: &mut impl Write, mut piece: &[u8]) -> io::Result<()> {
    loop {
        let step = if piece.is_empty() { to.flush().map(|()| None) } else { to.write(piece).map(Some) };
        match step {
            Ok(None) => return Ok(()),
            Ok(Some(0)) => return Err(ErrorKind::WriteZero.into()),
            Ok(Some(n)) => piece = piece.get(n..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(error) => return Err(error),
        }
    }
}

/// Whether an error only says that the other side has gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that is busy or interrupted every other time, and takes three bytes at a time.
    #[derive(Default)]
    struct Fitful {
        calls: usize,
        written: Vec<u8>,
    }

    impl Write for Fitful {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            match self.calls % 3 {
                0 => Err(ErrorKind::WouldBlock.into()),
                1 => Err(ErrorKind::Interrupted.into()),
                _ => {
                    let n = bytes.len().min(3);
                    self.written.extend_from_slice(&bytes[..n]);
                    Ok(n)
                }
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_fitful_stream_gets_every_byte_once() {
        let mut to = Fitful::default();
        write_all(&mut to, b"eleven bytes").unwrap();
        assert_eq!(to.written, b"eleven bytes");
        assert!(to.calls > 4);
    }

    #[test]
    fn a_failed_stream_closes_the_pieces_and_tells() {
        let (reader, to) = io::pipe().unwrap();
        drop(reader);
        let writer = write_to(to).unwrap();
        writer.pieces.blocking_send(b"x\n".to_vec()).unwrap();
        assert!(is_gone(&writer.ended.blocking_recv().unwrap().unwrap_err()));
        assert!(writer.pieces.blocking_send(vec![]).is_err());
    }
}
