//! The bytes below a transport, for whoever speaks to it without it, or stands between two that use it.

use std::io;

use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::transport::Address;

/// Bytes by hand to who listens with the transport under test, and from who dials with it. The suite brings
/// [`TcpWire`], [`UdpWire`] and (on Unix) `UnixWire`, for transports over the system's sockets; who has another network
/// says here how to reach it.
#[async_trait]
pub trait Wire: Send + Sync {
    /// A line to who listens there.
    ///
    /// # Errors
    /// Nobody can be reached.
    async fn connect(&self, to: &Address) -> io::Result<Box<dyn Line>>;

    /// Listens at a place where nobody does.
    ///
    /// # Errors
    /// It can't.
    async fn listen(&self, on: &Address) -> io::Result<Box<dyn Lines>>;
}

/// Who listens for lines.
#[async_trait]
pub trait Lines: Send {
    /// Where, for the transport to dial.
    ///
    /// # Errors
    /// It is not known.
    fn address(&self) -> io::Result<Address>;

    /// The next line. One is enough, where lines can't be told apart.
    ///
    /// # Errors
    /// None can come any more.
    async fn next(&mut self) -> io::Result<Box<dyn Line>>;
}

/// A line of bytes, or of datagrams. Dropping it hangs up.
#[async_trait]
pub trait Line: Send + Sync {
    /// Sends all of these bytes: as one datagram where there are datagrams.
    ///
    /// # Errors
    /// The other end is gone.
    async fn send(&self, bytes: &[u8]) -> io::Result<()>;

    /// Some bytes, or a datagram: how many; 0 at the end. Cancel safe.
    ///
    /// # Errors
    /// The other end is gone.
    async fn recv(&self, buf: &mut [u8]) -> io::Result<usize>;
}

/// The wire of transports over TCP whose addresses are `host:port`.
#[derive(Debug, Default, Clone, Copy)]
pub struct TcpWire;

/// The wire of transports over UDP whose addresses are `host:port`.
#[derive(Debug, Default, Clone, Copy)]
pub struct UdpWire;

/// The wire of transports over Unix domain sockets whose addresses are paths.
#[cfg(unix)]
#[derive(Debug, Default, Clone, Copy)]
pub struct UnixWire;

/// Streams of the system, by their `readable` and `writable`: both directions at once from a shared reference.
macro_rules! stream_line {
    ($stream:ty) => {
        #[async_trait]
        impl Line for $stream {
            async fn send(&self, bytes: &[u8]) -> io::Result<()> {
                let mut left = bytes;
                while !left.is_empty() {
                    self.writable().await?;
                    match self.try_write(left) {
                        Ok(written) => left = left.get(written..).unwrap_or_default(),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            }

            async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
                loop {
                    self.readable().await?;
                    match self.try_read(buf) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        read => return read,
                    }
                }
            }
        }
    };
}
stream_line!(TcpStream);
#[cfg(unix)]
stream_line!(tokio::net::UnixStream);

#[async_trait]
impl Wire for TcpWire {
    async fn connect(&self, to: &Address) -> io::Result<Box<dyn Line>> {
        Ok(Box::new(TcpStream::connect(&to.place).await?))
    }

    async fn listen(&self, on: &Address) -> io::Result<Box<dyn Lines>> {
        Ok(Box::new(TcpListener::bind(&on.place).await?))
    }
}

#[async_trait]
impl Lines for TcpListener {
    fn address(&self) -> io::Result<Address> {
        Ok(Address::new(self.local_addr()?.to_string()))
    }

    async fn next(&mut self) -> io::Result<Box<dyn Line>> {
        Ok(Box::new(self.accept().await?.0))
    }
}

#[async_trait]
impl Wire for UdpWire {
    async fn connect(&self, to: &Address) -> io::Result<Box<dyn Line>> {
        let to = tokio::net::lookup_host(&to.place).await?.next();
        let to = to.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let any: std::net::IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(to).await?;
        Ok(Box::new(UdpLine(socket)))
    }

    async fn listen(&self, on: &Address) -> io::Result<Box<dyn Lines>> {
        Ok(Box::new(UdpLines { address: on.clone(), socket: Some(UdpSocket::bind(&on.place).await?) }))
    }
}

/// One socket: whoever sends first has the line.
struct UdpLines {
    address: Address,
    socket: Option<UdpSocket>,
}

#[async_trait]
impl Lines for UdpLines {
    fn address(&self) -> io::Result<Address> {
        match &self.socket {
            Some(socket) => Ok(Address::new(socket.local_addr()?.to_string())),
            None => Ok(self.address.clone()),
        }
    }

    async fn next(&mut self) -> io::Result<Box<dyn Line>> {
        let Some(socket) = &self.socket else { return std::future::pending().await };
        let (_, from) = socket.peek_from(&mut [0]).await?;
        socket.connect(from).await?;
        match self.socket.take() {
            Some(socket) => Ok(Box::new(UdpLine(socket))),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

struct UdpLine(UdpSocket);

#[async_trait]
impl Line for UdpLine {
    async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.send(bytes).await.map(drop)
    }

    async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buf).await
    }
}

#[cfg(unix)]
#[async_trait]
impl Wire for UnixWire {
    async fn connect(&self, to: &Address) -> io::Result<Box<dyn Line>> {
        Ok(Box::new(tokio::net::UnixStream::connect(&to.place).await?))
    }

    async fn listen(&self, on: &Address) -> io::Result<Box<dyn Lines>> {
        let socket = tokio::net::UnixListener::bind(&on.place)?;
        Ok(Box::new(UnixLines { socket, address: on.clone() }))
    }
}

#[cfg(unix)]
struct UnixLines {
    socket: tokio::net::UnixListener,
    address: Address,
}

#[cfg(unix)]
#[async_trait]
impl Lines for UnixLines {
    fn address(&self) -> io::Result<Address> {
        Ok(self.address.clone())
    }

    async fn next(&mut self) -> io::Result<Box<dyn Line>> {
        Ok(Box::new(self.socket.accept().await?.0))
    }
}
