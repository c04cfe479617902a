//! `docs/coverage.md` is made from the tests' documentation: a test that names rows of `docs/behaviours.md` there, as in
//! `A21, C26: …`, proves them; what is no test, or is not run, must not name any.
//! `UPDATE_COVERAGE=1 cargo test -p chat-tests --test coverage` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every Rust file of ours, by its path from the root.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// Rows, and what each is about, in their order.
fn behaviours() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("docs/behaviours.md")).unwrap();
    let cells = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.splitn(2, " | ");
        let (row, what) = (cells.next()?, cells.next()?);
        is_row(row).then(|| (row.to_owned(), what.to_owned()))
    };
    text.lines().filter_map(cells).collect()
}

fn is_row(word: &str) -> bool {
    matches!(word.as_bytes(), [b'A'..=b'E', b'0'..=b'9', b'0'..=b'9'])
}

/// Which tests prove which rows.
fn proofs() -> BTreeMap<String, BTreeSet<String>> {
    let (mut files, mut proofs) = (Vec::new(), BTreeMap::<String, BTreeSet<String>>::new());
    sources(&root(), &mut files);
    assert!(files.len() > 100, "{} files", files.len());
    let mut idle = Vec::new();
    for file in files {
        let path = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        for Claim { name, rows, runs } in claims(&fs::read_to_string(&file).unwrap()) {
            let proof = format!("`{path}` {name}");
            if !runs {
                idle.push(format!("{proof}: {rows:?}"));
            }
            for row in rows {
                proofs.entry(row).or_default().insert(proof.clone());
            }
        }
    }
    assert!(idle.is_empty(), "these name rows, and are no tests that are run:\n{}", idle.join("\n"));
    proofs
}

/// A function whose documentation names rows.
#[derive(Debug, PartialEq)]
struct Claim {
    name: String,
    rows: Vec<String>,
    /// It is a test, and `cargo test` runs it.
    runs: bool,
}

/// The claims of a file, in their order.
fn claims(text: &str) -> Vec<Claim> {
    let scenarios = scenarios(text);
    let (mut claims, mut rows, mut attributes) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(said) = line.strip_prefix("///") {
            let words = said.split(|c: char| !c.is_alphanumeric());
            rows.extend(words.filter(|word| is_row(word)).map(str::to_owned));
        } else if line.starts_with("#[") {
            attributes.push(line);
        } else {
            let (rows, attributes) = (std::mem::take(&mut rows), std::mem::take(&mut attributes));
            if let Some(name) = function(line).filter(|_| !rows.is_empty()) {
                let is_test = attributes.iter().any(|line| is_test(line)) || scenarios.contains(name);
                let is_ignored = attributes.iter().any(|line| line.contains("ignore"));
                claims.push(Claim { name: name.to_owned(), rows, runs: is_test && !is_ignored });
            }
        }
    }
    claims
}

/// The name of the function that begins on a line.
fn function(line: &str) -> Option<&str> {
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let mut first = words.next()?;
    while matches!(first, "pub" | "crate" | "super" | "async") {
        first = words.next()?;
    }
    words.next().filter(|_| first == "fn")
}

/// `#[test]`, and whatever ends so: `#[tokio::test(…)]`.
fn is_test(attribute: &str) -> bool {
    let path = attribute.trim_start_matches("#[").split([']', '(']).next().unwrap_or_default();
    path.rsplit("::").next() == Some("test")
}

/// Functions that a macro of this crate makes tests of: `on_every_profile!(one, another);`.
fn scenarios(text: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for makes in ["on_every_profile!(", "on_main_profiles!(", "on_every_stack!(", "on_profile!("] {
        // Of a call, which begins a line, and not of a macro's own text, where names begin with `$`.
        for (at, _) in text.match_indices(makes).filter(|(at, _)| text[..*at].ends_with('\n') || *at == 0) {
            let inside = text[at + makes.len()..].split(')').next().unwrap_or_default();
            names.extend(inside.split(',').map(str::trim));
        }
    }
    names
}

fn document() -> String {
    let (behaviours, mut proofs) = (behaviours(), proofs());
    assert!(behaviours.len() > 100, "{} rows", behaviours.len());
    let mut table = String::new();
    let mut proved = 0;
    for (row, what) in &behaviours {
        let tests = proofs.remove(row).unwrap_or_default();
        proved += usize::from(!tests.is_empty());
        let tests: Vec<String> = tests.into_iter().collect();
        let tests = if tests.is_empty() { "*open*".to_owned() } else { tests.join("<br>") };
        table += &format!("| {row} | {what} | {tests} |\n");
    }
    assert!(proofs.is_empty(), "rows that are not in docs/behaviours.md: {:?}", proofs.keys());
    format!(
        "# Which test proves what\n\nMade from what the tests say of themselves; see `tests/tests/coverage.rs`, which sees to it that \
         each is run. That a test proves its row is what its author says, and a reader checks. Rows are those of \
         [behaviours.md](behaviours.md).\n{proved} of {} are proved; the others are *open*.\n\n\
         | row | behaviour | test |\n|---|---|---|\n{table}",
        behaviours.len()
    )
}

#[test]
fn the_coverage_is_what_the_tests_say() {
    let (path, now) = (root().join("docs/coverage.md"), document());
    if std::env::var_os("UPDATE_COVERAGE").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == now,
        "docs/coverage.md is not up to date: UPDATE_COVERAGE=1 cargo test -p chat-tests --test coverage"
    );
}

#[test]
fn only_what_is_run_proves_anything() {
    let text = "
        %% A01: a test.
        #[test]
        fn test() {}
        %% A02, B03: another.
        #[tokio::test(start_paused = true)]
        async fn test_of_tokio() {}
        %% A04: helps.
        fn helper() {}
        %% A05: not run.
        #[test]
        #[ignore = \"takes long\"]
        fn ignored() {}
        %% A06: its test is gone.
        #[expect(dead_code)]
        pub(super) async fn gone(test: u8) {}
        %% A07: this one only now and then.
        #[test]
        #[cfg_attr(not(unix), ignore)]
        fn ignored_somewhere() {}
        %% A08
        struct NoFunction;
        #[test]
        fn says_nothing() {}
        %% A09: on each profile.
        fn scenario(profile: Profile) {}
\non_every_profile!(other, scenario);\n"
        .replace("%%", "///");
    let claims = claims(&text);
    let says: Vec<_> = claims.iter().map(|it| (&*it.name, it.rows.join(" "), it.runs)).collect();
    let expected = [
        ("test", "A01", true),
        ("test_of_tokio", "A02 B03", true),
        ("helper", "A04", false),
        ("ignored", "A05", false),
        ("gone", "A06", false),
        ("ignored_somewhere", "A07", false),
        ("scenario", "A09", true),
    ];
    assert_eq!(says, expected.map(|(name, rows, runs)| (name, rows.to_owned(), runs)));
}
