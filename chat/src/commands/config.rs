//! `chat config show`

use crate::cli::ProfileArgs;
use crate::exit::{Failure, print};
use crate::{plugins, profiles};

pub(crate) fn show(
    profile: &str,
    sets: &[String],
    nick: Option<String>,
    frontend: Option<String>,
) -> Result<(), Failure> {
    let args = ProfileArgs { config: profile.to_owned(), set: sets.to_vec() };
    let profile = profiles::client(&args, nick.as_ref(), frontend.as_ref(), &plugins::registry()?)?;
    print(profile.show().trim_end())
}
