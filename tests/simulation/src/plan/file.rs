//! A plan as a text, in TOML: to be kept, read and run again.

use std::fmt;

use super::Plan;

impl Plan {
    /// The plan as a file of TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| panic!("a plan is numbers and words: {error}"))
    }

    /// The plan that such a file says. Nothing in it may be missing, unknown or impossible.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let plan: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if !(2..=super::NAMES.len()).contains(&plan.people) {
            return Err(format!("people = {}: from 2 to {}", plan.people, super::NAMES.len()));
        }
        if plan.send_every_ms == 0 || plan.weather.change_every_ms == 0 {
            return Err("send_every_ms and weather.change_every_ms are not 0".to_owned());
        }
        if plan.text_bytes == 0 || plan.weather.burst == 0 {
            return Err("text_bytes and weather.burst are not 0".to_owned());
        }
        Ok(plan)
    }
}

/// As it is kept, indented.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} stands for:", self.seed)?;
        self.to_toml().lines().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

/// A stack as its text.
pub(super) mod text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::stack::Stack;

    pub(crate) fn serialize<S: Serializer>(stack: &Stack, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(stack)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Stack, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A duration as a number of milliseconds.
pub(super) mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn plan() -> Plan {
        Plan::draw(7, Duration::from_secs(120), None)
    }

    #[test]
    fn every_plan_comes_back_from_its_text() {
        for seed in 0..50 {
            let plan = Plan::draw(seed, Duration::from_secs(seed), None);
            assert_eq!(Plan::from_toml(&plan.to_toml()), Ok(plan));
        }
    }

    #[test]
    fn what_is_missing_unknown_or_impossible_is_refused() {
        let text = plan().to_toml();
        let people = format!("people = {}", plan().people);
        for (from, to) in [
            ("seed = 7", ""),
            ("seed = 7", "seed = 7\nseeds = 8"),
            (&people[..], "people = 1"),
            (&people, "people = 6"),
            ("hosting = \"apart\"", "hosting = \"nobody\""),
            ("[weather]", "[weather]\nsnow = 1"),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{from}");
            assert!(Plan::from_toml(&changed).is_err(), "{changed}");
        }
    }
}
