//! Values with their units: read strictly, shown so that they are read as the same.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{Blackhole, Probability};

pub(crate) const NANOS: u128 = 1_000_000_000;

/// A unit, and how many of the smallest one it is; the last of a list is the smallest.
type Unit = (&'static str, u128);

const TIMES: &[Unit] = &[("s", NANOS), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];
const RATES: &[Unit] = &[("gbit", NANOS), ("mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];
const SIZES: &[Unit] = &[("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// What was written is no such value; says what is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("accepted: {accepted}")]
pub struct UnitError {
    /// What would be accepted.
    pub accepted: &'static str,
}

const fn accepted(accepted: &'static str) -> UnitError {
    UnitError { accepted }
}

/// A time: `50ms`.
///
/// # Errors
/// Anything but a whole number with its unit.
pub fn time(text: &str) -> Result<Duration, UnitError> {
    let nanos = with_unit(text, TIMES).and_then(|nanos| u64::try_from(nanos).ok());
    nanos.map(Duration::from_nanos).ok_or(accepted("a whole number of ns, us, ms or s, such as 50ms"))
}

/// Bytes a second, from bits: `1mbit` are 125,000.
///
/// # Errors
/// Anything but a whole number with its unit that makes whole bytes, at least one.
pub fn rate(text: &str) -> Result<u64, UnitError> {
    let bits = with_unit(text, RATES).filter(|bits| *bits > 0 && bits.is_multiple_of(8));
    let bytes = bits.and_then(|bits| u64::try_from(bits / 8).ok());
    bytes.ok_or(accepted(
        "a whole number of bit, kbit, mbit or gbit a second, a multiple of 8bit, such as 1mbit",
    ))
}

/// Bytes: `64KiB`.
///
/// # Errors
/// Anything but a whole number with its unit.
pub fn size(text: &str) -> Result<u64, UnitError> {
    let bytes = with_unit(text, SIZES).and_then(|bytes| u64::try_from(bytes).ok());
    bytes.ok_or(accepted("a whole number of B, KiB or MiB, such as 64KiB"))
}

/// The mean length of a burst, in packets: `3`.
///
/// # Errors
/// Anything but a whole number of at least one.
pub fn burst(text: &str) -> Result<u32, UnitError> {
    let packets = whole(text).and_then(|packets| u32::try_from(packets).ok());
    packets.filter(|packets| *packets > 0).ok_or(accepted("a whole number of packets, at least 1"))
}

/// The size of the largest packet, in bytes: `1200`.
///
/// # Errors
/// Anything but a whole number of at least one.
pub fn mtu(text: &str) -> Result<u64, UnitError> {
    let bytes = whole(text).and_then(|bytes| u64::try_from(bytes).ok());
    bytes.filter(|bytes| *bytes > 0).ok_or(accepted("a whole number of bytes, at least 1, such as 1200"))
}

/// `30%`, or `0.3`: exact to a millionth.
impl FromStr for Probability {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, whole_digits) = match text.strip_suffix('%') {
            Some(number) => (number, 4),
            None => (text, 6),
        };
        let millionths = decimal(number, whole_digits).filter(|n| *n <= u128::from(Self::ONE));
        let millionths = millionths.and_then(|n| u32::try_from(n).ok()).map(Self::millionths);
        millionths.ok_or(accepted("0% to 100%, or 0 to 1, in steps of a millionth, such as 30% or 0.3"))
    }
}

/// `2s/5s`
impl FromStr for Blackhole {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let parts =
            text.split_once('/').and_then(|(closed, every)| Some((time(closed).ok()?, time(every).ok()?)));
        let hole = parts.filter(|(closed, every)| *closed > Duration::ZERO && closed <= every);
        hole.map(|(closed, every)| Self { closed, every })
            .ok_or(accepted("how long it is closed and out of what time, not more than that, such as 2s/5s"))
    }
}

/// A number of digits alone.
fn whole(text: &str) -> Option<u128> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// A whole number directly before one of the units, in the smallest unit.
fn with_unit(text: &str, units: &[Unit]) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let (_, size) = units.iter().find(|(name, _)| *name == unit)?;
    whole(number)?.checked_mul(*size)
}

/// A number with at most so many digits behind the point, times ten to the power of that.
fn decimal(text: &str, digits: usize) -> Option<u128> {
    let (number, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.len() > digits {
        return None;
    }
    let missing = u32::try_from(digits - part.len()).ok()?;
    let one = 10_u128.pow(u32::try_from(digits).ok()?);
    whole(number)?.checked_mul(one)?.checked_add(whole(part)?.checked_mul(10_u128.pow(missing))?)
}

/// Shown as `50ms`.
pub(crate) struct Time(pub(crate) Duration);
/// Bytes a second, shown as `1mbit`.
pub(crate) struct Rate(pub(crate) u64);
/// Bytes, shown as `64KiB`.
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        largest(f, self.0.as_nanos(), TIMES)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        largest(f, u128::from(self.0.max(1)) * 8, RATES)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        largest(f, u128::from(self.0), SIZES)
    }
}

/// In the largest unit in which it is a whole number.
fn largest(f: &mut fmt::Formatter<'_>, value: u128, units: &[Unit]) -> fmt::Result {
    let fits = |(_, size): &&Unit| value >= *size && value.is_multiple_of(*size);
    match units.iter().find(fits).or(units.last()) {
        Some((unit, size)) => write!(f, "{}{unit}", value / size),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        let ms = Duration::from_millis;
        assert_eq!(
            ["0ns", "50ms", "2s", "1500us"].map(time),
            [0, 50_000, 2_000_000, 1_500].map(|us| Ok(Duration::from_micros(us)))
        );
        assert_eq!(["8bit", "1kbit", "1mbit", "2gbit"].map(rate), [1, 125, 125_000, 250_000_000].map(Ok));
        assert_eq!(["0B", "64KiB", "1MiB"].map(size), [0, 65_536, 1_048_576].map(Ok));
        assert_eq!((burst("3"), mtu("1200")), (Ok(3), Ok(1200)));
        let shares = ["30%", "0.3", "0", "0%", "1", "1.0", "100%", "0.5%", "0.000001", "0.0001%"];
        let millionths = [300_000, 300_000, 0, 0, 1_000_000, 1_000_000, 1_000_000, 5_000, 1, 1];
        assert_eq!(shares.map(str::parse), millionths.map(|n| Ok(Probability::millionths(n))));
        assert_eq!("2ms/5ms".parse(), Ok(Blackhole { closed: ms(2), every: ms(5) }));
        assert_eq!("5s/5s".parse(), Ok(Blackhole { closed: ms(5_000), every: ms(5_000) }));
    }

    #[test]
    fn anything_else_is_refused() {
        let huge = "9".repeat(60);
        for text in [
            "",
            "50",
            "ms",
            "-1ms",
            "+1ms",
            "1.5s",
            " 1s",
            "1 s",
            "1S",
            "1m",
            "1ſ",
            "1٣s",
            "1s ",
            &format!("{huge}s"),
            "99999999999999999s",
        ] {
            assert!(time(text).is_err(), "{text:?}");
        }
        for text in
            ["", "0bit", "1bit", "12bit", "1", "1mb", "1Mbit", "1mbit/s", "-8bit", &format!("{huge}bit")]
        {
            assert!(rate(text).is_err(), "{text:?}");
        }
        for text in ["", "64", "64K", "64kB", "64kib", "1GiB", "99999999999999999999MiB"] {
            assert!(size(text).is_err(), "{text:?}");
        }
        for text in ["", "0", "-1", "1.5", "1e3", "99999999999999999999"] {
            assert!(burst(text).is_err() && mtu(text).is_err(), "{text:?}");
        }
        for text in [
            "",
            "%",
            ".",
            ".3",
            "1.",
            "30 %",
            "30%%",
            "101%",
            "1.000001",
            "30",
            "-1%",
            "nan",
            "0.0000001",
            "0.00001%",
            "0,3",
            &huge,
            &format!("0.{huge}"),
        ] {
            assert!(text.parse::<Probability>().is_err(), "{text:?}");
        }
        for text in ["", "2s", "2s/", "/5s", "6s/5s", "0s/5s", "0s/0s", "2/5", "2s/5s/6s"] {
            assert!(text.parse::<Blackhole>().is_err(), "{text:?}");
        }
    }
}
