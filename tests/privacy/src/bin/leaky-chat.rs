//! `chat` with plugins that leak. For the tests alone: their search must find out each of them.

use std::process::ExitCode;

use chat_privacy as _;

fn main() -> ExitCode {
    chat::main()
}
