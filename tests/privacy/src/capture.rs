//! All packets from and to an address, as any eavesdropper with a tap would have them: read from a packet socket, which
//! is Linux's, and for those who may (`CAP_NET_RAW`).

use std::collections::HashMap;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use chat_tests::means::{Means, packets};
use socket2::Socket;

/// How long until it is noticed that the capture is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const BUFFER_BYTES: usize = 32 << 20;
const PACKET_BYTES: usize = 1 << 17;
const ETHERNET: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A capture that goes on.
pub struct Capture {
    stop: Arc<AtomicBool>,
    reading: JoinHandle<Flows>,
}

/// Who speaks to whom: addresses, ports and protocol.
type Ends = ([u8; 8], [u8; 4], u8);

/// What was said, by who said it to whom.
#[derive(Default)]
struct Flows(HashMap<Ends, Flow>);

#[derive(Default)]
struct Flow {
    bytes: Vec<u8>,
    /// The TCP sequence number that comes next (RFC 9293 §3.4).
    next: Option<u32>,
}

impl Capture {
    /// Begins to read all packets from and to `address`, or says why that can't be done here; fails where it must be.
    pub fn start(address: Ipv4Addr) -> Option<Self> {
        match open() {
            Ok(socket) => {
                let stop = Arc::new(AtomicBool::new(false));
                let stopped = Arc::clone(&stop);
                let reading = std::thread::spawn(move || read(socket, address, &stopped));
                Some(Self { stop, reading })
            }
            Err(why) => {
                Means::Capture.lacking(&why.to_string());
                None
            }
        }
    }

    /// Ends; what was said in each flow, in order.
    pub fn finish(self) -> Vec<Vec<u8>> {
        self.stop.store(true, Ordering::Relaxed);
        let flows = self.reading.join().expect("the capture has not panicked");
        flows.0.into_values().map(|flow| flow.bytes).filter(|bytes| !bytes.is_empty()).collect()
    }
}

fn open() -> std::io::Result<Socket> {
    let socket = packets::socket()?;
    // The system may give less.
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_read_timeout(Some(LOOK_EVERY))?;
    Ok(socket)
}

/// Until it is to stop, and nothing has come for a while.
fn read(mut socket: Socket, address: Ipv4Addr, stopped: &AtomicBool) -> Flows {
    let (mut flows, mut packet) = (Flows::default(), vec![0; PACKET_BYTES]);
    loop {
        match socket.read(&mut packet) {
            Ok(len) => {
                // What is no such packet is somebody else's.
                flows.take(&packet[..len], address);
            }
            Err(_) if stopped.load(Ordering::Relaxed) => return flows,
            Err(_) => {}
        }
    }
}

impl Flows {
    /// IPv4 (RFC 791 §3.1) with TCP (RFC 9293 §3.1) or UDP (RFC 768) in it, behind a header of Ethernet.
    fn take(&mut self, packet: &[u8], address: Ipv4Addr) -> Option<()> {
        let ip = packet.get(ETHERNET..)?;
        let header = usize::from(ip.first()? & 0x0f) * 4;
        let (protocol, addresses) = (*ip.get(9)?, *ip.get(12..)?.first_chunk::<8>()?);
        if !addresses.chunks(4).any(|it| it == address.octets()) {
            return None;
        }
        let inside = ip.get(header..)?;
        let ends = (addresses, *inside.first_chunk::<4>()?, protocol);
        match protocol {
            TCP => {
                let seq = u32::from_be_bytes(*inside.get(4..)?.first_chunk()?);
                let data = inside.get(usize::from(inside.get(12)? >> 4) * 4..)?;
                self.0.entry(ends).or_default().tcp(seq, data);
            }
            UDP => self.0.entry(ends).or_default().bytes.extend(inside.get(8..)?),
            _ => {}
        }
        Some(())
    }
}

impl Flow {
    /// On the loopback each packet is seen twice: as it leaves and as it comes.
    fn tcp(&mut self, seq: u32, data: &[u8]) {
        let known = self.next.map_or(0, |next| next.wrapping_sub(seq));
        let is_old = known < 1 << 31;
        let new = if is_old { data.get(known as usize..).unwrap_or_default() } else { data };
        if !new.is_empty() {
            self.bytes.extend_from_slice(new);
            self.next = Some(seq.wrapping_add(data.len() as u32));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(protocol: u8, inside: &[u8]) -> Vec<u8> {
        let head = [&[0x45][..], &[0; 8], &[protocol], &[0; 2], &[127, 0, 0, 1, 127, 9, 9, 9]].concat();
        [&[0; ETHERNET][..], &head, inside].concat()
    }

    #[test]
    fn a_stream_is_put_together_once_and_others_are_left_out() {
        let segment = |seq: u32, data: &[u8]| {
            let head = [&[0, 1, 0, 2][..], &seq.to_be_bytes(), &[0; 4], &[0x50, 0], &[0; 6]].concat();
            packet(TCP, &[&head, data].concat())
        };
        let (mut flows, us) = (Flows::default(), Ipv4Addr::new(127, 9, 9, 9));
        let pieces: [(u32, &[u8]); 6] =
            [(u32::MAX, b"se"), (u32::MAX, b"se"), (1, b"cr"), (0, b"ecr"), (1, b"cret"), (5, b"")];
        for (seq, data) in pieces {
            flows.take(&segment(seq, data), us).unwrap();
        }
        flows.take(&packet(UDP, b"\0\x01\0\x02\0\0\0\0datagram"), us).unwrap();
        assert_eq!(flows.take(&segment(1, b"other"), Ipv4Addr::new(127, 1, 1, 1)), None);
        assert_eq!(flows.take(&[0; 20], us), None);
        let mut said: Vec<Vec<u8>> = flows.0.into_values().map(|flow| flow.bytes).collect();
        said.sort();
        assert_eq!(said, [b"datagram".to_vec(), b"secret".to_vec()]);
    }
}
