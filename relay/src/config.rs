//! What a relay allows. Every queue, wait and store has its bound here.

use std::time::Duration;

/// Limits of the live side: connections, queues, rates, deadlines.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Most clients at a time; one more is told so and closed.
    pub max_clients: usize,
    /// Most connections of one listener that have not said `Hello` yet; one more closes the oldest of whoever
    /// has most of them: an IPv4 address, or an IPv6 network of 64 bits.
    pub max_handshakes: usize,
    /// Most links of one network address at a time: an IPv4 address, or an IPv6 network of 64 bits.
    pub links_per_address: usize,
    /// Peers never seen before that one network address may bring in a minute, on average; identities cost nothing.
    pub new_peers_per_minute: u32,
    /// As above, at once.
    pub new_peers_burst: u32,
    /// Memberships of rooms that one network address may make in a minute, on average. To join where one is a member
    /// is free.
    pub new_members_per_minute: u32,
    /// As above, at once.
    pub new_members_burst: u32,
    /// One-time keys of others that one network address may take in a minute, on average; over it, it gets none.
    pub one_time_keys_per_minute: u32,
    /// As above, at once.
    pub one_time_keys_burst: u32,
    /// This machine (loopback), and transports without addresses, may do so many times as much as a network address:
    /// many programs, tests, or people behind a proxy.
    pub local_factor: u32,
    /// From the authenticated link to the first record.
    pub hello_timeout: Duration,
    /// A link that takes no frame for this long is closed; its envelopes wait in the mailbox.
    pub write_timeout: Duration,
    /// A link on which nothing is heard for this long is closed. Clients send `Ping`.
    pub idle_timeout: Duration,
    /// The longest wait for the mailbox before a record is refused with `Storage`.
    pub storage_timeout: Duration,
    /// Most delivered and not yet acknowledged envelopes of a client.
    pub window_items: usize,
    /// As above, in bytes; one envelope always fits.
    pub window_bytes: usize,
    /// Envelopes waiting in memory for one client, in bytes. Over it, the client reads its mailbox.
    pub live_bytes: usize,
    /// What waits in memory to be sent to all clients together, in bytes: answers, news, lists of members, envelopes.
    /// Each client may hold 32 KiB beside it. One network address may use a quarter, this machine three quarters. Near
    /// it, peers never seen before are refused and lists wait.
    pub memory_bytes: usize,
    /// Envelopes submitted and not committed yet, of all clients together, in bytes; more wait in the frames they came
    /// in.
    pub submit_bytes: usize,
    /// Envelopes a client may submit in a second, on average.
    pub submit_rate: u32,
    /// Envelopes a client may submit at once.
    pub submit_burst: u32,
    /// What is only of the moment (`Pass`), and how much of it a client is passed on in a second, on average; the rest is
    /// dropped.
    pub passed_rate: u32,
    /// As above, at once.
    pub passed_burst: u32,
    /// Records other than `Submit`, `Ack` and `Ping` in a second, on average.
    pub control_rate: u32,
    /// As above, at once: a client joins all its rooms when it connects.
    pub control_burst: u32,
    /// How long [`crate::Relay::shutdown`] may take.
    pub drain_timeout: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            max_clients: 4096,
            max_handshakes: 256,
            links_per_address: 64,
            new_peers_per_minute: 30,
            new_peers_burst: 150,
            new_members_per_minute: 60,
            new_members_burst: 600,
            one_time_keys_per_minute: 30,
            one_time_keys_burst: 210,
            local_factor: 32,
            hello_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
            storage_timeout: Duration::from_secs(30),
            window_items: 256,
            window_bytes: 1 << 20,
            live_bytes: 1 << 20,
            memory_bytes: 256 << 20,
            submit_bytes: 32 << 20,
            submit_rate: 2000,
            submit_burst: 10_000,
            passed_rate: 100,
            passed_burst: 500,
            control_rate: 50,
            control_burst: 512,
            drain_timeout: Duration::from_secs(2),
        }
    }
}

/// So many must be possible on each listener: with fewer, two people who come at once are in each other's way.
const FEWEST_HANDSHAKES: usize = 4;

impl RelayConfig {
    /// Most links at a time: those of clients, and those that were replaced or refused and are on their way out.
    pub(crate) fn max_links(&self) -> usize {
        self.max_clients.saturating_add(self.max_clients / 8).saturating_add(16)
    }

    /// Most connections at a time, of so many listeners: each may take an open file.
    pub fn max_connections(&self, listeners: usize) -> usize {
        self.max_links().saturating_add(self.max_handshakes.saturating_mul(listeners))
    }

    /// Lowers [`RelayConfig::max_handshakes`], so that they are a quarter of all at most, and
    /// [`RelayConfig::max_clients`], so that there are no more connections than this. A few of both stay.
    pub fn limit_connections(&mut self, most: usize, listeners: usize) {
        if self.max_connections(listeners) <= most {
            return;
        }
        let each = (most / 4 / listeners.max(1)).max(FEWEST_HANDSHAKES);
        self.max_handshakes = self.max_handshakes.min(each);
        let links = most.saturating_sub(self.max_handshakes.saturating_mul(listeners)).saturating_sub(16);
        self.max_clients = self.max_clients.min((links / 9 * 8).max(1));
    }

    /// [`RelayConfig::submit_bytes`] in KiB.
    pub(crate) fn submit_units(&self) -> u32 {
        u32::try_from(self.submit_bytes / 1024).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 3)
    }
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Limits of the durable side.
#[derive(Debug, Clone)]
pub struct MailboxLimits {
    /// Most bytes waiting for one recipient: a peer, or a room.
    pub mailbox_bytes: u64,
    /// One sender may fill this part of a mailbox, `mailbox_bytes / sender_share`, or have one larger envelope there;
    /// in a peer's, also no more than half of what others left, so that there is always something for a newcomer. The
    /// same holds for all senders behind one network address together.
    pub sender_share: u64,
    /// Strangers, to whom the owner of a peer's mailbox has
    /// never written, fill `mailbox_bytes / strangers_share` of it together, and each of their network addresses no more
    /// than half of what the others left of that.
    pub strangers_share: u64,
    /// One stranger may fill this part of a peer's mailbox, `mailbox_bytes / stranger_share`, or have one larger envelope
    /// there.
    pub stranger_share: u64,
    /// This part of a mailbox, and of all together, is kept for small senders: `mailbox_bytes / reserved_share` for those
    /// to whom its owner has written, `contacts_per_peer` of them in equal parts; and `stored_bytes / reserved_share` for
    /// all peers that are remembered, `max_peers` of them in equal parts. Nobody else has a part in it, so a crowd leaves
    /// each its own, whatever the crowd has become. 0 = nothing is kept.
    pub reserved_share: u64,
    /// Peers to whom one peer has written and who are remembered for that: no strangers to it. Beyond that, who was
    /// written to longest ago gives way: of those first to whom it was done within one hour only, as long as they are more
    /// than a quarter.
    pub contacts_per_peer: u64,
    /// Most bytes waiting for everybody together.
    pub stored_bytes: u64,
    /// Strangers may have this part of it waiting in all mailboxes together, `stored_bytes / strangers_stored_share`.
    pub strangers_stored_share: u64,
    /// One sender may have this part of it waiting in all mailboxes together, `stored_bytes / stored_share`, or one
    /// larger envelope.
    pub stored_share: u64,
    /// All senders behind one network address may have this part of it waiting together, `stored_bytes / payer_share`, or
    /// one larger envelope. This machine, and transports without addresses, are not bounded so.
    pub payer_share: u64,
    /// Most bytes of bundles and one-time keys in the directory.
    pub directory_bytes: u64,
    /// Most one-time keys of one peer; over it, its oldest are forgotten.
    pub one_time_keys: u32,
    /// One-time keys of one peer that one other gets in a day.
    pub one_time_keys_per_asker: u32,
    /// The last so many of a peer's one-time keys are given out one at a time, to whoever asks first:
    pub one_time_keys_floor: u32,
    /// after so long each. Somebody who brings many identities to use them up is held off until their owner comes.
    pub one_time_keys_floor_ms: u64,
    /// Most peers that are remembered.
    pub max_peers: u64,
    /// Most rooms of one peer.
    pub rooms_per_peer: u64,
    /// Most members of one room. When it is full, those who are not connected and have never published a bundle, or
    /// never submitted nor acknowledged an envelope, give way to newcomers.
    pub members_per_room: u64,
    /// Envelopes and the memory of their ids are forgotten after this time.
    pub ttl_ms: u64,
    /// Most ids that are remembered of one sender's envelopes; over it, the oldest is forgotten. A repeat of that one is
    /// stored again, and the recipient knows it.
    pub ids_per_sender: u64,
    /// Rows that one piece of a sweep looks at; everybody else's changes come between two pieces.
    pub sweep_rows: u32,
    /// Peers and memberships are forgotten when unseen for this time.
    pub unseen_ms: u64,
    /// Peers who have never submitted nor acknowledged an envelope are forgotten when unseen for this time and nothing
    /// waits for them: those without a bundle; and if a room of theirs or the relay is more than half full, all.
    pub silent_ms: u64,
    /// An envelope that was acknowledged and is submitted again is delivered again at most this often.
    pub redeliver_ms: u64,
    /// Bytes submitted and not yet committed, of all clients together.
    pub queue_bytes: usize,
    /// Largest database file in bytes; none = as large as the disk. Over it, storing fails as on a full disk.
    pub database_bytes: Option<u64>,
}

impl Default for MailboxLimits {
    fn default() -> Self {
        Self {
            mailbox_bytes: 64 << 20,
            sender_share: 4,
            strangers_share: 2,
            stranger_share: 5,
            reserved_share: 4,
            contacts_per_peer: 4096,
            stored_bytes: 4 << 30,
            strangers_stored_share: 2,
            stored_share: 64,
            payer_share: 8,
            directory_bytes: 1 << 30,
            one_time_keys: 128,
            one_time_keys_per_asker: 5,
            one_time_keys_floor: 25,
            one_time_keys_floor_ms: 10 * 60 * 1000,
            max_peers: 100_000,
            rooms_per_peer: 256,
            members_per_room: 10_000,
            ttl_ms: 30 * DAY_MS,
            ids_per_sender: 100_000,
            sweep_rows: 10_000,
            unseen_ms: 30 * DAY_MS,
            silent_ms: DAY_MS,
            redeliver_ms: 60_000,
            queue_bytes: 32 << 20,
            database_bytes: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_as_many_as_there_may_be_connections() {
        for (max_clients, most, listeners, expected) in [
            (10_000, 20_000, 4, (10_000, 256)),
            (10_000, 1000, 1, (648, 250)),
            (10_000, 1000, 4, (648, 62)),
            (10_000, 64, 4, (24, 4)),
            (100, 1, 1, (1, 4)),
            (1, 500, 1, (1, 256)),
            (1, 200, 1, (1, 50)),
        ] {
            let mut config = RelayConfig { max_clients, ..RelayConfig::default() };
            config.limit_connections(most, listeners);
            assert_eq!((config.max_clients, config.max_handshakes), expected, "{most} {listeners}");
            assert!(config.max_connections(listeners) <= most.max(17 + 4 * listeners), "{most} {listeners}");
        }
    }
}
