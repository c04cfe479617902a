//! Moments as a person reads them.

use chat_core::Timestamp;
use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Turns timestamps into local times and days.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    zone: TimeZone,
}

impl Clock {
    /// In the zone the system is set to (`TZ`, `/etc/localtime`), else UTC.
    pub(crate) fn system() -> Self {
        Self { zone: TimeZone::system() }
    }

    #[cfg(test)]
    pub(crate) fn utc() -> Self {
        Self { zone: TimeZone::UTC }
    }

    fn zoned(&self, at: Timestamp) -> Option<Zoned> {
        let moment = jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
        Some(moment.to_zoned(self.zone.clone()))
    }

    /// `12:03`; `--:--` for a moment outside of the calendar, which a sender's clock may claim.
    pub(crate) fn time(&self, at: Timestamp) -> String {
        match self.zoned(at) {
            Some(zoned) => format!("{:02}:{:02}", zoned.hour(), zoned.minute()),
            None => "--:--".to_owned(),
        }
    }

    /// The local day, if it is in the calendar.
    pub(crate) fn day(&self, at: Timestamp) -> Option<Date> {
        self.zoned(at).map(|zoned| zoned.date())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_days_and_clocks_that_lie() {
        let clock = Clock::utc();
        assert_eq!(clock.time(Timestamp(1_700_000_000_000)), "22:13");
        assert_eq!(clock.day(Timestamp(1_700_000_000_000)).unwrap().to_string(), "2023-11-14");
        for absurd in [u64::MAX, i64::MAX as u64] {
            assert_eq!(clock.time(Timestamp(absurd)), "--:--");
            assert_eq!(clock.day(Timestamp(absurd)), None);
        }
    }
}
