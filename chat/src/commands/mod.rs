//! The subcommands.

pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod db;
pub(crate) mod explain;
pub(crate) mod identity;
pub(crate) mod impair;
pub(crate) mod plugins;
