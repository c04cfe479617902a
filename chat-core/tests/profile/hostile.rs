//! Nothing a text can hold makes the reader panic, print something that acts on a terminal, or take for ever.

use chat_core::nick::is_unsafe_to_show;
use chat_core::profile::{Inputs, MAX_PROFILE_BYTES, Profile};

use crate::shipped::SHIPPED;
use crate::stack::{GOOD, load, registry};

/// Loads with all plugins; whatever comes of it must be fit to be shown.
fn survives(bytes: &[u8]) -> bool {
    let shown = match load(bytes) {
        Ok((profile, _)) => {
            let shown = profile.show();
            profile.to_json();
            shown
        }
        Err(error) => {
            assert!(!error.errors().is_empty());
            format!("{error} {error:?}")
        }
    };
    assert!(!shown.chars().any(|c| c != '\n' && is_unsafe_to_show(c)), "{shown:?}");
    shown.contains("error")
}

#[test]
fn every_truncation_of_a_profile_is_read_or_refused() {
    let mut refused = 0;
    for (_, text) in SHIPPED.iter().chain(&[("", GOOD)]) {
        refused += (0..text.len()).filter(|&length| survives(&text.as_bytes()[..length])).count();
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn every_deleted_byte_is_survived() {
    for (_, text) in SHIPPED.iter().chain(&[("", GOOD)]) {
        assert!(!text.is_empty());
        for at in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes.remove(at);
            survives(&bytes);
        }
    }
}

/// Puts each of `replacements` in the place of each byte.
fn replaced(text: &str, replacements: &[u8]) {
    let mut bytes = text.as_bytes().to_vec();
    assert!(!bytes.is_empty());
    for at in 0..bytes.len() {
        let there = bytes[at];
        for &byte in replacements {
            bytes[at] = byte;
            survives(&bytes);
        }
        bytes[at] = there;
    }
}

#[test]
fn every_replaced_byte_is_survived() {
    // What means something to TOML, to a terminal, to UTF-8.
    for (_, text) in SHIPPED {
        replaced(text, b"\"[=\n\x1b\xff");
        // The rest of it without the comments, in which one byte is like another.
        let code: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).map(code_of).collect();
        replaced(&code.join("\n"), b"'].#\\\r\0{},0a_\x7f\xc3\xed");
    }
    replaced(GOOD, b"\"'[]=.#\\\n\r\x1b{},0a_\xc3\xff");
}

fn code_of(line: &str) -> &str {
    line.rsplit_once("  #").map_or(line, |(code, _)| code).trim_end()
}

#[test]
fn what_is_no_text_is_refused_at_the_byte() {
    let mut bytes = GOOD.as_bytes().to_vec();
    let at = GOOD.find("alice").unwrap();
    bytes[at + 1] = 0xff;
    let error = load(bytes).unwrap_err();
    assert!(error.to_string().contains("--> p.toml:3:10"), "{error}");
    assert!(error.to_string().contains("UTF-8"), "{error}");
    let utf16: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(load(utf16).is_err());
}

#[test]
fn a_byte_order_mark_and_windows_lines_are_read() {
    let text = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
    assert!(load(text.as_str()).is_ok());
    let error = load(text.replace("nick = \"alice\"", "nick = 1")).unwrap_err().to_string();
    assert!(error.contains("--> p.toml:3:8") && !error.contains('\r'), "{error}");
}

#[test]
fn too_large_and_too_deep_are_refused() {
    let large = format!("{GOOD}{}", "#\n".repeat(MAX_PROFILE_BYTES / 2));
    let error = load(large).unwrap_err();
    assert!(error.to_string().contains("at most 1048576 bytes"), "{error}");
    for deep in [
        "a = ".to_owned() + &"[".repeat(100_000),
        "a.".repeat(100_000) + "a = 1",
        "[".to_owned() + &"a.".repeat(100_000) + "a]",
        "a = ".to_owned() + &"{a.a.a.a = ".repeat(20),
    ] {
        let error = load(format!("{GOOD}{deep}")).unwrap_err();
        assert!(error.to_string().contains("nested deeper than 16 levels"), "{error}");
        assert!(error.to_string().contains("--> p.toml:17:"), "{error}");
    }
    let registry = registry();
    let deep = format!("CHAT_{}A", "A__".repeat(50_000));
    let value = "[".repeat(50_000);
    let inputs = Inputs::new("p.toml", GOOD)
        .environment([(deep.as_str(), "1"), ("CHAT_IDENTITY__NICK", value.as_str())])
        .set(format!("{}a=1", "a.".repeat(50_000)))
        .for_client(&registry, &[]);
    let error = Profile::load(&inputs).unwrap_err();
    assert_eq!(error.to_string().matches("nested deeper").count(), 2, "{error}");
}

#[test]
fn a_flood_of_faults_and_of_long_lines_is_cut() {
    let many: String = (0..5000).map(|number| format!("key{number} = 1\n")).collect();
    let error = load(format!("{GOOD}[x]\n{many}[log]\n{many}")).unwrap_err();
    assert!(error.errors().len() > 5000);
    assert!(error.to_string().len() < 40_000 && error.to_string().contains("more"));
    let long = "x".repeat(500_000);
    let error = load(format!("{GOOD}[log]\n{long} = \"{long}\"\nlevel = \"{long}\"\n")).unwrap_err();
    assert!(error.to_string().len() < 10_000, "{}", error.to_string().len());
    for junk in ["]", "[", "\"", "'", "=", "a=", "a\n", "a=1\n", "[a]\n", "\"\"\"", "{", "\\", ".", ","] {
        survives(junk.repeat(200_000 / junk.len()).as_bytes());
    }
}
