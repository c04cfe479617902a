//! What a relay counts. Numbers only: no id, no name.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Counts since the relay began, read without stopping it; they need not fit each other exactly.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
        #[non_exhaustive]
        pub struct Figures {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn figures(&self) -> Figures {
                Figures { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Clients connected now.
    clients,
    /// Bytes of envelopes waiting in memory now.
    live_bytes,
    /// Bytes of memory that what waits to be sent takes now, beyond what each client has of its own; see
    /// [`crate::RelayConfig::memory_bytes`].
    memory_bytes,
    /// Connections accepted.
    accepted,
    /// Connections that ended before `Hello`.
    failed_handshakes,
    /// Links, new peers and memberships refused because their network address has or does too much.
    refused_addresses,
    /// Links closed because the same peer connected again.
    replaced,
    /// Links closed because their peer took nothing for too long.
    stalled,
    /// Links closed for a record that was malformed or out of order.
    protocol_errors,
    /// Envelopes submitted.
    submitted,
    /// Envelopes stored, those delivered again included.
    stored,
    /// Envelopes submitted that were stored before.
    known,
    /// Envelopes refused, for any reason.
    refused,
    /// Envelopes refused because of the disk.
    refused_storage,
    /// Envelopes handed to links.
    delivered,
    /// Times a client fell behind and was switched to its mailbox.
    catch_ups,
    /// Times roster news of a client overflowed and its rooms were listed again.
    resyncs,
    /// Transactions of the mailbox.
    commits,
    /// Their duration, in microseconds, together.
    commit_us,
    /// Stored envelopes whose checksum did not match when they were read.
    damaged,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn sub(&self, n: usize) {
        self.0.fetch_sub(n as u64, Ordering::Relaxed);
    }
}
