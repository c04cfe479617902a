//! An impairment as it is written on a command line.

use std::str::FromStr;

use crate::units::{self, UnitError};
use crate::{Impairment, Probability};

/// What is written asks for no impairment. Names stand without their hyphens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionError {
    /// There is no such option.
    #[error(
        "there is no option `{0}`; accepted: --loss, --burst, --delay, --jitter, --reorder, --duplicate, --corrupt, \
         --rate, --queue, --mtu, --blackhole"
    )]
    Unknown(String),
    /// The option has no value.
    #[error("--{0} has no value")]
    NoValue(&'static str),
    /// The option is given twice.
    #[error("--{0} is given twice")]
    Twice(&'static str),
    /// The value is none of the option.
    #[error("--{name} {value}: {error}")]
    Value {
        /// The option.
        name: &'static str,
        /// What was written.
        value: String,
        /// What is accepted.
        error: UnitError,
    },
    /// The option says nothing without another one.
    #[error("--{name} says nothing without --{needs}")]
    Needs {
        /// The option.
        name: &'static str,
        /// The one that is missing.
        needs: &'static str,
    },
    /// So much can't be lost in so short bursts.
    #[error("--burst {burst}: at a loss of {loss}, as many packets as {least} are lost in a row at least")]
    ShortBurst {
        /// What was asked.
        burst: u32,
        /// What was asked.
        loss: Probability,
        /// The shortest bursts there can be.
        least: u32,
    },
    /// A stream shows nothing of it.
    #[error("--{0} shows nothing on tcp, which puts it right; use udp")]
    Stream(&'static str),
}

const NAMES: [&str; 11] = [
    "loss",
    "burst",
    "delay",
    "jitter",
    "reorder",
    "duplicate",
    "corrupt",
    "rate",
    "queue",
    "mtu",
    "blackhole",
];

impl Impairment {
    /// Whether the values fit each other; a line makes something of any of them, but maybe not what was meant.
    ///
    /// # Errors
    /// [`OptionError::Needs`], [`OptionError::ShortBurst`].
    pub fn check(&self) -> Result<(), OptionError> {
        if let Some(burst) = self.burst {
            let (lost, kept) =
                (self.loss.in_millionths(), Probability::ALWAYS.in_millionths() - self.loss.in_millionths());
            if lost == 0 {
                return Err(OptionError::Needs { name: "burst", needs: "loss" });
            }
            // At a loss of 100 % there is only one burst.
            if kept > 0 && u64::from(burst) * u64::from(kept) < u64::from(lost) {
                return Err(OptionError::ShortBurst { burst, loss: self.loss, least: lost.div_ceil(kept) });
            }
        }
        if self.rate.is_none() && self.queue != Self::DEFAULT_QUEUE {
            return Err(OptionError::Needs { name: "queue", needs: "rate" });
        }
        Ok(())
    }

    /// As [`check`](Self::check), for a [`StreamLine`](crate::StreamLine).
    ///
    /// # Errors
    /// Also [`OptionError::Stream`].
    pub fn check_for_streams(&self) -> Result<(), OptionError> {
        self.check()?;
        let shows_nothing = [
            ("reorder", self.reorder != Probability::NEVER),
            ("duplicate", self.duplicate != Probability::NEVER),
            ("mtu", self.mtu.is_some()),
        ];
        match shows_nothing.iter().find(|(_, asked)| *asked) {
            Some((name, _)) => Err(OptionError::Stream(name)),
            None => Ok(()),
        }
    }

    fn set_option(&mut self, name: &str, value: &str) -> Result<(), UnitError> {
        match name {
            "loss" => self.loss = value.parse()?,
            "burst" => self.burst = Some(units::burst(value)?),
            "delay" => self.delay = units::time(value)?,
            "jitter" => self.jitter = units::time(value)?,
            "reorder" => self.reorder = value.parse()?,
            "duplicate" => self.duplicate = value.parse()?,
            "corrupt" => self.corrupt = value.parse()?,
            "rate" => self.rate = Some(units::rate(value)?),
            "queue" => self.queue = units::size(value)?,
            "mtu" => self.mtu = Some(units::mtu(value)?),
            _ => self.blackhole = Some(value.parse()?),
        }
        Ok(())
    }
}

/// Reads what [`Display`](std::fmt::Display) writes: `--loss 30% --burst 3`, separated by white space.
impl FromStr for Impairment {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let (mut impairment, mut seen) = (Self::NONE, Vec::new());
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").and_then(|word| NAMES.into_iter().find(|name| *name == word));
            let name = name.ok_or_else(|| OptionError::Unknown(word.to_owned()))?;
            if seen.contains(&name) {
                return Err(OptionError::Twice(name));
            }
            seen.push(name);
            let value = words.next().ok_or(OptionError::NoValue(name))?;
            let wrong = |error| OptionError::Value { name, value: value.to_owned(), error };
            impairment.set_option(name, value).map_err(wrong)?;
        }
        impairment.check()?;
        Ok(impairment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_as_the_same() {
        let texts = [
            "",
            "--loss 100%",
            "--loss 30% --burst 3 --delay 50ms --jitter 20001us --reorder 0.5% --duplicate 1% --corrupt 0.0001% \
             --rate 1mbit --queue 128KiB --mtu 1200 --blackhole 2s/5s",
            "--rate 8bit --queue 0B",
        ];
        for text in texts {
            assert_eq!(text.parse::<Impairment>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("--los 30%", "`--los`"),
            ("loss 30%", "`loss`"),
            ("--loss", "--loss has no value"),
            ("--loss 30% --loss 30%", "--loss is given twice"),
            ("--loss 130%", "--loss 130%: accepted: 0% to 100%"),
            ("--delay 50", "--delay 50: accepted: a whole number of ns"),
            ("--jitter x", "--jitter x: accepted"),
            ("--reorder x", "--reorder x: accepted"),
            ("--duplicate x", "--duplicate x: accepted"),
            ("--corrupt x", "--corrupt x: accepted"),
            ("--rate 1", "--rate 1: accepted"),
            ("--rate 1mbit --queue 1", "--queue 1: accepted"),
            ("--mtu 0", "--mtu 0: accepted"),
            ("--blackhole 5s/2s", "--blackhole 5s/2s: accepted"),
            ("--burst 3", "--burst says nothing without --loss"),
            ("--queue 1KiB", "--queue says nothing without --rate"),
            ("--loss 90% --burst 8", "at a loss of 90%, as many packets as 9 are lost in a row at least"),
        ];
        for (text, piece) in cases {
            let error = text.parse::<Impairment>().unwrap_err().to_string();
            assert!(error.contains(piece), "{text}: {error}");
        }
        for text in ["--loss 90% --burst 9", "--loss 100% --burst 1"] {
            assert!(text.parse::<Impairment>().is_ok(), "{text}");
        }
    }

    #[test]
    fn a_stream_takes_what_it_can_show() {
        let of = |text: &str| text.parse::<Impairment>().unwrap().check_for_streams();
        assert_eq!(
            of("--loss 1% --delay 1s --corrupt 1% --rate 1mbit --queue 1KiB --blackhole 1s/2s"),
            Ok(())
        );
        assert_eq!(of("--reorder 1%"), Err(OptionError::Stream("reorder")));
        assert_eq!(of("--duplicate 1%"), Err(OptionError::Stream("duplicate")));
        assert_eq!(of("--mtu 1"), Err(OptionError::Stream("mtu")));
    }
}
