//! What comes in: a packet is opened, read wholly, then applied. What does not open changes nothing.

use std::time::{Duration, Instant};

use super::{Connection, End, Hints, Life};
use crate::ack::MAX_ACK_DELAY;
use crate::chunk::{self, Ack, Chunk, CloseCode};
use crate::loss::Losses;
use crate::protect::Refused;
use crate::stream::{self, MAIN};

/// The peer did what the protocol forbids.
struct Violation(&'static str);

impl Connection {
    /// Takes a short packet addressed to this connection, opening it in place. Whether it was genuine and new.
    pub(crate) fn handle_datagram(&mut self, now: Instant, packet: &mut [u8]) -> bool {
        if matches!(self.life, Life::Closed) {
            return false;
        }
        let len = packet.len() as u64;
        let (number, inside) = match self.opener.open(packet) {
            Ok(opened) => opened,
            Err(Refused::KeyLimit) => {
                self.close(now, End::KeyLimit);
                return false;
            }
            Err(Refused::Forged | Refused::Replayed) => return false,
        };
        self.counters.received_bytes += len;
        self.last_received = now;
        self.hints = Hints::default();
        // The responder seals nothing before it has FINISH.
        (self.finish_packet, self.finish_due) = (None, false);
        let chunks = chunk::decode_all(packet.get(inside).unwrap_or_default());
        let applied = match &chunks {
            Ok(chunks) => self.apply(now, number, chunks),
            Err(_) => Err(Violation("the other end sent a packet that can't be read")),
        };
        match applied {
            Ok(()) => self.close_if_done(now),
            Err(Violation(what)) => self.close(now, End::Protocol(what)),
        }
        true
    }

    fn apply(&mut self, now: Instant, number: u64, chunks: &[Chunk<'_>]) -> Result<(), Violation> {
        let close = chunks.iter().find_map(|chunk| match chunk {
            Chunk::Close(code) => Some(*code),
            _ => None,
        });
        match &mut self.life {
            Life::Open => {}
            Life::Closing { answers, say, .. } => {
                // Said again to the 1st, 2nd, 4th, 8th … packet, so that two closers don't play tennis.
                *answers += 1;
                *say |= close.is_none() && answers.is_power_of_two();
                return Ok(());
            }
            Life::Draining { .. } | Life::Closed => return Ok(()),
        }
        let eliciting = chunks.iter().any(Chunk::is_eliciting);
        let urgent = chunks.iter().any(|chunk| match chunk {
            Chunk::Data(data) => data.is_end(),
            Chunk::Fin { .. } | Chunk::Ping => true,
            _ => false,
        });
        self.receipts.on_packet(now, number, eliciting, urgent);
        chunks.iter().try_for_each(|chunk| self.apply_chunk(now, chunk))?;
        if let Some(code) = close {
            self.peer_closed(now, code);
        }
        Ok(())
    }

    fn apply_chunk(&mut self, now: Instant, chunk: &Chunk<'_>) -> Result<(), Violation> {
        let another_stream = Violation("the other end uses a stream that does not exist");
        match chunk {
            Chunk::Ping | Chunk::Close(_) => {}
            Chunk::Ack(ack) => self.on_ack(now, ack)?,
            Chunk::Credit(limit) => self.outgoing.set_limit(*limit),
            Chunk::Fin { stream, .. } if *stream != MAIN => return Err(another_stream),
            Chunk::Fin { messages, .. } => {
                self.incoming
                    .on_fin(*messages)
                    .map_err(|_| Violation("the other end moved the end of its frames"))?;
            }
            Chunk::Data(data) if data.stream != MAIN => return Err(another_stream),
            Chunk::Data(data) => {
                self.incoming.on_data(data).map_err(|violation| match violation {
                    stream::Violation::Memory => {
                        Violation("there is no memory now for frames of this length")
                    }
                    _ => Violation("the other end sent more than it may, or pieces that don't fit"),
                })?;
            }
        }
        Ok(())
    }

    fn peer_closed(&mut self, now: Instant, code: CloseCode) {
        self.end = Some(match code {
            CloseCode::Done => End::Peer,
            CloseCode::KeyLimit => End::KeyLimit,
            CloseCode::Abandoned | CloseCode::Protocol | CloseCode::Other => End::PeerGaveUp,
        });
        self.life = Life::Draining { until: self.silence(now) };
    }

    fn on_ack(&mut self, now: Instant, ack: &Ack) -> Result<(), Violation> {
        let outcome = self
            .sent
            .on_ack(now, ack)
            .map_err(|_| Violation("the other end acknowledged what was never sent"))?;
        if let Some(sent) = outcome.sampled {
            let delay = Duration::from_micros(ack.delay_us);
            self.rtt.sample(now.saturating_duration_since(sent), delay, MAX_ACK_DELAY);
        }
        for packet in &outcome.acknowledged {
            self.keys.on_acknowledged(packet.number);
            packet.contents.data.iter().for_each(|fragment| self.outgoing.on_acknowledged(fragment));
            if packet.contents.fin {
                self.outgoing.on_fin_acknowledged();
            }
            if let Some(spoken_of) = &packet.contents.ack {
                self.receipts.on_ack_acknowledged(spoken_of);
            }
            if packet.eliciting {
                self.congestion.on_ack(now, packet.at, packet.bytes, self.window_limited);
            }
        }
        if self.outgoing.is_finished() {
            self.finish_by = None;
        }
        let losses = self.sent.detect_losses(now, &self.rtt);
        self.on_losses(now, &losses);
        Ok(())
    }

    /// Whatever lost packets carried is to be sent again.
    pub(super) fn on_losses(&mut self, now: Instant, losses: &Losses) {
        for packet in &losses.packets {
            self.counters.lost_packets += 1;
            packet.contents.data.iter().for_each(|fragment| self.outgoing.on_lost(fragment));
            if packet.contents.fin {
                self.outgoing.on_fin_lost();
            }
            self.credit_due |= packet.contents.credit;
        }
        if let Some(last) = losses.packets.last() {
            self.congestion.on_loss(now, last.at, losses.persistent);
        }
    }
}
