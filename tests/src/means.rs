//! What some tests need of a machine, and what becomes of them where it is not to be had.
//!
//! | where | a test without its means |
//! |---|---|
//! | on a developer's machine | passes, and says on standard error that nothing was tested |
//! | where `CI` is set | fails, and says what is missing |
//! | where `CHAT_CI_WITHOUT` names it, as in `capture,mount` | passes, and says so, as the whole run has to say |
//!
//! The program `chat-means` of this crate tries all of them, for `.ci/run`.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names what this machine can't do, with commas. What it can do is done all the same.
pub const WITHOUT: &str = "CHAT_CI_WITHOUT";

/// Something that not every machine has, or lets everybody do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// QUIC by somebody else: aioquic, for Python.
    Aioquic,
    /// Reading all packets of an address.
    Capture,
    /// Writing down the memory of a process.
    Core,
    /// Mounting a small disk.
    Mount,
    /// Making a network of one's own.
    Namespace,
    /// The program openssl.
    Openssl,
    /// The scanner sslscan.
    Sslscan,
    /// Making system calls fail.
    Strace,
}

impl Means {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Aioquic,
        Self::Capture,
        Self::Core,
        Self::Mount,
        Self::Namespace,
        Self::Openssl,
        Self::Sslscan,
        Self::Strace,
    ];

    /// As `CHAT_CI_WITHOUT` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aioquic => "aioquic",
            Self::Capture => "capture",
            Self::Core => "core",
            Self::Mount => "mount",
            Self::Namespace => "namespace",
            Self::Openssl => "openssl",
            Self::Sslscan => "sslscan",
            Self::Strace => "strace",
        }
    }

    /// What nobody knows without it.
    pub fn tests(self) -> &'static str {
        match self {
            Self::Aioquic => "that another QUIC and the one here understand each other",
            Self::Capture => "that no secret is in any packet (but the recorder's own record is searched)",
            Self::Core => "that no secret is in the relay's memory",
            Self::Mount => "what a full disk does",
            Self::Namespace => "that texts arrive whole through paths of short packets",
            Self::Openssl => "that openssl and TLS here understand each other",
            Self::Sslscan => "that sslscan finds nothing wrong with TLS here",
            Self::Strace => "what failing system calls do",
        }
    }

    /// What it takes.
    fn needs(self) -> &'static str {
        match self {
            Self::Aioquic => {
                "Python with the package aioquic (pip install aioquic), as python3 or what CHAT_TEST_PYTHON names"
            }
            Self::Capture => "Linux, and the capability CAP_NET_RAW",
            Self::Core => "gcore of the package gdb, and the right to trace processes",
            Self::Mount => "Linux, and the right to mount a tmpfs: root, or the capability CAP_SYS_ADMIN",
            Self::Namespace => {
                "Linux, iproute2, and the right to make network namespaces: root, or CAP_SYS_ADMIN"
            }
            Self::Openssl => "the package openssl, of version 3 at least",
            Self::Sslscan => "the package sslscan",
            Self::Strace => "the package strace, and the right to trace processes",
        }
    }

    /// Tries it; why it can't be done here, if it can't.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Aioquic => no_aioquic(),
            Self::Capture => packets::socket().err().map(|error| error.to_string()),
            Self::Core => no_core(),
            Self::Mount => no_mount(),
            Self::Namespace => no_namespace(),
            Self::Openssl => no_openssl(),
            Self::Sslscan => no_program("sslscan", "--version"),
            Self::Strace => no_strace(),
        }
    }

    /// Whether it can be done here. Says so if it can't, and fails where that must not be.
    pub fn are_there(self) -> bool {
        let missing = self.missing();
        if let Some(why) = &missing {
            self.lacking(why);
        }
        missing.is_none()
    }

    /// A test has found that it can't be done. Says so, past what catches the output of tests; fails where everything has
    /// to be tested.
    pub fn lacking(self, why: &str) {
        let line = self.verdict(std::env::var_os("CI"), std::env::var_os(WITHOUT), why);
        let line = line.unwrap_or_else(|fails| panic!("{fails}"));
        std::io::stderr().write_all(format!("{line}\n").as_bytes()).expect("standard error");
    }

    /// What is to be said, or with what the test fails.
    fn verdict(self, ci: Option<OsString>, without: Option<OsString>, why: &str) -> Result<String, String> {
        let (name, tests, why) = (self.name(), self.tests(), why.trim());
        let without =
            without.unwrap_or_default().into_string().map_err(|_| format!("{WITHOUT} is no text"))?;
        let mut listed = without.split(',').map(str::trim).filter(|word| !word.is_empty());
        if let Some(unknown) = listed.clone().find(|word| Self::ALL.iter().all(|means| means.name() != *word))
        {
            let known = Self::ALL.map(Self::name).join(", ");
            return Err(format!("{WITHOUT}: {unknown}: what may be missing are {known}"));
        }
        let is_named = listed.any(|word| word == name);
        if ci.is_none() || is_named {
            let excuse = if is_named { format!(" ({WITHOUT} names {name})") } else { String::new() };
            return Ok(format!("SKIPPED, NOT TESTED{excuse}: {tests}: {why}"));
        }
        Err(format!(
            "not tested: {tests}: {why}\nIt needs {}. CI is set, so that is a failure; where it is impossible, say so: \
             {WITHOUT}={name}",
            self.needs()
        ))
    }
}

/// A socket that is given all packets of IPv4: Linux's, and for those who may.
pub mod packets {
    use std::io;

    use socket2::Socket;

    /// Opens one.
    #[cfg(target_os = "linux")]
    pub fn socket() -> io::Result<Socket> {
        use socket2::{Domain, Protocol, Type};

        /// `ETH_P_IP`, in the byte order of the network.
        const IPV4: u16 = 0x0800_u16.to_be();
        Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(IPV4))))
    }

    /// There is none.
    #[cfg(not(target_os = "linux"))]
    pub fn socket() -> io::Result<Socket> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Writes the memory of a process to a file in `folder`, by `gcore` of gdb; the process goes on. Or says why not.
pub fn write_core(pid: u32, folder: &Path) -> Result<PathBuf, String> {
    let mut gcore = Command::new("gcore");
    // Also what the system would leave out.
    gcore.arg("-a").arg("-o").arg(folder.join("core")).arg(pid.to_string()).stdin(Stdio::null());
    let ended = gcore.output().map_err(|error| format!("gcore of the package gdb does not run: {error}"))?;
    let path = folder.join(format!("core.{pid}"));
    if ended.status.success() && path.is_file() {
        Ok(path)
    } else {
        Err(String::from_utf8_lossy(&ended.stderr).into_owned())
    }
}

/// Tried on a process that is none of gdb's relatives, as those of the tests are not.
fn no_core() -> Option<String> {
    let mut waits = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat runs");
    let folder = tempfile::tempdir().expect("a folder");
    let core = write_core(waits.id(), folder.path());
    drop(waits.stdin.take());
    waits.wait().expect("it ends");
    core.err()
}

/// Mounts a `tmpfs`, or says why not.
pub fn mount_tmpfs(options: &str, at: &Path) -> Result<(), String> {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", options, "chat-test-disk"]).arg(at).stdin(Stdio::null());
    let output = mount.output().map_err(|error| format!("mount does not run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("no tmpfs can be mounted here: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn no_mount() -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    if let Err(why) = mount_tmpfs("size=64k,mode=700", folder.path()) {
        return Some(why);
    }
    let ended = Command::new("umount").arg(folder.path()).status().expect("who can mount can umount");
    assert!(ended.success(), "{} stays mounted: {ended}", folder.path().display());
    None
}

fn no_namespace() -> Option<String> {
    let trial =
        Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "mtu", "576", "up"]).output();
    match trial {
        Err(error) => Some(format!("unshare does not run: {error}")),
        Ok(output) if !output.status.success() => {
            Some(format!("no network can be made here: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
        Ok(_) => None,
    }
}

/// The Python whose packages the tests use.
pub fn python() -> OsString {
    std::env::var_os("CHAT_TEST_PYTHON").unwrap_or_else(|| "python3".into())
}

fn no_aioquic() -> Option<String> {
    let trial = Command::new(python()).args(["-c", "import aioquic"]).stdin(Stdio::null()).output();
    match trial {
        Err(error) => Some(format!("{} does not run: {error}", python().display())),
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            Some(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned())
        }
    }
}

fn no_program(name: &str, harmless: &str) -> Option<String> {
    let trial = Command::new(name).arg(harmless).stdin(Stdio::null()).output();
    trial.err().map(|error| format!("{name} does not run: {error}"))
}

fn no_openssl() -> Option<String> {
    match Command::new("openssl").arg("version").stdin(Stdio::null()).output() {
        Err(error) => Some(format!("openssl does not run: {error}")),
        Ok(output) => {
            let version = String::from_utf8_lossy(&output.stdout).into_owned();
            let major =
                version.strip_prefix("OpenSSL ").and_then(|rest| rest.split('.').next()?.parse().ok());
            let is_new = major.is_some_and(|major: u32| major >= 3);
            (!is_new).then(|| format!("openssl is another: {}", version.trim()))
        }
    }
}

fn no_strace() -> Option<String> {
    let trial = Command::new("strace")
        .args(["-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=openat"])
        .args(["-e", "inject=openat:error=EIO:when=65535", "--", "true"])
        .stdin(Stdio::null())
        .output();
    match trial {
        Err(error) => Some(format!("strace does not run: {error}")),
        Ok(output) if !output.status.success() => {
            Some(format!("strace can't trace here: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_fails_where_everything_has_to_be_tested() {
        let verdict = |ci: Option<&str>, without: Option<&str>| {
            Means::Mount.verdict(ci.map(Into::into), without.map(Into::into), "not root\n")
        };
        let skipped = verdict(None, None).unwrap();
        assert_eq!(skipped, "SKIPPED, NOT TESTED: what a full disk does: not root");
        for without in [None, Some(""), Some("strace, core")] {
            let fails = verdict(Some("true"), without).unwrap_err();
            assert!(fails.contains("a full disk") && fails.contains("not root"), "{fails}");
            assert!(fails.contains("root, or") && fails.contains("CHAT_CI_WITHOUT=mount"), "{fails}");
        }
        for ci in [None, Some("true")] {
            let skipped = verdict(ci, Some("strace, mount")).unwrap();
            assert!(skipped.starts_with("SKIPPED, NOT TESTED (CHAT_CI_WITHOUT names mount): "), "{skipped}");
            let unknown = verdict(ci, Some("mount,everything")).unwrap_err();
            assert_eq!(
                unknown,
                "CHAT_CI_WITHOUT: everything: what may be missing are aioquic, capture, core, mount, namespace, openssl, \
                 sslscan, strace"
            );
        }
    }
}
