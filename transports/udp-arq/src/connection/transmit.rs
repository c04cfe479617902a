//! What goes out: CLOSE, FINISH, then one packet after the other of acknowledgement, control and data.

use std::time::Instant;

use super::{Connection, End, Life};
use crate::chunk;
use crate::loss::{Contents, Losses, SentPacket};
use crate::packet;
use crate::protect::TAG;

/// Packets before the first number is left out.
pub(super) const FIRST_SKIP: u64 = 64;
/// Numbers between two that are left out: at least this many, and up to four times as many.
const SKIP_EVERY: u64 = 128;
/// Packets of a side that only acknowledges before it asks for an acknowledgement itself: without one neither
/// its key could be updated nor its numbers stay short.
const SILENT_PACKETS: u32 = 100;
/// The part of a packet that an ACK may take: one in this many.
const ACK_SHARE: usize = 2;

impl Connection {
    /// Appends the next datagram to `out`, if one is due now and may leave. Whether it did.
    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        match &mut self.life {
            Life::Open => {}
            Life::Closing { say, code, .. } => {
                let (say, code) = (std::mem::take(say), *code);
                return say
                    && self
                        .put_packet(now, out, start, |this, out, room| this.put_close(now, out, room, code));
            }
            Life::Draining { .. } | Life::Closed => return false,
        }
        if let (true, Some(finish)) = (self.finish_due, &self.finish_packet) {
            self.finish_due = false;
            out.extend_from_slice(finish);
        }
        if self.wants_packet(now) {
            if self.keys.update_if_due(now).is_err() {
                self.close(now, End::KeyLimit);
                out.truncate(start);
                return self.poll_transmit(now, out);
            }
            self.put_packet(now, out, start, |this, out, end| this.put_inside(now, out, end));
        }
        let wrote = out.len() - start;
        self.counters.sent_bytes += wrote as u64;
        wrote > 0
    }

    /// Whether the window has room for a packet.
    fn window_is_open(&self) -> bool {
        self.sent.in_flight_bytes() + self.config.mtu as u64 <= self.congestion.window()
    }

    fn wants_packet(&mut self, now: Instant) -> bool {
        let data = self.outgoing.has_something() || self.ping_due || self.credit_due;
        let open = self.window_is_open();
        self.window_limited = data && !open;
        (data && open) || self.probe_packets > 0 || self.receipts.due().is_some_and(|due| due <= now)
    }

    /// Builds, seals and records a packet within the datagram that began at `start`; `put` writes its inside
    /// up to a length of `out`. Nothing is left behind if it has nothing to write.
    fn put_packet(
        &mut self,
        now: Instant,
        out: &mut Vec<u8>,
        start: usize,
        put: impl FnOnce(&mut Self, &mut Vec<u8>, usize) -> Option<(bool, Contents)>,
    ) -> bool {
        let (begin, end) = (out.len(), start + self.config.mtu - TAG);
        if self.until_skip == 0 {
            self.skip_number();
        }
        let number = self.sent.next_number();
        // Four bytes fall short only if 2^31 packets were never acknowledged; the ring forgets long before.
        let Some(number_len) = packet::number_len(number, self.sent.largest_acknowledged()) else {
            return false;
        };
        self.keys.begin(out, number, number_len);
        let Some((eliciting, contents)) = put(self, out, end) else {
            out.truncate(begin);
            return false;
        };
        if self.keys.seal(out, begin, number, number_len).is_err() {
            out.truncate(begin);
            return false;
        }
        self.until_skip = self.until_skip.saturating_sub(1);
        if eliciting {
            self.last_eliciting_sent = now;
            self.probe_packets = self.probe_packets.saturating_sub(1);
            self.silent_packets = 0;
        } else {
            self.silent_packets += 1;
        }
        let bytes = (out.len() - begin) as u64;
        let forgotten = self.sent.on_sent(SentPacket { number, at: now, bytes, eliciting, contents });
        if let Some(packet) = forgotten {
            self.on_losses(now, &Losses { packets: vec![packet], persistent: true });
        }
        true
    }

    /// Leaves a number out, so that a peer that acknowledges what it did not receive, to make us send faster,
    /// is found out (RFC 9000 §21.4).
    fn skip_number(&mut self) {
        self.sent.skip_number();
        // Without randomness the next packets are numbered without gaps; nothing else depends on it.
        let random = self.entropy.bytes::<2>().map_or(u64::MAX, |bytes| u64::from(u16::from_be_bytes(bytes)));
        self.until_skip = if random == u64::MAX { u64::MAX } else { SKIP_EVERY + random % (3 * SKIP_EVERY) };
    }

    /// The inside of an ordinary packet: whether it asks for an acknowledgement, and what it carries.
    fn put_inside(&mut self, now: Instant, out: &mut Vec<u8>, end: usize) -> Option<(bool, Contents)> {
        let begin = out.len();
        let mut contents = Contents::default();
        let probing = self.probe_packets > 0;
        let may_send = probing || self.window_is_open();
        if self.receipts.is_owed() {
            let room = end.saturating_sub(out.len()) / ACK_SHARE;
            contents.ack = self.receipts.put(now, out, room);
        }
        let after_ack = out.len();
        if may_send {
            if std::mem::take(&mut self.credit_due) {
                chunk::put_credit(out, self.incoming.announced());
                contents.credit = true;
            }
            if std::mem::take(&mut self.ping_due) {
                chunk::put_ping(out);
            }
            while let Some(fragment) = self.outgoing.put_next(out, end.saturating_sub(out.len())) {
                contents.data.push(fragment);
            }
            contents.fin = self.outgoing.put_fin(out, end.saturating_sub(out.len()));
        }
        let silent_for = now.saturating_duration_since(self.last_eliciting_sent);
        let may_ask = self.receipts.is_piled_up() || self.silent_packets >= SILENT_PACKETS;
        let must_ask = out.len() == after_ack && (probing || (may_ask && silent_for >= self.rtt.smoothed()));
        if must_ask {
            chunk::put_ping(out);
        }
        (out.len() > begin).then_some((out.len() > after_ack, contents))
    }

    /// The inside of a CLOSE packet: what we have, so that a peer that waits for the acknowledgement of its
    /// last frame gets it, and the end.
    fn put_close(
        &mut self,
        now: Instant,
        out: &mut Vec<u8>,
        end: usize,
        code: chunk::CloseCode,
    ) -> Option<(bool, Contents)> {
        let room = end.saturating_sub(out.len()) / ACK_SHARE;
        let ack = self.receipts.put(now, out, room);
        chunk::put_close(out, code);
        Some((false, Contents { ack, ..Contents::default() }))
    }
}
