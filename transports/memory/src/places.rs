//! Who listens where in this process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chat_core::LinkError;
use chat_core::transport::{BareLink, HANDSHAKE_DEADLINE};
use tokio::sync::mpsc;

/// Dialers that may wait for the listener to take them.
const BACKLOG: usize = 64;

static PLACES: Mutex<BTreeMap<String, mpsc::Sender<BareLink>>> = Mutex::new(BTreeMap::new());
static LAST_NUMBER: AtomicU64 = AtomicU64::new(0);

fn places() -> MutexGuard<'static, BTreeMap<String, mpsc::Sender<BareLink>>> {
    // Nothing is left half done under this lock, so a panic elsewhere does not spoil the map.
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place that is ours until this is dropped.
pub(crate) struct Place(String);

impl Place {
    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        places().remove(&self.0);
    }
}

/// Takes a place, and gives the links of those who dial it.
pub(crate) fn take(wanted: &str) -> Result<(Place, mpsc::Receiver<BareLink>), LinkError> {
    if wanted.is_empty() {
        return Err(LinkError::BadAddress { address: String::new(), reason: "the place is missing".into() });
    }
    let mut places = places();
    let name = match wanted.strip_suffix(":0") {
        Some(stem) => loop {
            let number = LAST_NUMBER.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            let name = format!("{stem}:{number}");
            if number != 0 && !places.contains_key(&name) {
                break name;
            }
        },
        None => wanted.to_owned(),
    };
    if places.contains_key(&name) {
        return Err(LinkError::AddressInUse { address: name });
    }
    let (sender, offers) = mpsc::channel(BACKLOG);
    places.insert(name.clone(), sender);
    Ok((Place(name), offers))
}

/// Hands a link to whoever listens there.
pub(crate) async fn offer(place: &str, link: BareLink) -> Result<(), LinkError> {
    let unreachable =
        || LinkError::Unreachable { address: place.to_owned(), reason: "nobody listens there".into() };
    let listener = places().get(place).cloned().ok_or_else(unreachable)?;
    match tokio::time::timeout(HANDSHAKE_DEADLINE, listener.send(link)).await {
        Ok(sent) => sent.map_err(|_| unreachable()),
        Err(_) => Err(LinkError::Timeout("the listener takes no more links")),
    }
}
