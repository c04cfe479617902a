//! What a plugin of any kind says of itself, and whether it is true.

use super::rule::{Must as _, Violation, ensure};
use crate::error::ProfileError;
use crate::plugin::{Kind, Plugin, Registry};
use crate::profile::Options;

type Build<K> = Box<dyn Fn(&Options) -> Result<Box<K>, ProfileError> + Send + Sync>;

/// A plugin's own words, and how to build it.
pub struct Declared<K: Kind + ?Sized> {
    /// [`Plugin::NAME`]
    pub name: String,
    /// [`Plugin::SUMMARY`]
    pub summary: &'static str,
    /// [`Plugin::EXAMPLE`]
    pub example: &'static str,
    build: Build<K>,
}

impl<K: Kind + ?Sized> Declared<K> {
    /// What the type `P` declares.
    pub fn of<P: Plugin<K>>() -> Self {
        let build = |options: &Options| match K::builder(K::erase::<P>()) {
            Some(build) => build(options),
            None => Err(ProfileError::option("kind", "the plugin is of another kind")),
        };
        Self { name: P::NAME.to_owned(), summary: P::SUMMARY, example: P::EXAMPLE, build: Box::new(build) }
    }

    /// The linked plugin that a piece of profile selects.
    ///
    /// # Errors
    /// That the text doesn't parse, or that no such plugin is linked.
    pub fn linked(text: &str) -> Result<Self, Violation> {
        let options = Options::parse_table(text, K::KIND.table()).must("parsing the options")?;
        let registry = Registry::linked().must("collecting the linked plugins")?;
        let entry = registry.find(K::KIND, options.kind()).map_err(|e| Violation::new(e.to_string()))?;
        let build = move |options: &Options| registry.build::<K>(options);
        Ok(Self {
            name: entry.name.to_owned(),
            summary: entry.summary,
            example: entry.example,
            build: Box::new(build),
        })
    }

    /// The plugin as this piece of profile makes it.
    ///
    /// # Errors
    /// That the text doesn't parse, or that the plugin refuses it.
    pub fn build(&self, text: &str) -> Result<Box<K>, Violation> {
        let options = Options::parse_table(text, K::KIND.table()).must("parsing the options")?;
        (self.build)(&options).must("building the plugin")
    }

    /// It is found by its name among the linked plugins, with the same words, and the profile of its
    /// `EXAMPLE` names it and builds it.
    pub(crate) fn is_registered_and_its_example_builds(&self) -> Result<(), Violation> {
        let registry = Registry::linked().must("collecting the linked plugins")?;
        let entry = registry.find(K::KIND, &self.name).map_err(|missing| {
            Violation::new(format!(
                "{missing}: `chat_core::register!` is missing, or the crate is not linked into this test"
            ))
        })?;
        ensure!(
            (entry.summary, entry.example) == (self.summary, self.example),
            "another plugin is registered as `{}`",
            self.name
        );
        let options = Options::parse_table(self.example, K::KIND.table()).must("parsing EXAMPLE")?;
        ensure!(options.kind() == self.name, "EXAMPLE selects `{}`, not `{}`", options.kind(), self.name);
        self.build(self.example).map(drop)
    }

    /// A key that nobody knows is an error, so that a typing mistake never weakens a stack.
    pub(crate) fn unknown_options_are_refused(&self) -> Result<(), Violation> {
        let header = format!("[{}]\n", K::KIND.table());
        ensure!(self.example.contains(&header), "EXAMPLE has no table {header:?}");
        for unknown in ["no_such_option = 1\n", "no_such_table = { a = 1 }\n"] {
            let text = self.example.replacen(&header, &format!("{header}{unknown}"), 1);
            self.build(&text).map(drop).must_fail(format!("`{}`", unknown.trim_end()))?;
        }
        Ok(())
    }

    /// The name can stand in profiles, command lines and file names; the summary is one line.
    pub(crate) fn words_are_well_formed(&self) -> Result<(), Violation> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let name = &self.name;
        ensure!(
            (1..=32).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('-'),
            "the name {name:?} is not 1 to 32 of a-z, 0-9 and -"
        );
        one_line("the summary", self.summary)
    }
}

/// Printable, not empty, not long.
pub(crate) fn one_line(what: &str, text: &str) -> Result<(), Violation> {
    let printable = !text.trim().is_empty() && !text.chars().any(char::is_control);
    ensure!(printable && text.chars().count() <= 400, "{what} is not one line of text: {text:?}");
    Ok(())
}
