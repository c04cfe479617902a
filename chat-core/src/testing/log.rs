//! What a plugin writes to the log, and whether a secret is in it.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::rule::{Violation, ensure};

/// So many bytes of a secret in a row count as the secret.
const RUN: usize = 9;

/// Runs `work` and returns all that it logged with `tracing`, at every level, on this thread.
pub(crate) fn logged<T>(work: impl FnOnce() -> T) -> (T, String) {
    let lines = Arc::new(Mutex::new(String::new()));
    let outcome = tracing::subscriber::with_default(Capture(Arc::clone(&lines)), work);
    let text = lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (outcome, text)
}

/// No secret stands in `log`: raw, in hexadecimal, in base64, or as a list of numbers.
pub(crate) fn holds_no_secret(log: &str, secrets: &[(&str, &[u8])]) -> Result<(), Violation> {
    for (what, secret) in secrets {
        for part in secret.windows(RUN) {
            let form = forms(part).into_iter().find(|form| log.contains(form));
            ensure!(form.is_none(), "{what} is in the log");
        }
    }
    Ok(())
}

fn forms(part: &[u8]) -> Vec<String> {
    let each = |with: &dyn Fn(u8) -> String, between: &str| {
        part.iter().map(|byte| with(*byte)).collect::<Vec<_>>().join(between)
    };
    let mut forms = vec![
        each(&|byte| format!("{byte:02x}"), ""),
        each(&|byte| format!("{byte:02X}"), ""),
        each(&|byte| byte.to_string(), ", "),
        each(&|byte| format!("{byte:x}"), ", "),
        base64(part, b"+/"),
        base64(part, b"-_"),
        String::from_utf8_lossy(part).into_owned(),
        part.escape_ascii().to_string(),
    ];
    // What is not text is all replacement characters; that would match any other such thing.
    forms.retain(|form| !form.contains(char::REPLACEMENT_CHARACTER));
    forms
}

/// RFC 4648 §4 and §5, for a multiple of three bytes.
fn base64(bytes: &[u8], last_two: &[u8; 2]) -> String {
    let letter = |six: u32| match six {
        0..26 => b'A' + six as u8,
        26..52 => b'a' + (six - 26) as u8,
        52..62 => b'0' + (six - 52) as u8,
        62 => last_two[0],
        _ => last_two[1],
    };
    let chunks = bytes.chunks_exact(3);
    let word = |chunk: &[u8]| chunk.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    chunks.flat_map(|c| [18, 12, 6, 0].map(|shift| char::from(letter(word(c) >> shift & 63)))).collect()
}

/// Writes every field of every span and event down.
struct Capture(Arc<Mutex<String>>);

impl Capture {
    fn write(&self, record: impl FnOnce(&mut Line<'_>)) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        record(&mut Line(&mut text));
        text.push('\n');
    }
}

impl Subscriber for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.write(|line| span.record(line));
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        self.write(|line| values.record(line));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.write(|line| event.record(line));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_str(&mut self, _: &Field, value: &str) {
        self.0.push_str(value);
        self.0.push(' ');
    }
    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        // Writing to a string doesn't fail; a `Debug` that does has written what it wrote.
        if write!(self.0, "{value:?} ").is_err() {
            self.0.push_str("(a Debug that failed) ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form_and_a_clean_log_is_clean() {
        let secret = b"\x01\x02\xfekey in here\xff";
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let upper = hex.to_uppercase();
        let base64 = base64(&secret[..12], b"+/");
        let texts = [
            hex,
            upper,
            base64,
            format!("{secret:?}"),
            format!("{secret:x?}"),
            "\"key in here\"".to_owned(),
            secret.escape_ascii().to_string(),
        ];
        for text in texts {
            let ((), log) = logged(|| tracing::trace!(value = %text, "opened"));
            assert!(holds_no_secret(&log, &[("the key", secret)]).is_err(), "{text}: {log}");
        }
        let ((), log) = logged(|| {
            let span = tracing::info_span!("session", id = 7);
            let _inside = span.enter();
            tracing::debug!(?secret, "in a span");
        });
        assert!(log.contains('7') && holds_no_secret(&log, &[("the key", secret)]).is_err(), "{log}");
        let (value, log) = logged(|| {
            tracing::warn!(len = secret.len(), "refused");
            5
        });
        assert_eq!((value, holds_no_secret(&log, &[("the key", secret)])), (5, Ok(())));
        assert!(log.contains("refused"));
    }

    #[test]
    fn base64_as_in_the_rfc() {
        assert_eq!(base64(b"foobar", b"+/"), "Zm9vYmFy");
        assert_eq!(base64(&[0xfb, 0xff, 0xfe], b"-_"), "-__-");
    }
}
