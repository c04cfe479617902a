//! `chat identity show`

use std::path::PathBuf;

use chat_core::nick::Nick;

use crate::home;
use chat_relay::exit::{Code, Failure, print};

pub(crate) fn show(nick: Option<String>, data_dir: Option<PathBuf>) -> Result<(), Failure> {
    let nick =
        nick.map(Nick::new).transpose().map_err(|e| Failure::new(Code::Usage, format!("--nick: {e}")))?;
    print(home::existing_peer(data_dir.as_deref(), nick)?)
}
