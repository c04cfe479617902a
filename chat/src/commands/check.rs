//! `chat check`: everything a run does up to its first effect.

use chat_relay::exit::{Code, Failure, print};
use chat_relay::profiles::{inputs, load};

use crate::{plugins, profiles};

/// Checks one profile.
pub(crate) fn one(name: &str, sets: &[String]) -> Result<(), Failure> {
    let registry = plugins::registry()?;
    load(&inputs(name, sets)?.for_client(&registry, profiles::GIVEN)).map(drop)
}

pub(crate) fn run(names: &[String], sets: &[String]) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for name in names {
        match one(name, sets) {
            Ok(()) => print(format!("{name}: ok"))?,
            Err(failure) => failures.push(failure.message),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::new(Code::Usage, failures.join("\n\n"))) }
}
