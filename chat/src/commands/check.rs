//! `chat check`: everything a run does up to its first effect.

use chat_relay::exit::{Code, Failure, print};
use chat_relay::profiles::{inputs, load};

use crate::{plugins, profiles};

pub(crate) fn run(names: &[String], sets: &[String]) -> Result<(), Failure> {
    let registry = plugins::registry()?;
    let mut failures = Vec::new();
    for name in names {
        let checked =
            inputs(name, sets).and_then(|inputs| load(&inputs.for_client(&registry, profiles::GIVEN)));
        match checked {
            Ok(_) => print(format!("{name}: ok"))?,
            Err(failure) => failures.push(failure.message),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::new(Code::Usage, failures.join("\n\n"))) }
}
