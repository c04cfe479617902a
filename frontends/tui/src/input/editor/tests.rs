use super::*;

const FAMILY: &str = "👩‍👩‍👧‍👦";

fn editor(text: &str) -> Editor {
    let mut editor = Editor::default();
    editor.insert(text).unwrap();
    editor
}

#[test]
fn backspace_and_arrows_take_whole_graphemes() {
    for (text, graphemes) in [
        ("naïve", 5),
        ("nai\u{308}ve", 5),
        ("日本", 2),
        (FAMILY, 1),
        ("🇩🇪🇫🇷", 2),
        ("👍🏽", 1),
        ("e\u{301}\u{302}", 1),
        ("각", 1),
        ("a\nb", 3),
    ] {
        let mut editor = editor(text);
        for _ in 0..graphemes {
            assert_ne!(editor.cursor, 0, "{text:?}");
            editor.left();
        }
        assert_eq!(editor.cursor, 0, "{text:?}");
        for _ in 0..graphemes {
            editor.right();
        }
        assert_eq!(editor.cursor, text.len(), "{text:?}");
        for _ in 0..graphemes {
            assert!(!editor.is_empty(), "{text:?}");
            editor.backspace();
        }
        assert!(editor.is_empty(), "{text:?}");
    }
}

#[test]
fn the_cursor_is_never_inside_a_grapheme() {
    let mut editor = editor("👩👧");
    editor.left();
    editor.insert("\u{200d}").unwrap();
    assert_eq!(editor.cursor, "👩\u{200d}👧".len());
    editor.backspace();
    assert!(editor.is_empty());
    let mut editor = self::editor("🇩x🇪");
    editor.left();
    editor.backspace();
    assert_eq!((editor.text(), editor.cursor), ("🇩🇪", "🇩🇪".len()));
}

#[test]
fn lines_words_and_kills() {
    let mut editor = editor("one two\nthree");
    editor.home();
    assert_eq!(editor.before_cursor(), "one two\n");
    editor.left();
    editor.word_left();
    assert_eq!(editor.before_cursor(), "one ");
    editor.kill_to_end();
    assert_eq!(editor.text(), "one \nthree");
    editor.kill_to_end();
    assert_eq!(editor.text(), "one three");
    editor.kill_to_start();
    assert_eq!(editor.text(), "three");
    editor.word_right();
    editor.insert("  /x-y  ").unwrap();
    editor.kill_word();
    assert_eq!(editor.text(), "three  ");
    editor.kill_word();
    assert_eq!((editor.text(), editor.cursor), ("", 0));
    for nothing in [Editor::backspace, Editor::delete, Editor::kill_word, Editor::kill_to_start] {
        nothing(&mut editor);
    }
    assert!(!editor.up() && !editor.down());
}

#[test]
fn up_and_down_keep_the_cell() {
    let mut editor = editor("日本語\nab\n日本語");
    editor.left();
    assert!(editor.up());
    assert_eq!(editor.before_cursor(), "日本語\nab");
    assert!(editor.up());
    assert_eq!(editor.before_cursor(), "日");
    assert!(!editor.up());
    assert!(editor.down());
    assert_eq!(editor.before_cursor(), "日本語\nab");
}

#[test]
fn pastes_are_inert_and_bounded() {
    let mut editor = editor("a\r\nb\rc\x1b[201~\td\u{202e}");
    assert_eq!(editor.text(), "a\nb\nc[201~\td");
    assert_eq!(editor.insert(&"日".repeat(MAX_TEXT_BYTES / 3 + 1)), Err(TooLong));
    assert!(editor.text().len() <= MAX_TEXT_BYTES && editor.text().len() > MAX_TEXT_BYTES - 3);
    let mut full = self::editor(&"x".repeat(MAX_TEXT_BYTES));
    assert_eq!(full.insert("x"), Err(TooLong));
    full.backspace();
    assert_eq!((full.insert("é"), full.insert("y")), (Err(TooLong), Ok(())));
}

#[test]
fn rows_and_the_cursor_in_them() {
    for (text, width, rows, cursor) in [
        ("", 5, vec![""], (0, 0)),
        ("abc", 5, vec!["abc"], (0, 3)),
        ("abcde", 5, vec!["abcde", ""], (1, 0)),
        ("abcdef", 5, vec!["abcde", "f"], (1, 1)),
        ("日本語", 5, vec!["日本", "語"], (1, 2)),
        ("ab\ncd", 5, vec!["ab", "cd"], (1, 2)),
        ("ab\n", 5, vec!["ab", ""], (1, 0)),
        (FAMILY, 1, vec![FAMILY, ""], (1, 0)),
    ] {
        let editor = editor(text);
        let seen = editor.rows(width, 6);
        let texts: Vec<&str> = seen.rows.iter().map(|&(a, b)| &text[a as usize..b as usize]).collect();
        assert_eq!((texts, seen.cursor), (rows, cursor), "{text:?}");
    }
    let mut editor = editor("abcdef");
    editor.left();
    assert_eq!(editor.rows(5, 6).cursor, (1, 0));
    let mut editor = self::editor(&"line\n".repeat(1000));
    let seen = editor.rows(80, 6);
    assert_eq!((seen.rows.len(), seen.cursor, seen.from_start), (7, (6, 0), false));
    for _ in 0..998 {
        assert!(editor.up());
    }
    let seen = editor.rows(80, 6);
    assert_eq!((seen.rows.len(), seen.cursor, seen.from_start), (8, (2, 0), true));
}
