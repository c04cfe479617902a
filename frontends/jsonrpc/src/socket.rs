//! The same protocol over a Unix socket, for programs that want to take part beside the frontend a person
//! sits in front of. Only the user can reach it: mode 0600, in a directory of mode 0700.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chat_core::api::{ClientHandle, ErrorKind as CommandErrorKind};
use tokio::sync::oneshot;

use crate::connection::Connection;
use crate::lines::MAX_LINE_BYTES;
use crate::protocol::{self, Id, Outcome, RpcError};

/// Most connections at once.
pub const MAX_GUESTS: usize = 8;
/// Pause after the system refused to accept (out of file descriptors).
const RETRY: Duration = Duration::from_millis(100);

/// A socket being served; dropping it closes all connections and removes the file.
#[derive(Debug)]
pub struct SocketServer {
    path: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Serves JSON-RPC on a Unix socket at `path`, on threads of its own: at most [`MAX_GUESTS`] connections, each
/// a [`Connection::guest`]. The directory is made (mode 0700) if it is missing. A socket that a program left
/// behind that is no more is replaced.
///
/// # Errors
/// - `AddrInUse`: somebody answers there, or a file that is no socket is in the way.
/// - `PermissionDenied`: others than the user can enter the directory.
/// - What the system says else, such as `InvalidInput` for a path that is too long (about 100 bytes).
pub fn serve_socket(path: &Path, client: ClientHandle) -> io::Result<SocketServer> {
    let listener = listen(path)?;
    let (stop, stopped) = oneshot::channel();
    // From here on the file is removed whatever happens.
    let mut server = SocketServer { path: path.to_owned(), stop: Some(stop), thread: None };
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let accept = move || runtime.block_on(accept(listener, client, stopped));
    server.thread = Some(thread::Builder::new().name("jsonrpc-socket".into()).spawn(accept)?);
    Ok(server)
}

impl Drop for SocketServer {
    fn drop(&mut self) {
        // The thread sees that the sender is gone, and waits for nothing else.
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the socket's thread panicked");
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(kind = ?error.kind(), "the socket could not be removed");
        }
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let owner = fs::metadata(directory)?;
    if owner.mode() & 0o077 != 0 {
        return Err(denied(format!(
            "{} can be entered by others (mode {:o}); `chmod 700` it, or choose another directory",
            directory.display(),
            owner.mode() & 0o777
        )));
    }
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            remove_stale(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    // Nobody else can have reached it meanwhile: the directory keeps them out, if it is ours.
    let checked = fs::metadata(path).and_then(|socket| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        if socket.uid() == owner.uid() {
            return Ok(());
        }
        Err(denied(format!("{} belongs to another user", directory.display())))
    });
    match checked {
        Ok(()) => Ok(listener),
        Err(error) => {
            fs::remove_file(path)?;
            Err(error)
        }
    }
}

fn denied(reason: String) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, reason)
}

/// Removes a socket at which nobody listens; anything else stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let in_use =
        |what: &str| Err(io::Error::new(ErrorKind::AddrInUse, format!("{}: {what}", path.display())));
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return in_use("there is a file that is no socket");
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => in_use("another program serves this socket"),
    }
}

async fn accept(listener: UnixListener, client: ClientHandle, mut stopped: oneshot::Receiver<()>) {
    let listener = match tokio::net::UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(kind = ?error.kind(), "the socket can't be served"),
    };
    let mut guests: Vec<Guest> = Vec::new();
    loop {
        let accepted = tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => accepted,
        };
        guests.retain(|guest| !guest.thread.is_finished());
        let welcomed = match accepted.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) if guests.len() >= MAX_GUESTS => refuse(stream).map(|()| None),
            Ok(stream) => welcome(stream, client.clone()).map(Some),
            Err(error) => {
                tokio::time::sleep(RETRY).await;
                Err(error)
            }
        };
        match welcomed {
            Ok(guest) => guests.extend(guest),
            Err(error) => tracing::debug!(kind = ?error.kind(), "a connection came to nothing"),
        }
    }
    for guest in guests {
        // Fails if the guest has gone already; its connection sees the end of input otherwise.
        guest.stream.shutdown(Shutdown::Both).ok();
    }
}

struct Guest {
    stream: UnixStream,
    thread: JoinHandle<()>,
}

fn welcome(stream: UnixStream, client: ClientHandle) -> io::Result<Guest> {
    stream.set_nonblocking(false)?;
    let (read, write, own) = (stream.try_clone()?, stream.try_clone()?, stream.try_clone()?);
    let serve = move || {
        if let Err(error) = Connection::guest(client).run(read, write) {
            tracing::debug!(%error, "a connection failed");
        }
        // Wakes the connection's own threads, so that they end as well; fails if the guest has gone.
        own.shutdown(Shutdown::Both).ok();
    };
    let thread = thread::Builder::new().name("jsonrpc-guest".into()).spawn(serve)?;
    Ok(Guest { stream, thread })
}

/// Says why, without waiting: the buffer of a new connection takes a line.
fn refuse(mut stream: UnixStream) -> io::Result<()> {
    let reason = format!("there are {MAX_GUESTS} connections already");
    let error = RpcError::engine(CommandErrorKind::Busy, &reason);
    let mut line = protocol::answer(&Id::null(), Outcome::Error(error), MAX_LINE_BYTES);
    line.push(b'\n');
    stream.write_all(&line)
}
