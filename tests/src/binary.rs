//! The programs under test. Cargo tells a test only where the binaries of its own package are, so the harness
//! asks Cargo itself to build `chat` and `chat-relay`, into the same target folder and with the same profile as
//! the test.
//!
//! `TEST_CHAT_FOLDER` names a folder with others: a release build, or one of another version.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Names the folder of the programs to be tested instead of those of this workspace.
const OVERRIDE: &str = "TEST_CHAT_FOLDER";
const PROGRAMS: [&str; 2] = ["chat", "chat-relay"];
/// What Cargo tells a test about the test's package would be wrong for the packages that are built.
const OF_THIS_PACKAGE: &[&str] =
    &["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// Where `chat` is; built by the first call.
pub fn chat() -> &'static Path {
    &programs()[0]
}

/// Where `chat-relay` is; built by the first call.
pub fn chat_relay() -> &'static Path {
    &programs()[1]
}

fn programs() -> &'static [PathBuf; 2] {
    static BUILT: OnceLock<[PathBuf; 2]> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = std::env::var_os(OVERRIDE).map_or_else(build, PathBuf::from);
        PROGRAMS.map(|name| {
            let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
            assert!(program.is_file(), "{} is not there", program.display());
            program
        })
    })
}

/// Builds the programs; the folder they are in.
fn build() -> PathBuf {
    // TARGET/PROFILE/deps/this-test, or TARGET/PROFILE/a-program
    let this = std::env::current_exe().expect("where this is");
    let folder = this.parent().expect("a folder of it");
    let folder =
        if folder.ends_with("deps") { folder.parent().expect("a folder of the profile") } else { folder };
    let target = folder.parent().expect("the target folder");
    let profile = folder.file_name().and_then(|name| name.to_str()).expect("the profile's name");
    // The folder of Cargo's profile `dev` is `debug`; all others are called as they are.
    let profile = if profile == "debug" { "dev" } else { profile };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    cargo.args(["build", "--quiet", "--locked", "--bins", "--profile", profile]);
    cargo.args(PROGRAMS.map(|name| format!("--package={name}")));
    cargo.arg("--target-dir").arg(target);
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    for (name, _) in std::env::vars_os() {
        let of_this = |prefix: &&str| name.to_str().is_some_and(|name| name.starts_with(*prefix));
        if OF_THIS_PACKAGE.iter().any(of_this) {
            cargo.env_remove(&name);
        }
    }
    let built = cargo.output().expect("cargo runs");
    assert!(
        built.status.success(),
        "the programs can't be built:\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    folder.to_owned()
}
