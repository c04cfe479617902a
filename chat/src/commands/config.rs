//! `chat config show`

use crate::{home, plugins, profiles};
use chat_relay::exit::{Failure, print};

pub(crate) fn show(
    profile: &str,
    sets: &[String],
    nick: Option<String>,
    frontend: Option<String>,
) -> Result<(), Failure> {
    let profile = profiles::client(profile, sets, nick.as_ref(), frontend.as_ref(), &plugins::registry()?)?;
    // Whoever has no login name is told so by a run.
    let login = home::login_nick().ok();
    print(profile.show_with_nick(login.as_ref()).trim_end())
}
