//! What happens when time passes: losses by time, probes, signs of life, and giving up.

use std::time::{Duration, Instant};

use chat_core::transport::{HANDSHAKE_DEADLINE, Role};

use super::{Connection, End, Life};
use crate::ack::MAX_ACK_DELAY;
use crate::loss::Timer;

/// Hints that the peer is gone, without any packet of it in between, before they are believed.
const HINTS_BELIEVED: u32 = 3;
/// Time over which they must come: a peer on loopback that is merely descheduled must be able to answer.
const HINTS_LAST: Duration = Duration::from_millis(100);
/// Probe timeouts in a row for which silence is believed: the peer was asked, and more than once.
const PROBES_BELIEVED: u32 = 5;
/// A timer that comes this late tells of a process that was stopped, or of a machine that is far too busy.
const STOPPED: Duration = Duration::from_secs(1);

const SILENT: &str = "no sign of life from the other end";

impl Connection {
    /// When [`handle_timeout`](Self::handle_timeout) or [`poll_transmit`](Self::poll_transmit) has something
    /// to do without any other event.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.life {
            Life::Closed => return None,
            Life::Closing { until, .. } | Life::Draining { until } => return Some(until),
            Life::Open => {}
        }
        [
            Some(self.idle_at()),
            self.give_up_at(),
            self.unconfirmed_at(),
            self.finish_by,
            self.keep_alive_at(),
            self.loss_or_probe_at().map(|(at, _)| at),
            self.hints.probe_at,
            self.receipts.due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self.life {
            Life::Closed => return,
            Life::Closing { until, .. } | Life::Draining { until } => {
                if until <= now {
                    self.life = Life::Closed;
                }
                return;
            }
            Life::Open => {}
        }
        self.notice_stop(now);
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(Some(self.idle_at())) {
            return self.close(now, End::Timeout(SILENT));
        }
        if passed(self.give_up_at()) {
            return self.close(now, End::Timeout("the other end acknowledges nothing"));
        }
        if passed(self.unconfirmed_at()) {
            return self.close(now, End::Timeout("the other end did not confirm the handshake"));
        }
        if passed(self.finish_by) {
            return self.close(now, End::Timeout("what was sent last did not arrive before closing"));
        }
        if passed(self.keep_alive_at()) {
            self.ping_due = true;
        }
        if passed(self.hints.probe_at) {
            self.hints.probe_at = None;
            self.probe_packets = self.probe_packets.max(1);
        }
        match self.loss_or_probe_at() {
            Some((at, Timer::Loss)) if at <= now => {
                let losses = self.sent.detect_losses(now, &self.rtt);
                self.on_losses(now, &losses);
            }
            Some((at, Timer::Probe)) if at <= now => self.on_probe_timeout(now),
            _ => {}
        }
    }

    /// Nothing was heard for a probe timeout: the oldest data once more, past the window if need be
    /// (RFC 9002 §6.2.4), so that the answer shows what is lost.
    fn on_probe_timeout(&mut self, now: Instant) {
        // Stop-and-wait has one packet under way, so one to repeat.
        let packets = if self.config.window == Some(1) { 1 } else { 2 };
        let again = self.sent.on_probe_timeout(packets);
        if self.config.max_retries.is_some_and(|max| self.sent.probes() > max) {
            return self.close(now, End::Timeout("no acknowledgement after max_retries"));
        }
        if self.sent.probes() > PROBES_BELIEVED && self.silent_for(now) >= self.config.silence {
            return self.close(now, End::Timeout(SILENT));
        }
        again.data.iter().for_each(|fragment| self.outgoing.on_lost(fragment));
        if again.fin {
            self.outgoing.on_fin_lost();
        }
        self.credit_due |= again.credit;
        self.finish_due = self.finish_packet.is_some();
        self.probe_packets = packets as u32;
    }

    fn notice_stop(&mut self, now: Instant) {
        let late = |due| now.saturating_duration_since(due) >= STOPPED;
        if self.poll_timeout().is_some_and(late) {
            self.awake_since = now;
        }
    }

    /// How long nothing came although this process could have heard it.
    fn silent_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_received.max(self.awake_since))
    }

    fn idle_at(&self) -> Instant {
        self.last_received + self.config.idle
    }

    fn give_up_at(&self) -> Option<Instant> {
        self.sent.stalled_since().map(|since| since + self.config.give_up)
    }

    /// The responder may have given the handshake up without our knowing.
    fn unconfirmed_at(&self) -> Option<Instant> {
        (self.role == Role::Initiator && self.finish_packet.is_some())
            .then(|| self.established + HANDSHAKE_DEADLINE)
    }

    fn keep_alive_at(&self) -> Option<Instant> {
        let quiet_since = self.last_received.max(self.last_eliciting_sent);
        // What is in flight asks already, and its probes go on asking.
        let asking = self.ping_due || self.sent.stalled_since().is_some();
        (!asking).then(|| quiet_since + self.config.keep_alive)
    }

    /// The loss timer; or the probe timer, unless its probes have still to leave.
    fn loss_or_probe_at(&self) -> Option<(Instant, Timer)> {
        let next = self.sent.timeout(&self.rtt, self.config.rto);
        next.filter(|&(_, timer)| timer == Timer::Loss || self.probe_packets == 0)
    }

    /// A sign without proof that the peer is gone: an ICMP error, or an UNKNOWN packet. Whoever sits on the
    /// path can forge it, so it makes us ask; only when nobody answers while more come is it believed.
    pub(crate) fn handle_unreachable_hint(&mut self, now: Instant) {
        if !matches!(self.life, Life::Open) {
            return;
        }
        let since = *self.hints.since.get_or_insert(now);
        self.hints.count += 1;
        let pto = self.rtt.pto(MAX_ACK_DELAY);
        if self.hints.count >= HINTS_BELIEVED && now.saturating_duration_since(since) >= pto.max(HINTS_LAST) {
            self.end = Some(End::Unreachable);
            self.life = Life::Closed;
            return;
        }
        // The first question at once, then one each half probe timeout.
        let probe_at = if self.hints.count == 1 { now } else { now + pto / 2 };
        self.hints.probe_at.get_or_insert(probe_at);
    }
}
