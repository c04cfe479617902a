//! Search over history. The index is what was said, folded, in memory only: looking through it is faster than any
//! index that would have to be sealed, and nothing of it lies on the disk.

use unicode_normalization::char::{decompose_compatible, is_combining_mark};
use zeroize::Zeroizing;

use chat_core::ids::{ConversationId, MessageId, PeerId};

/// Without case and diacritics, so that what is typed in haste finds what was written with care.
///
/// A character at a time: the order of marks, which normalisation is about otherwise, means nothing when they go.
fn fold(text: &str) -> Zeroizing<String> {
    // Most of what grows by this is short.
    let mut out = Zeroizing::new(String::with_capacity(text.len() + 8));
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c.to_ascii_lowercase());
            continue;
        }
        decompose_compatible(c, |part| {
            if !is_combining_mark(part) && !is_invisible(part) {
                // By way of both cases: letters that differ in one of them only become one, such as ẞ, ß and ss.
                let upper = part.to_lowercase().flat_map(char::to_uppercase);
                out.extend(upper.flat_map(char::to_lowercase));
            }
        });
    }
    out
}

/// What stands within a word and is not seen: it says where a word may be broken, or not, or joined.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{feff}')
}

/// Scripts that are written without spaces: a word may begin at each character.
fn stands_alone(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Whether a word of `text` begins with `word`; both are folded.
fn has_word(text: &str, word: &str) -> bool {
    let begins = |at: usize| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|c| !c.is_alphanumeric() || stands_alone(c))
            || word.chars().next().is_some_and(stands_alone)
    };
    text.match_indices(word).any(|(at, _)| begins(at))
}

/// What is looked for: all of these words, each the beginning of one in the text.
#[derive(Debug)]
pub(crate) struct Query(Vec<Zeroizing<String>>);

impl Query {
    /// `None` if there is no word in it.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let folded = fold(text);
        let words = folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        let words: Vec<_> = words.map(|word| Zeroizing::new(word.to_owned())).collect();
        (!words.is_empty()).then_some(Self(words))
    }

    fn finds(&self, folded: &str) -> bool {
        self.0.iter().all(|word| has_word(folded, word))
    }
}

/// A message that may be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) author: PeerId,
    pub(crate) id: MessageId,
    pub(crate) conversation: ConversationId,
}

/// Every message, as far as it was read.
#[derive(Default)]
pub(crate) struct Index {
    entries: Vec<(Found, Zeroizing<String>)>,
    /// Rows of the store up to this one are in it.
    pub(crate) up_to: i64,
}

impl Index {
    pub(crate) fn add(&mut self, row: i64, found: Found, text: &str) {
        self.entries.push((found, fold(text)));
        self.up_to = row;
    }

    /// Those that the query finds, the ones that came last first.
    pub(crate) fn search<'i>(&'i self, query: &'i Query) -> impl Iterator<Item = Found> + 'i {
        self.entries.iter().rev().filter(|(_, folded)| query.finds(folded)).map(|(found, _)| *found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(n: u8) -> Found {
        Found { author: PeerId([1; 32]), id: MessageId([n; 16]), conversation: ConversationId([2; 16]) }
    }

    #[test]
    fn words_are_found_by_their_beginning_however_they_are_written() {
        let finds = |query: &str, text: &str| Query::new(query).unwrap().finds(&fold(text));
        for (query, text) in [
            ("naiv", "How NAÏVE of you"),
            ("naïve", "naive"),
            ("strasse", "Große Straße 5"),
            ("grosse 5", "Große Straße 5"),
            ("straße", "GROSSE STRAẞE"),
            ("STRAẞE", "strasse"),
            ("istanbul", "İstanbul"),
            ("softhyphen", "soft\u{ad}hyphen"),
            ("zwölf\u{200d}", "ZWÖLF"),
            ("ភាសា", "ខ្ញុំរៀនភាសា"),
            ("hello world", "world, hello!"),
            ("本", "日本語"),
            ("日本", "日本語です"),
            ("ﬁne", "fine"),
            ("o'brien", "Mr O'Brien"),
            ("한글", "한글입니다"),
            ("ΟΔΟΣ", "η οδός"),
            ("naive", "nai\u{308}ve"),
        ] {
            assert!(finds(query, text), "{query} in {text}");
        }
        for (query, text) in [("ive", "naive"), ("hello mars", "hello world"), ("worlds", "world")] {
            assert!(!finds(query, text), "{query} in {text}");
        }
        assert!(Query::new(" -!? ").is_none());
        let many = (0..40).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
        assert!(finds(&many, &many));
        assert!(!finds(&format!("{many} nosuchword"), &many), "the last word counts as the first");
    }

    #[test]
    fn the_newest_comes_first() {
        let mut index = Index::default();
        for (n, text) in [(1, "one word"), (2, "another"), (3, "two words")] {
            index.add(i64::from(n), found(n), text);
        }
        let query = Query::new("word").unwrap();
        assert_eq!(index.search(&query).map(|found| found.id.0[0]).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(index.up_to, 3);
    }
}
