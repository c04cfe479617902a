//! How much of one mailbox each may take.
//!
//! Identities cost nothing, so what is bounded for one sender is also bounded for all senders behind one payer, a network
//! address. A *stranger* is a sender to whom the mailbox's owner has never written; a receipt is written, too. However
//! many strangers there are, they have a part of the mailbox, and its owner's correspondents keep the rest.

use std::collections::BTreeMap;

use crate::config::MailboxLimits;

/// Who sent an envelope, and on what terms; as in its row of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) sender: i64,
    /// 0 = nobody.
    pub(super) payer: i64,
    /// Whether its recipient had never written to the sender when it was stored.
    pub(super) stranger: bool,
}

/// What waits of somebody in a box, in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) all: u64,
    /// What of it was stored as from a stranger.
    pub(super) strange: u64,
}

impl Share {
    fn add(&mut self, stranger: bool, size: u64) {
        self.all += size;
        self.strange += if stranger { size } else { 0 };
    }

    fn subtract(&mut self, stranger: bool, size: u64) {
        self.all = self.all.saturating_sub(size);
        self.strange = self.strange.saturating_sub(if stranger { size } else { 0 });
    }

    fn larger_of(self, other: Self) -> Self {
        Self { all: self.all.max(other.all), strange: self.strange.max(other.strange) }
    }
}

/// What waits in a box.
#[derive(Debug, Default, Clone)]
pub(super) struct Usage {
    pub(super) total: Share,
    pub(super) by_sender: BTreeMap<i64, Share>,
    pub(super) by_payer: BTreeMap<i64, Share>,
}

impl Usage {
    /// Entries that it takes in memory.
    pub(super) fn entries(&self) -> usize {
        1 + self.by_sender.len() + self.by_payer.len()
    }

    pub(super) fn add(&mut self, sent: Sent, size: u64) {
        self.total.add(sent.stranger, size);
        self.by_sender.entry(sent.sender).or_default().add(sent.stranger, size);
        if sent.payer != 0 {
            self.by_payer.entry(sent.payer).or_default().add(sent.stranger, size);
        }
    }

    pub(super) fn subtract(&mut self, sent: Sent, size: u64) {
        self.total.subtract(sent.stranger, size);
        for (shares, of) in [(&mut self.by_sender, sent.sender), (&mut self.by_payer, sent.payer)] {
            if let Some(share) = shares.get_mut(&of) {
                share.subtract(sent.stranger, size);
                if share.all == 0 {
                    shares.remove(&of);
                }
            }
        }
    }

    pub(super) fn of_sender(&self, sender: i64) -> Share {
        self.by_sender.get(&sender).copied().unwrap_or_default()
    }

    /// Whether a peer's mailbox that holds this takes `size` bytes more.
    pub(super) fn takes(&self, sent: Sent, size: u64, limits: &MailboxLimits) -> bool {
        let quota = limits.mailbox_bytes;
        let of_sender = self.of_sender(sent.sender);
        let of_payer = self.by_payer.get(&sent.payer).copied().unwrap_or_default();
        let share = quota / limits.sender_share.max(1);
        let reserve = Reserve::of(quota, limits.contacts_per_peer, limits);
        if !sent.stranger && reserve.takes(of_sender.all, self.total.all, size) {
            return true;
        }
        let is_over_share = over(of_sender.all, size, share) > 0 || over(of_payer.all, size, share) > 0;
        if is_over_share || !reserve.spares(self.total.all, size) {
            return false;
        }
        let own = of_sender.larger_of(of_payer);
        if !leaves_half(quota, self.total.all, own.all, size) {
            return false;
        }
        if !sent.stranger {
            return true;
        }
        let a_strangers = quota / limits.stranger_share.max(1);
        let all_strangers = quota / limits.strangers_share.max(1);
        over(of_sender.strange, size, a_strangers) == 0
            && leaves_half(all_strangers, self.total.strange, own.strange, size)
    }
}

/// The part of a quota that is kept for small senders. Identities cost nothing, and whoever was answered once is no
/// stranger: so what each has for certain is an equal part of it, of as many as there may be.
#[derive(Clone, Copy)]
pub(super) struct Reserve {
    quota: u64,
    all: u64,
    each: u64,
}

impl Reserve {
    pub(super) fn of(quota: u64, senders: u64, limits: &MailboxLimits) -> Self {
        let all = quota.checked_div(limits.reserved_share).unwrap_or_default();
        Self { quota, all, each: all / senders.max(1) }
    }

    /// Whether a sender who has so much there has room for more in its own part of it.
    pub(super) fn takes(self, has: u64, total: u64, size: u64) -> bool {
        has.saturating_add(size) <= self.each && total.saturating_add(size) <= self.quota
    }

    /// Whether more in all leaves it untouched.
    pub(super) fn spares(self, total: u64, size: u64) -> bool {
        total.saturating_add(size) <= self.quota.saturating_sub(self.all)
    }
}

/// By how much `size` bytes more exceed a share; 0 for whoever has nothing there, for an envelope may be larger than
/// that, else it could never be sent.
pub(super) fn over(has: u64, size: u64, share: u64) -> u64 {
    has.saturating_add(size).saturating_sub(share).min(has)
}

/// Whether somebody who has `own` of `total` bytes would have no more than half of what the others leave: however many
/// they are, they never fill it.
fn leaves_half(quota: u64, total: u64, own: u64, size: u64) -> bool {
    let left = quota.saturating_sub(total.saturating_sub(own));
    own.saturating_add(size) <= left / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> MailboxLimits {
        MailboxLimits {
            mailbox_bytes: 6400,
            sender_share: 4,
            stranger_share: 16,
            strangers_share: 4,
            reserved_share: 0,
            ..MailboxLimits::default()
        }
    }

    /// Stores one byte after the other until no more is taken.
    fn fill(usage: &mut Usage, sent: Sent) -> u64 {
        let mut taken = 0;
        while usage.takes(sent, 1, &limits()) {
            usage.add(sent, 1);
            taken += 1;
        }
        taken
    }

    #[test]
    fn any_number_of_strangers_leaves_three_quarters_to_correspondents() {
        let mut usage = Usage::default();
        let taken: Vec<u64> =
            (1..200).map(|sender| fill(&mut usage, Sent { sender, payer: 0, stranger: true })).collect();
        assert_eq!(taken[0], 400, "a sixteenth");
        let all: u64 = taken.iter().sum();
        assert!(all > 1500 && all <= 1600, "{all}: a quarter, of which the last find little");
        let friend = Sent { sender: 1000, payer: 0, stranger: false };
        assert_eq!(fill(&mut usage, friend), 1600, "a friend has what one sender may have");
    }

    #[test]
    fn the_identities_of_one_payer_are_as_one() {
        let mut usage = Usage::default();
        let mut crowd = |stranger| -> u64 {
            (1..200).map(|sender| fill(&mut usage, Sent { sender, payer: 7, stranger })).sum()
        };
        assert_eq!(crowd(true), 800, "half of the strangers' part");
        assert_eq!(crowd(false), 800, "a sender's share, with what is there already");
        let elsewhere = Sent { sender: 1000, payer: 8, stranger: true };
        assert_eq!(fill(&mut usage, elsewhere), 400, "a stranger of another address");
    }

    /// Contacts of any number of addresses, made for the purpose.
    #[test]
    fn a_crowd_of_contacts_leaves_each_its_part() {
        let limits = MailboxLimits { reserved_share: 4, contacts_per_peer: 100, ..limits() };
        let mut usage = Usage::default();
        let mut fill = |sent: Sent| {
            let mut taken = 0;
            while usage.takes(sent, 1, &limits) {
                usage.add(sent, 1);
                taken += 1;
            }
            taken
        };
        let crowd: u64 = (1..99).map(|sender| fill(Sent { sender, payer: sender, stranger: false })).sum();
        assert!(crowd > 4800, "{crowd}: what is not kept, and their own parts");
        assert_eq!(fill(Sent { sender: 99, payer: 99, stranger: true }), 0, "strangers have none");
        assert_eq!(fill(Sent { sender: 100, payer: 100, stranger: false }), 16, "a hundredth of a quarter");
        assert_eq!(fill(Sent { sender: 101, payer: 1, stranger: false }), 16, "whoever pays for others, too");
    }

    #[test]
    fn one_envelope_may_be_larger_than_a_strangers_share() {
        let (mut usage, stranger) = (Usage::default(), Sent { sender: 1, payer: 7, stranger: true });
        assert!(!usage.takes(stranger, 801, &limits()) && usage.takes(stranger, 800, &limits()));
        usage.add(stranger, 800);
        assert!(!usage.takes(stranger, 1, &limits()));
        usage.subtract(stranger, 800);
        assert_eq!((usage.total, usage.entries()), (Share::default(), 1));
    }
}
