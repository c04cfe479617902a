//! The program: everything is in the library, so that a stranger's `main` with another plugin is two lines too.

use std::process::ExitCode;

fn main() -> ExitCode {
    chat::main()
}
