//! What was left behind, and what is found in it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use chat_tests::files::contents;
use chat_tests::process::MAX_STDERR_BYTES;
use chat_tests::search::Search;
use chat_tests::{Process, Recorder};

use crate::secret::{Kind, Secrets};

/// So much around a find is shown.
const AROUND: usize = 100;

/// Where something may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// What a program wrote to say what it does.
    Log,
    /// What passed between programs.
    Wire,
    /// The relay's memory.
    Core,
    /// Files of the relay, in which it may keep names.
    RelayFiles,
    /// All other files, but for those in which texts and keys belong.
    Files,
}

impl Place {
    /// The relay's directory is made of names, and it has a key of its own.
    fn may_hold(self, kind: Kind) -> bool {
        match kind {
            Kind::Text | Kind::Key => false,
            Kind::KeyOfRelay => self == Self::Core,
            Kind::Name => matches!(self, Self::Core | Self::RelayFiles),
            Kind::Shouted => self != Self::Log,
        }
    }
}

enum Bytes {
    Here(Vec<u8>),
    In(PathBuf),
}

/// Pieces of evidence.
#[derive(Default)]
pub struct Evidence(Vec<(Place, String, Bytes)>);

/// A secret in a place where it does not belong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Where.
    pub place: Place,
    /// What.
    pub what: String,
    /// How it is written.
    pub how: &'static str,
    /// Where in particular.
    pub piece: String,
    /// What stands around it.
    pub around: String,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, what, how, piece, around } = self;
        write!(f, "{what} is in {piece} ({place:?}), {how}: {around}")
    }
}

impl Evidence {
    /// One more piece.
    pub fn add(&mut self, place: Place, name: impl Into<String>, bytes: Vec<u8>) {
        self.0.push((place, name.into(), Bytes::Here(bytes)));
    }

    /// A file that is read when it is searched.
    pub fn add_file(&mut self, place: Place, path: PathBuf) {
        self.0.push((place, path.display().to_string(), Bytes::In(path)));
    }

    /// What a program said on standard error; for a relay that is its log.
    pub fn add_stderr(&mut self, process: &Process) {
        let said = process.look(|said| said.stderr.clone());
        assert!(said.len() < MAX_STDERR_BYTES, "{} has said more than was kept", process.label());
        self.add(Place::Log, format!("what {} said on standard error", process.label()), said);
    }

    /// What passed a recorder until now, as a whole for each connection.
    pub fn add_wire(&mut self, recorder: &Recorder) {
        let ways = [("to the relay", recorder.to_relay()), ("from the relay", recorder.from_relay())];
        for (way, tracks) in ways {
            assert!(!tracks.is_empty(), "nothing was recorded {way}");
            for track in tracks {
                self.add(Place::Wire, format!("what went {way}"), track.concat());
            }
        }
    }

    /// The files of a relay, as they are now; its key is its own.
    pub fn add_relay(&mut self, folder: &Path) {
        for (path, bytes) in contents(folder).into_iter().filter(|(path, _)| !path.ends_with("identity.key"))
        {
            self.add(Place::RelayFiles, path.display().to_string(), bytes);
        }
    }

    /// The files of a client, as they are now; in its keys its secrets belong. In its database they lie sealed.
    pub fn add_client(&mut self, folder: &Path) {
        for (path, bytes) in contents(folder) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let place = match name.as_str() {
                "identity.key" | "store.key" => continue,
                // The mailbox of one that has hosted is a relay's.
                name if name.starts_with("relay.db") => Place::RelayFiles,
                _ if path.starts_with(folder.join("logs")) => Place::Log,
                _ => Place::Files,
            };
            self.add(place, path.display().to_string(), bytes);
        }
    }

    /// Other files, if there are any.
    pub fn add_folder(&mut self, folder: &Path) {
        for path in chat_tests::files::listing(folder).into_iter().map(|path| folder.join(path)) {
            if path.is_file() {
                self.add_file(Place::Files, path);
            }
        }
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> usize {
        self.0.len()
    }

    /// How many bytes there are of a place.
    pub fn len(&self, place: Place) -> usize {
        let of_it = self.0.iter().filter(|(it, ..)| *it == place);
        of_it.map(|(_, _, bytes)| bytes.read().len()).sum()
    }

    /// Whether these bytes are somewhere in a place: that a search can find something is shown by what must be there.
    pub fn holds(&self, place: Place, bytes: &[u8]) -> bool {
        let mut of_it = self.0.iter().filter(|(it, ..)| *it == place);
        of_it.any(|(_, _, piece)| chat_tests::files::find(&piece.read(), bytes).is_some())
    }

    /// Each secret of which a piece is where it does not belong.
    pub fn search(&self, secrets: &Secrets) -> BTreeSet<Found> {
        let search = Search::new(secrets.all().iter().map(|it| (&it.bytes[..], it.kind.piece())));
        let mut all = BTreeSet::new();
        for (place, piece, bytes) in &self.0 {
            let bytes = bytes.read();
            for (n, how, at) in search.look(&bytes) {
                let secret = &secrets.all()[n];
                if !place.may_hold(secret.kind) {
                    let around = &bytes[at.saturating_sub(AROUND)..(at + AROUND).min(bytes.len())];
                    let around = String::from_utf8_lossy(around).into_owned();
                    let (what, piece) = (secret.what.clone(), piece.clone());
                    all.insert(Found { place: *place, what, how, piece, around });
                }
            }
        }
        all
    }
}

impl Bytes {
    fn read(&self) -> std::borrow::Cow<'_, [u8]> {
        match self {
            Self::Here(bytes) => bytes.into(),
            Self::In(path) => std::fs::read(path).expect("the file is there").into(),
        }
    }
}
