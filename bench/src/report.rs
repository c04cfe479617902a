//! Tables of figures, for people and for programs.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value, json};

/// One figure or word.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Text(String),
    /// A figure, and how many decimals people are shown.
    Figure(f64, usize),
    Nothing,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A figure with so many decimals.
pub(crate) fn figure(value: f64, decimals: usize) -> Cell {
    Cell::Figure(value, decimals)
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Figure(value, decimals) => write!(f, "{value:.decimals$}"),
            Self::Nothing => f.write_str("–"),
        }
    }
}

impl Cell {
    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Figure(value, _) => json!(value),
            Self::Nothing => Value::Null,
        }
    }
}

/// What one measurement found.
#[derive(Debug)]
pub(crate) struct Table {
    title: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    notes: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: &'static str, columns: &[&'static str]) -> Self {
        // They are the names in JSON.
        debug_assert!(columns.iter().collect::<BTreeSet<_>>().len() == columns.len(), "{columns:?}");
        Self { title, columns: columns.to_vec(), rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row, of as many cells as there are columns.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.cells(cells.into());
    }

    /// The same where columns are counted when it runs.
    pub(crate) fn cells(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// Adds a line below the table.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// One object with the figures under their columns' names.
    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let cells = self.columns.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), cell.json()));
            Value::Object(cells.collect::<Map<_, _>>())
        });
        json!({ "title": self.title, "rows": rows.collect::<Vec<_>>(), "notes": self.notes })
    }
}

/// Markdown.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        writeln!(f, "|---{}|", "|---:".repeat(self.columns.len().saturating_sub(1)))?;
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(Cell::to_string).collect();
            writeln!(f, "| {} |", cells.join(" | "))?;
        }
        for note in &self.notes {
            writeln!(f, "\n{note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_and_json() {
        let mut table = Table::new("start", &["who", "p50 ms", "× floor"]);
        table.row(["alice".into(), figure(1.25, 1), Cell::Nothing]);
        let table = table.note("quiet");
        assert_eq!(
            table.to_string(),
            "### start\n\n| who | p50 ms | × floor |\n|---|---:|---:|\n| alice | 1.2 | – |\n\nquiet\n"
        );
        assert_eq!(table.json()["rows"][0], json!({"who": "alice", "p50 ms": 1.25, "× floor": null}));
    }
}
