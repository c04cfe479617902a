//! Secrets that a profile refers to. Read by a run only: `chat check` touches nothing.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chat_core::profile::Secret;
use chat_relay::exit::{Code, Failure};
use zeroize::Zeroizing;

/// Longest secret.
const MAX_BYTES: u64 = 4096;
/// Longest time that a program may take to print one: somebody may have to touch something for it.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often it is looked for its end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The secret, without the line feed at its end.
///
/// # Errors
/// It is not where the profile says, or empty, or no text. The message names `key` and the place, never the secret.
pub(crate) fn read(key: &str, secret: &Secret) -> Result<Zeroizing<String>, Failure> {
    let failed = |what: String| Failure::new(Code::Usage, format!("{key}: {what}"));
    let bytes = match secret {
        Secret::Inline(text) => return Ok(text.clone()),
        Secret::Env(name) => match std::env::var(name) {
            Ok(text) => Zeroizing::new(text.into_bytes()),
            Err(_) => return Err(failed(format!("the environment variable {name} is not set, or no text"))),
        },
        Secret::File(path) => {
            let file = std::fs::File::open(path);
            file.and_then(limited).map_err(|error| failed(format!("{}: {error}", path.display())))?
        }
        Secret::Command(words) => printed(words).map_err(failed)?,
        _ => return Err(failed("this program can't read such a secret".to_owned())),
    };
    let too_long = bytes.len() as u64 > MAX_BYTES;
    let text = std::str::from_utf8(&bytes).map(|text| text.trim_end_matches(['\n', '\r']));
    match text {
        Ok("") => Err(failed("it is empty".to_owned())),
        _ if too_long => Err(failed(format!("it is longer than {MAX_BYTES} bytes"))),
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(failed("it is no UTF-8 text".to_owned())),
    }
}

fn limited(from: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(256));
    from.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a program prints.
fn printed(words: &[String]) -> Result<Zeroizing<Vec<u8>>, String> {
    let (program, arguments) = words.split_first().ok_or("no program is named")?;
    let said = |error: std::io::Error| format!("the command {program} failed: {error}");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(said)?;
    let out = child.stdout.take();
    let reader = std::thread::spawn(move || out.map(limited).transpose());
    let status = end_of(&mut child).map_err(said)?;
    let bytes = reader.join().map_err(|_| format!("the command {program} failed"))?;
    match status {
        Some(status) if status.success() => {
            bytes.map_err(said)?.ok_or_else(|| "it prints nothing".to_owned())
        }
        Some(status) => Err(format!("the command {program} failed: {status}")),
        None => Err(format!("the command {program} took longer than {} s", DEADLINE.as_secs())),
    }
}

/// Waits for a child; one that takes too long is ended.
fn end_of(child: &mut Child) -> std::io::Result<Option<std::process::ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() > DEADLINE {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> Result<Zeroizing<String>, Failure> {
        read("store.passphrase", &Secret::Command(words.iter().map(|word| (*word).to_owned()).collect()))
    }

    #[test]
    fn a_secret_comes_from_where_the_profile_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hunter2\n").unwrap();
        assert_eq!(*read("k", &Secret::File(path.clone())).unwrap(), "hunter2");
        assert_eq!(*read("k", &Secret::Inline(Zeroizing::new("x".into()))).unwrap(), "x");
        for (content, says) in [(&b"\n"[..], "empty"), (&[0xff], "UTF-8"), (&[b'x'; 5000], "longer")] {
            std::fs::write(&path, content).unwrap();
            let failure = read("store.passphrase", &Secret::File(path.clone())).unwrap_err();
            assert!(failure.code == 2 && failure.message.contains(says), "{}", failure.message);
        }
        let failure = read("k", &Secret::Env("CHAT_NO_SUCH_VARIABLE".into())).unwrap_err();
        assert!(failure.message.contains("CHAT_NO_SUCH_VARIABLE"), "{}", failure.message);
    }

    #[cfg(unix)]
    #[test]
    fn a_program_prints_it() {
        assert_eq!(*command(&["sh", "-c", "echo hunter2"]).unwrap(), "hunter2");
        for words in [&["sh", "-c", "echo hunter2; exit 3"][..], &["/nowhere/program"]] {
            let failure = command(words).unwrap_err();
            assert!(
                failure.message.contains("failed") && !failure.message.contains("hunter2"),
                "{}",
                failure.message
            );
        }
    }
}
