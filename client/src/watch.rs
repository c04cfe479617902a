//! Plugins run on the engine's thread, and a thread can't be taken out of code that never returns. So somebody looks on
//! from outside: if one call lasts too long, the program is told to end. Sessions are on the disk, as after `kill -9`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use chat_core::error::CryptoError;

/// How often a call is looked at, and how often the same one may be seen. Looks are counted instead of time, because a
/// process that is stopped for a while does not look either.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
pub(crate) const LOOKS: u32 = 30;

/// What a plugin is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Initiate,
    Accept,
    Restore,
    Seal,
    Open,
    NeedsRenewal,
    Expire,
    Save,
    /// Of a link.
    Figures,
}

impl Call {
    const ALL: [Self; 9] = [
        Self::Initiate,
        Self::Accept,
        Self::Restore,
        Self::Seal,
        Self::Open,
        Self::NeedsRenewal,
        Self::Expire,
        Self::Save,
        Self::Figures,
    ];

    /// What hangs if it does not return.
    pub(crate) fn culprit(self, key_exchange: &str) -> String {
        match self {
            Self::Figures => "the transport".to_owned(),
            _ => format!("the key exchange `{key_exchange}`, or the cipher under it,"),
        }
    }

    /// As the traits name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Initiate => "initiate",
            Self::Accept => "accept",
            Self::Restore => "restore",
            Self::Seal => "seal",
            Self::Open => "open",
            Self::NeedsRenewal => "needs_renewal",
            Self::Expire => "expire",
            Self::Save => "save",
            Self::Figures => "figures",
        }
    }
}

/// Which call is going on: its number × 16 + its place in [`Call::ALL`] + 1, or + 0 between calls.
#[derive(Default)]
pub(crate) struct Watch(AtomicU64);

/// Calls told apart in the lowest bits.
const CALLS: u64 = 16;

impl Watch {
    /// Runs a plugin's code; a panic in it is an error like any other.
    pub(crate) fn guarded<T>(
        &self,
        call: Call,
        work: impl FnOnce() -> Result<T, CryptoError>,
    ) -> Result<T, CryptoError> {
        let place = Call::ALL.iter().position(|&known| known == call).unwrap_or_default() as u64 + 1;
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before.wrapping_add(place), Ordering::Relaxed);
        let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(CryptoError::Failed("it panicked")));
        self.0.store(before.wrapping_add(CALLS), Ordering::Relaxed);
        done
    }

    fn now(&self) -> Option<(u64, Call)> {
        let number = self.0.load(Ordering::Relaxed);
        let place = usize::try_from(number % CALLS).ok()?.checked_sub(1)?;
        Call::ALL.get(place).map(|call| (number, *call))
    }
}

/// Whoever looks on.
#[derive(Default)]
struct Onlooker {
    seen: Option<u64>,
    looks: u32,
}

impl Onlooker {
    /// How often in a row the call that is going on now was seen.
    fn look(&mut self, watch: &Watch) -> Option<(u32, Call)> {
        let now = watch.now();
        let number = now.map(|(number, _)| number);
        self.looks = if number == self.seen { self.looks.saturating_add(1) } else { 1 };
        self.seen = number;
        now.map(|(_, call)| (self.looks, call))
    }
}

/// Looks on until the engine has ended, which drops the sender of `ended`, or until a call was seen more than `looks`
/// times in a row: that one is given.
pub(crate) fn look_on(
    watch: &Weak<Watch>,
    ended: &Receiver<()>,
    every: Duration,
    looks: u32,
) -> Option<Call> {
    let mut onlooker = Onlooker::default();
    while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        match onlooker.look(&*watch.upgrade()?) {
            Some((seen, call)) if seen > looks => return Some(call),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_call_that_goes_on_and_on_counts() {
        let (watch, mut onlooker) = (Watch::default(), Onlooker::default());
        assert_eq!(onlooker.look(&watch), None);
        for call in Call::ALL {
            let done = watch.guarded(call, || {
                for look in 1..=LOOKS {
                    assert_eq!(onlooker.look(&watch), Some((look, call)));
                }
                Ok(7)
            });
            assert_eq!(done, Ok(7));
        }
        assert_eq!(onlooker.look(&watch), None);
        // The same again is another call.
        for _ in 0..3 {
            let panicked: Result<(), _> = watch.guarded(Call::Seal, || {
                assert_eq!(onlooker.look(&watch), Some((1, Call::Seal)));
                panic!("as plugins do");
            });
            assert_eq!(panicked, Err(CryptoError::Failed("it panicked")));
        }
        assert_eq!(onlooker.look(&watch), None);
    }
}
