//! TCP: a connection to the target for each of a client.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Active, Clock, Meter, PAUSE, Shared};
use crate::{Piece, StreamLine};

/// How long it may take to reach the target.
const CONNECT: Duration = Duration::from_secs(10);
/// Most bytes that are read at a time.
const READ_BYTES: usize = 65_536;

pub(super) async fn serve(listener: TcpListener, to: SocketAddr, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) if connections.len() >= shared.config.max_clients => {
                    shared.count(|figures| figures.refused += 1);
                    reset(client);
                }
                Ok((client, _)) => {
                    let number = shared.figures.borrow().clients;
                    connections.spawn(connection(client, to, number, Active::new(&shared)));
                }
                Err(_) => sleep(PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut client: TcpStream, to: SocketAddr, number: u64, active: Active) {
    let shared = &active.0;
    let Ok(Ok(mut target)) = timeout(CONNECT, TcpStream::connect(to)).await else {
        shared.count(|figures| figures.failed += 1);
        return reset(client);
    };
    let (up, down) = shared.config.seeds(number);
    let up = StreamLine::new(shared.config.up.clone(), up);
    let down = StreamLine::new(shared.config.down.clone(), down);
    let carried = async {
        // A delay is the line's alone.
        client.set_nodelay(true)?;
        target.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_target, to_target) = target.split();
        tokio::try_join!(
            carry(from_client, to_target, up, shared.clock, Meter::up(shared)),
            carry(from_target, to_client, down, shared.clock, Meter::down(shared)),
        )
    };
    if carried.await.is_err() {
        reset(client);
        reset(target);
    }
}

/// Ends a connection so that its other end hears of a reset.
fn reset(stream: TcpStream) {
    // If it can't be set, the connection is gone already.
    drop(stream.set_zero_linger());
}

/// One direction, until its end has been passed on.
///
/// # Errors
/// One of the ends has reset its connection.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut line: StreamLine,
    clock: Clock,
    mut meter: Meter,
) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    // What has arrived and is being written: the bytes, and how many of them are out.
    let (mut arrived, mut written) = (Vec::new(), 0);
    loop {
        let now = clock.now();
        if written == arrived.len() {
            match line.read(now) {
                Some(Piece::Bytes(bytes)) => (arrived, written) = (bytes, 0),
                Some(Piece::End) => {
                    meter.report(line.figures());
                    return to.shutdown().await;
                }
                None => {}
            }
        }
        meter.report(line.figures());
        let writing = written < arrived.len();
        let room = line.room(now).min(READ_BYTES);
        tokio::select! {
            read = from.read(&mut buffer[..room]), if room > 0 => match read? {
                0 => line.end(clock.now()),
                bytes => {
                    // There was room for them before they were read, and there is no less of it now.
                    let taken = line.write(clock.now(), &buffer[..bytes]);
                    debug_assert_eq!(taken, bytes);
                }
            },
            out = to.write(&arrived[written..]), if writing => written += out?,
            () = clock.reach(line.next_at()), if !writing => {}
        }
    }
}
