//! Who pays for what strangers do: a network address. Identities cost nothing, addresses do.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::bucket::TokenBucket;
use crate::config::RelayConfig;
use crate::memory::Pool;

/// Addresses without a link whose budgets are remembered; over it all of them are forgotten, which gives away one
/// burst each.
const MAX_REMEMBERED: usize = 16_384;

/// What one subscriber usually has of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Origin {
    /// This machine.
    Loopback,
    V4(Ipv4Addr),
    /// The first 64 bits: a subscriber's network (RFC 6177 §2).
    V6([u16; 4]),
    /// A transport without such addresses.
    Unknown,
}

impl Origin {
    /// Of what [`chat_core::transport::Incoming::remote`] says.
    pub(crate) fn of(remote: &str) -> Self {
        let address =
            remote.parse().map(|remote: SocketAddr| remote.ip()).or_else(|_| remote.parse::<IpAddr>());
        match address.map(|address| address.to_canonical()) {
            Ok(address) if address.is_loopback() => Self::Loopback,
            Ok(IpAddr::V4(address)) => Self::V4(address),
            Ok(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
            Err(_) => Self::Unknown,
        }
    }

    /// Whether it may stand for many people: programs of this machine, or of this process, or all that a proxy on
    /// this machine passes on.
    fn is_local(self) -> bool {
        matches!(self, Self::Loopback | Self::Unknown)
    }
}

/// What one address may do.
#[derive(Debug, Clone, Copy)]
struct Budgets {
    links: usize,
    new_peers: (u32, u32),
    new_members: (u32, u32),
    one_time_keys: (u32, u32),
    memory: usize,
}

#[derive(Debug)]
struct Account {
    /// Tells it apart from others; 0 for an address that may stand for many people.
    payer: u64,
    links: usize,
    memory: Arc<Pool>,
    new_peers: TokenBucket,
    new_members: TokenBucket,
    one_time_keys: TokenBucket,
}

/// All addresses that have a link, or had one lately.
#[derive(Debug)]
pub(crate) struct Origins {
    remote: Budgets,
    local: Budgets,
    /// Most links of all together.
    max_links: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    accounts: BTreeMap<Origin, Account>,
    /// Of all together.
    links: usize,
    last_payer: u64,
}

impl Origins {
    pub(crate) fn new(config: &RelayConfig) -> Arc<Self> {
        let factor = config.local_factor.max(1);
        let times = |factor: u32| Budgets {
            links: config.links_per_address.saturating_mul(factor as usize),
            new_peers: (
                config.new_peers_per_minute.saturating_mul(factor),
                config.new_peers_burst.saturating_mul(factor),
            ),
            new_members: (
                config.new_members_per_minute.saturating_mul(factor),
                config.new_members_burst.saturating_mul(factor),
            ),
            one_time_keys: (
                config.one_time_keys_per_minute.saturating_mul(factor),
                config.one_time_keys_burst.saturating_mul(factor),
            ),
            memory: config.memory_bytes / 4 * if factor == 1 { 1 } else { 3 },
        };
        let (max_links, known) = (config.max_links(), Mutex::default());
        Arc::new(Self { remote: times(1), local: times(factor), max_links, known })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn budgets(&self, origin: Origin) -> Budgets {
        if origin.is_local() { self.local } else { self.remote }
    }

    /// One more link of this address, if it may have one.
    pub(crate) fn visit(self: &Arc<Self>, origin: Origin) -> Option<Visit> {
        let budgets = self.budgets(origin);
        let Known { accounts, links, last_payer } = &mut *self.known();
        if accounts.len() >= MAX_REMEMBERED && !accounts.contains_key(&origin) {
            forget(accounts, Instant::now());
        }
        let account = accounts.entry(origin).or_insert_with(|| {
            *last_payer += 1;
            Account {
                payer: if origin.is_local() { 0 } else { *last_payer },
                links: 0,
                memory: Pool::new(budgets.memory),
                new_peers: TokenBucket::per_minute(budgets.new_peers.0, budgets.new_peers.1),
                new_members: TokenBucket::per_minute(budgets.new_members.0, budgets.new_members.1),
                one_time_keys: TokenBucket::per_minute(budgets.one_time_keys.0, budgets.one_time_keys.1),
            }
        });
        if account.links >= budgets.links || *links >= self.max_links {
            return None;
        }
        account.links += 1;
        *links += 1;
        let (memory, payer) = (Arc::clone(&account.memory), account.payer);
        Some(Visit { origins: Arc::clone(self), origin, payer, memory })
    }
}

/// Forgets whoever is as good as new; if that are few, everybody without a link.
fn forget(accounts: &mut BTreeMap<Origin, Account>, now: Instant) {
    accounts.retain(|_, account| {
        let buckets = [&mut account.new_peers, &mut account.new_members, &mut account.one_time_keys];
        account.links > 0 || buckets.into_iter().any(|bucket| !bucket.is_full(now))
    });
    if accounts.len() > MAX_REMEMBERED / 4 * 3 {
        accounts.retain(|_, account| account.links > 0);
    }
}

/// A link, as its address pays for it. Dropping it gives the place to another.
#[derive(Debug)]
pub(crate) struct Visit {
    origins: Arc<Origins>,
    origin: Origin,
    payer: u64,
    /// What may wait for all links of the address.
    pub(crate) memory: Arc<Pool>,
}

impl Visit {
    fn take(&self, of: impl FnOnce(&mut Account) -> &mut TokenBucket) -> bool {
        let mut known = self.origins.known();
        known.accounts.get_mut(&self.origin).is_some_and(|account| of(account).take(Instant::now()))
    }

    /// The address's number in the mailbox: it says nothing of the address, and a forgotten one gets another.
    pub(crate) fn payer(&self) -> u64 {
        self.payer
    }

    /// Whether the address may bring one more peer that the relay does not know.
    pub(crate) fn may_bring_a_peer(&self) -> bool {
        self.take(|account| &mut account.new_peers)
    }

    /// Whether the address may make one more membership.
    pub(crate) fn may_join(&self) -> bool {
        self.take(|account| &mut account.new_members)
    }

    /// Whether the address may take one more one-time key of another.
    pub(crate) fn may_take_a_one_time_key(&self) -> bool {
        self.take(|account| &mut account.one_time_keys)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut known = self.origins.known();
        known.links = known.links.saturating_sub(1);
        if let Some(account) = known.accounts.get_mut(&self.origin) {
            account.links = account.links.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn addresses_of_one_subscriber_are_one_origin() {
        let same = [
            ("192.0.2.1:5", "192.0.2.1:6"),
            ("192.0.2.1:5", "[::ffff:192.0.2.1]:7"),
            ("192.0.2.1", "192.0.2.1:6"),
            ("[2001:db8:1:2::3]:5", "[2001:db8:1:2:ffff::]:6"),
            ("127.0.0.1:5", "127.9.9.9:5"),
            ("127.0.0.1:5", "[::1]:5"),
            ("memory", "a dialer in this process"),
        ];
        for (a, b) in same {
            assert_eq!(Origin::of(a), Origin::of(b));
        }
        let others =
            ["192.0.2.1:5", "192.0.2.2:5", "[2001:db8:1:2::3]:5", "[2001:db8:1:3::3]:5", "[::1]:5", "memory"];
        for (i, a) in others.iter().enumerate() {
            assert!(others.iter().skip(i + 1).all(|b| Origin::of(a) != Origin::of(b)), "{a}");
        }
    }

    fn small() -> Arc<Origins> {
        Origins::new(&RelayConfig {
            links_per_address: 2,
            new_peers_per_minute: 60,
            new_peers_burst: 3,
            new_members_per_minute: 60,
            new_members_burst: 4,
            one_time_keys_per_minute: 60,
            one_time_keys_burst: 5,
            local_factor: 10,
            ..RelayConfig::default()
        })
    }

    fn v4(last: u8) -> Origin {
        Origin::V4(Ipv4Addr::new(192, 0, 2, last))
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_so_much_and_others_have_theirs() {
        let origins = small();
        let first = origins.visit(v4(1)).unwrap();
        let second = origins.visit(v4(1)).unwrap();
        assert!(origins.visit(v4(1)).is_none());
        let other = origins.visit(v4(2)).unwrap();
        assert_eq!((0..9).filter(|_| first.may_bring_a_peer()).count(), 3);
        assert!(!second.may_bring_a_peer(), "it is the same purse");
        assert_eq!((0..9).filter(|_| second.may_join()).count(), 4);
        assert_eq!((0..9).filter(|_| second.may_take_a_one_time_key()).count(), 5);
        assert_eq!((0..9).filter(|_| other.may_bring_a_peer()).count(), 3);
        drop(second);
        // Neither a new link nor a moment without one fills it again; time does.
        let third = origins.visit(v4(1)).unwrap();
        drop((first, third));
        let again = origins.visit(v4(1)).unwrap();
        assert!(!again.may_bring_a_peer());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!((0..9).filter(|_| again.may_bring_a_peer()).count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn this_machine_has_more_but_not_without_end() {
        for local in [Origin::Loopback, Origin::Unknown] {
            let origins = small();
            let links: Vec<Visit> = (0..100).map_while(|_| origins.visit(local)).collect();
            assert_eq!(links.len(), 20);
            assert_eq!((0..100).filter(|_| links[0].may_bring_a_peer()).count(), 30);
            assert_eq!((0..100).filter(|_| links[0].may_join()).count(), 40);
            assert_eq!((0..100).filter(|_| links[0].may_take_a_one_time_key()).count(), 50);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_together_have_so_many_links() {
        let origins = Origins::new(&RelayConfig { max_clients: 80, ..RelayConfig::default() });
        let mut links: Vec<Visit> = (0..=255).filter_map(|last| origins.visit(v4(last))).collect();
        assert_eq!(links.len(), 80 + 10 + 16, "those that are on their way out, too");
        links.pop();
        links.extend(origins.visit(v4(1)));
        assert!(links.len() == 106 && origins.visit(v4(2)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_of_addresses_is_bounded() {
        let origins = small();
        let stays = origins.visit(v4(1)).unwrap();
        while stays.may_bring_a_peer() {}
        for n in 0..3 * MAX_REMEMBERED {
            let [.., a, b] = n.to_be_bytes();
            let visit = origins.visit(Origin::V6([0x2001, 0xdb8, u16::from(a), u16::from(b)])).unwrap();
            assert!(visit.may_bring_a_peer());
            assert!(origins.known().accounts.len() <= MAX_REMEMBERED + 1);
        }
        assert!(!stays.may_bring_a_peer(), "who has a link is not forgotten");
    }
}
