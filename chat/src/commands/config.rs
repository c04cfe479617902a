//! `chat config show`

use crate::{plugins, profiles};
use chat_relay::exit::{Failure, print};

pub(crate) fn show(
    profile: &str,
    sets: &[String],
    nick: Option<String>,
    frontend: Option<String>,
) -> Result<(), Failure> {
    let profile = profiles::client(profile, sets, nick.as_ref(), frontend.as_ref(), &plugins::registry()?)?;
    print(profile.show().trim_end())
}
