//! An export without the passphrase around it, and what a passphrase or a key file seals, for the fuzz targets.

use std::path::Path;

use chat_core::entropy::Entropy;
use chat_core::ids::PeerId;

use super::chunks::{Sink, Source};
use super::import::fill;
use crate::config::StorePlace;
use crate::vault::StoreKey;
use crate::vault::wrapped::{self, Closed, Secret};

const KEY: [u8; 32] = [3; 32];

/// The chunks of an export of these records, whatever is in them.
pub fn sealed(records: &[&[u8]]) -> Vec<u8> {
    let mut sink = Sink::under(Vec::new(), Path::new("fuzz"), &KEY);
    let written = records.iter().try_for_each(|record| sink.record(record));
    written.and_then(|()| sink.finish()).unwrap_or_default()
}

/// The records in the chunks of an export, or what is wrong with it.
///
/// # Errors
/// As [`crate::import`].
pub fn records(chunks: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut source = Source::under(chunks, &KEY);
    let mut all = Vec::new();
    while let Some(record) = source.record().map_err(|error| error.to_string())? {
        all.push(record.to_vec());
    }
    Ok(all)
}

/// Makes a store in memory of the chunks of an export, and opens it as an engine does. How many rows there were.
///
/// # Errors
/// As [`crate::import`].
pub fn import(chunks: &[u8], me: PeerId, entropy: Box<dyn Entropy>) -> Result<u64, String> {
    let (source, key) = (Source::under(chunks, &KEY), StoreKey::from_bytes(&[7; 32]));
    let imported = fill(&StorePlace::Memory, &key, me, source, entropy);
    imported.map(|imported| imported.rows).map_err(|error| error.to_string())
}

/// Opens what is said to be sealed under a key file: an identity, the key of a store or of an export. No passphrase is
/// tried, as that would take its time.
///
/// # Errors
/// What is wrong with it.
pub fn open_wrapped(magic: &[u8; 16], sealed: &[u8]) -> Result<Vec<u8>, String> {
    let opened = wrapped::open(magic, Secret::KeyFile(&KEY), sealed);
    opened.map(|content| content.to_vec()).map_err(|closed: Closed| format!("{closed:?}"))
}

/// Seals something as the above opens it.
pub fn seal_wrapped(magic: &[u8; 16], content: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
    wrapped::seal(magic, Secret::KeyFile(&KEY), crate::vault::COST, content, entropy).unwrap_or_default()
}
