//! The program openssl, which makes certificates and speaks TLS, and shares no line with ours.

use std::path::PathBuf;
use std::process::Command;

use crate::world::Finished;
use crate::{Exit, World};

/// Runs it in the folder of the world; what it says, whatever it makes of it.
pub fn openssl(world: &World, arguments: &[&str], input: &[u8]) -> Finished {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(world.folder());
    world.run(command, input)
}

/// A certificate by itself for a host, as `name.pem`, with a key of some kind, as `name.key`, made as the profile tells one
/// to.
pub fn certificate(world: &World, name: &str, key: &[&str], host: &str) -> [PathBuf; 2] {
    let paths = ["pem", "key"].map(|end| world.path(format!("{name}.{end}")));
    let [pem, key_file] = paths.each_ref().map(|path| path.to_str().expect("a path in UTF-8"));
    let (subject, names) = (format!("/CN={host}"), format!("subjectAltName=DNS:{host}"));
    let made = ["-keyout", key_file, "-out", pem, "-days", "2", "-subj", &subject, "-addext", &names];
    let ended = openssl(world, &[&["req", "-x509", "-nodes"], key, &made].concat(), &[]);
    // It says on standard error how it gets on.
    assert_eq!(ended.exit, Exit::Code(0), "{}", ended.stderr);
    paths
}
