//! One direction of a path for packets.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dice::{Dice, Throw};
use crate::loss::Loss;
use crate::rate::Sending;
use crate::{Figures, Impairment};

/// When a packet arrives, and which of those that arrive at the same time is first.
type Slot = (Duration, u64);

/// One direction of a path for packets. Nothing here is a clock or a socket: `now` is the time since an origin that the
/// caller chooses, and must not go backwards; if it does, it counts as the latest one seen.
///
/// The same impairment, seed and calls give the same outcome to the bit. Each packet takes the same number of throws
/// whatever the impairment is, so switching one thing on changes nothing in what chance the others have with the same packets.
///
/// A packet passes, in this order: [`mtu`](Impairment::mtu), [`blackhole`](Impairment::blackhole),
/// [`loss`](Impairment::loss), [`queue`](Impairment::queue) and [`rate`](Impairment::rate), then
/// [`delay`](Impairment::delay), [`jitter`](Impairment::jitter), [`duplicate`](Impairment::duplicate),
/// [`corrupt`](Impairment::corrupt) and [`reorder`](Impairment::reorder). A copy takes nothing of the rate.
///
/// At most [`Line::MAX_PACKETS`] and [`Line::MAX_BYTES`] are under way; what comes then is dropped and counted.
#[derive(Debug, Clone)]
pub struct Line {
    impairment: Impairment,
    dice: Dice,
    loss: Loss,
    sending: Sending,
    under_way: BTreeMap<Slot, Flight>,
    under_way_bytes: usize,
    /// What is held back until later ones have passed.
    held: Vec<Held>,
    slots: u64,
    now: Duration,
    /// The number of the latest packet that came out.
    latest: u64,
    figures: Figures,
}

#[derive(Debug, Clone)]
struct Flight {
    /// Counts what was offered.
    number: u64,
    is_copy: bool,
    packet: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Held {
    /// Where it is while nobody overtakes it.
    slot: Slot,
    /// Not before this.
    arrives: Duration,
    /// By how many it is still to be overtaken.
    by: u64,
}

/// All the chance a packet needs.
struct Throws {
    loss: Throw,
    reorder: Throw,
    by: Throw,
    duplicate: Throw,
    each: [Fate; 2],
}

/// The chance in one packet or copy on its way.
struct Fate {
    jitter: Throw,
    corrupt: Throw,
    bit: Throw,
}

impl Throws {
    fn new(dice: &mut Dice) -> Self {
        // Fields are evaluated in the order in which they stand here.
        let fate = |dice: &mut Dice| Fate { jitter: dice.throw(), corrupt: dice.throw(), bit: dice.throw() };
        Self {
            loss: dice.throw(),
            reorder: dice.throw(),
            by: dice.throw(),
            duplicate: dice.throw(),
            each: [fate(dice), fate(dice)],
        }
    }
}

impl Line {
    /// Most packets under way.
    pub const MAX_PACKETS: usize = 16_384;
    /// Most bytes of packets under way.
    pub const MAX_BYTES: usize = 4 << 20;
    /// How long a packet that is to be overtaken waits for others.
    pub const HOLD: Duration = Duration::from_millis(100);
    /// By how many packets one is overtaken at most.
    pub const OVERTAKEN_BY: u64 = 3;

    /// A line on which nothing is under way.
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        Self {
            impairment,
            dice: Dice::new(seed),
            loss: Loss::default(),
            sending: Sending::default(),
            under_way: BTreeMap::new(),
            under_way_bytes: 0,
            held: Vec::new(),
            slots: 0,
            now: Duration::ZERO,
            latest: 0,
            figures: Figures::default(),
        }
    }

    /// Offers a packet.
    pub fn push(&mut self, now: Duration, mut packet: Vec<u8>) {
        self.now = self.now.max(now);
        self.figures.offered += 1;
        self.figures.offered_bytes += packet.len() as u64;
        let throws = Throws::new(&mut self.dice);
        let Some(sent) = self.enter(packet.len(), throws.loss) else { return };
        let earliest = sent.saturating_add(self.impairment.delay);
        let jitter = self.impairment.jitter;
        let number = self.figures.offered;
        let [first, second] = throws.each;
        let copy = throws.duplicate.happens(self.impairment.duplicate).then(|| packet.clone());
        let before = std::mem::take(&mut self.held);
        let arrives = earliest.saturating_add(first.jitter.up_to(jitter));
        self.corrupt(&mut packet, &first);
        let flight = Flight { number, is_copy: false, packet };
        if throws.reorder.happens(self.impairment.reorder) {
            let slot = self.arrive(arrives.saturating_add(Self::HOLD), flight);
            self.held.push(Held { slot, arrives, by: 1 + throws.by.below(Self::OVERTAKEN_BY) });
        } else {
            self.arrive(arrives, flight);
        }
        self.overtake(before, arrives);
        if let Some(mut packet) = copy {
            self.figures.duplicated += 1;
            if self.has_room(packet.len()) {
                self.corrupt(&mut packet, &second);
                let arrives = earliest.saturating_add(second.jitter.up_to(jitter));
                self.arrive(arrives, Flight { number, is_copy: true, packet });
            } else {
                self.figures.dropped_full += 1;
            }
        }
    }

    /// When the next packet arrives; none if nothing is under way.
    pub fn next_at(&self) -> Option<Duration> {
        self.under_way.first_key_value().map(|((arrives, _), _)| *arrives)
    }

    /// The next packet, if one has arrived by `now`; call it until there is none.
    pub fn pop(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.now = self.now.max(now);
        if self.next_at()? > self.now {
            return None;
        }
        let (slot, flight) = self.under_way.pop_first()?;
        self.held.retain(|held| held.slot != slot);
        self.under_way_bytes -= flight.packet.len();
        self.figures.delivered += 1;
        self.figures.delivered_bytes += flight.packet.len() as u64;
        self.figures.reordered += u64::from(flight.number < self.latest && !flight.is_copy);
        self.latest = self.latest.max(flight.number);
        Some(flight.packet)
    }

    /// Changes what is wrong with the line. What is under way stays as it is; a line of another rate begins with an empty
    /// queue.
    pub fn set(&mut self, impairment: Impairment) {
        if impairment.rate != self.impairment.rate {
            self.sending = Sending::default();
        }
        self.impairment = impairment;
    }

    /// What is wrong with the line.
    pub fn impairment(&self) -> &Impairment {
        &self.impairment
    }

    /// How many packets are under way, copies included.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// What became of the packets so far.
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// When the packet has been sent, if it enters the line at all.
    fn enter(&mut self, bytes: usize, loss: Throw) -> Option<Duration> {
        let Impairment { loss: share, burst, rate, queue, mtu, .. } = self.impairment;
        let lost = self.loss.next(share, burst, loss);
        let room = self.has_room(bytes);
        let bytes = bytes as u64;
        let refused = if mtu.is_some_and(|mtu| bytes > mtu) {
            &mut self.figures.dropped_mtu
        } else if self.impairment.is_closed(self.now) {
            &mut self.figures.dropped_blackhole
        } else if lost {
            &mut self.figures.lost
        } else if !room {
            &mut self.figures.dropped_full
        } else {
            let Some(rate) = rate else { return Some(self.now) };
            let waiting = self.sending.waiting(self.now);
            if waiting == 0 || waiting.saturating_add(bytes) <= queue {
                return Some(self.sending.send(self.now, bytes, rate));
            }
            &mut self.figures.dropped_queue
        };
        *refused += 1;
        None
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.under_way.len() < Self::MAX_PACKETS
            && self.under_way_bytes.saturating_add(bytes) <= Self::MAX_BYTES
    }

    /// Flips a bit, if that is to happen; nothing has none.
    fn corrupt(&mut self, packet: &mut [u8], throws: &Fate) {
        if throws.corrupt.happens(self.impairment.corrupt) && flip(packet, throws.bit) {
            self.figures.corrupted += 1;
        }
    }

    fn arrive(&mut self, arrives: Duration, flight: Flight) -> Slot {
        self.slots += 1;
        self.under_way_bytes += flight.packet.len();
        let slot = (arrives, self.slots);
        self.under_way.insert(slot, flight);
        slot
    }

    /// Lets those that were held back see that one passes them that arrives then.
    fn overtake(&mut self, held: Vec<Held>, arrives: Duration) {
        for mut held in held {
            held.by -= 1;
            if held.by > 0 {
                self.held.push(held);
            } else if let Some(flight) = self.under_way.remove(&held.slot) {
                self.slots += 1;
                self.under_way.insert((held.arrives.max(arrives), self.slots), flight);
            }
        }
    }
}

/// Flips one bit; false if there is none.
pub(crate) fn flip(bytes: &mut [u8], which: Throw) -> bool {
    let bit = which.below(bytes.len() as u64 * 8);
    // In a slice, so it fits.
    bytes.get_mut((bit / 8) as usize).map(|byte| *byte ^= 1 << (bit % 8)).is_some()
}
