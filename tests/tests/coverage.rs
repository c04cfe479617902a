//! `docs/coverage.md` is made from the tests' documentation: a test that names rows of `docs/behaviours.md` there, as in
//! `A21, C26: …`, proves them. `UPDATE_COVERAGE=1 cargo test -p chat-tests --test coverage` writes it anew.

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
    for file in files {
        let path = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        let mut rows: Vec<String> = Vec::new();
        for line in text.lines().map(str::trim) {
            let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            if let Some(said) = line.strip_prefix("///") {
                rows.extend(
                    said.split(|c: char| !c.is_alphanumeric()).filter(|word| is_row(word)).map(str::to_owned),
                );
            } else if let Some(name) = function {
                let name: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                for row in rows.drain(..) {
                    proofs.entry(row).or_default().insert(format!("`{path}` {name}"));
                }
            } else if !line.starts_with("#[") {
                rows.clear();
            }
        }
    }
    proofs
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
        "# Which test proves what\n\nMade from the tests' comments; see `tests/tests/coverage.rs`. Rows are those of \
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
