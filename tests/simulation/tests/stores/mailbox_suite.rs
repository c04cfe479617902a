//! What every mailbox must hold, of the relay's on a disk that loses power.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chat_simulation::disk::{CrashMode, Disk};
use relay::testing::{RULES, Shelf, Subject, Violation};
use relay::{Mailbox, MailboxLimits, SqliteMailbox};

static SEEDS: AtomicU64 = AtomicU64::new(0);

/// A disk. What was not synced is lost with the power, all of it.
struct OnDisk(Arc<Disk>);

impl OnDisk {
    fn new(lying: bool) -> Self {
        let disk = Disk::new(SEEDS.fetch_add(1, Ordering::Relaxed));
        disk.set_crash_mode(CrashMode::Nothing);
        disk.set_lying(lying);
        Self(disk)
    }
}

impl Shelf for OnDisk {
    fn open(&self, limits: &MailboxLimits) -> Result<Arc<dyn Mailbox>, Violation> {
        let path = self.0.path("relay.db");
        let opened = SqliteMailbox::open_on_vfs(self.0.vfs_name(), &path, limits.clone(), &chat_core::System);
        opened
            .map(|mailbox| Arc::new(mailbox) as _)
            .map_err(|error| Violation::new(format!("opening: {error}")))
    }

    /// Nobody can use this disk and let its process be killed; `relay/tests/suite` copies real files for that.
    fn after_a_kill(&self) -> Option<Box<dyn Shelf>> {
        None
    }

    fn after_a_power_cut(&self) -> Option<Box<dyn Shelf>> {
        self.0.crash();
        self.0.power_on();
        Some(Box::new(Self(Arc::clone(&self.0))))
    }
}

relay::mailbox_suite!(|| Box::new(OnDisk::new(false)));

/// A mailbox that does not sync what it says is stored, as with `PRAGMA synchronous = OFF`: here the disk throws its syncs
/// away.
#[test]
fn a_mailbox_that_does_not_sync_is_found_out() {
    let lying: Subject = || Box::new(OnDisk::new(true));
    let broken = RULES.iter().filter(|rule| rule.check(&lying).is_err()).map(|rule| rule.name());
    assert_eq!(broken.collect::<Vec<_>>(), ["a_power_cut_loses_nothing_that_was_answered"]);
}
