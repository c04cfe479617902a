//! `chat identity show`, `chat identity qr`

use std::path::{Path, PathBuf};

use chat_core::Identity;

use chat_core::nick::Nick;

use crate::home;
use chat_relay::exit::{Code, Failure, print};

fn identity(nick: Option<String>, data_dir: Option<PathBuf>) -> Result<Identity, Failure> {
    let nick =
        nick.map(Nick::new).transpose().map_err(|e| Failure::new(Code::Usage, format!("--nick: {e}")))?;
    home::existing_identity(data_dir.as_deref(), nick)
}

pub(crate) fn show(nick: Option<String>, data_dir: Option<PathBuf>) -> Result<(), Failure> {
    print(identity(nick, data_dir)?.peer_id())
}

/// The fingerprint as a QR code: on the terminal, or in a picture.
pub(crate) fn qr(nick: Option<String>, data_dir: Option<PathBuf>, png: Option<&Path>) -> Result<(), Failure> {
    let fingerprint = identity(nick, data_dir)?.peer_id().to_string();
    let code = qr_code::Code::new(fingerprint.as_bytes()).map_err(Failure::failed)?;
    if let Some(path) = png {
        let picture = code.png().map_err(Failure::failed)?;
        std::fs::write(path, picture).map_err(|e| Failure::failed(format!("{}: {e}", path.display())))?;
    } else {
        print(code.half_blocks().join("\n"))?;
    }
    print(fingerprint)
}
