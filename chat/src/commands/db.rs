//! `chat db verify|export|import|passwd`: a store that no process runs on.

use std::path::{Path, PathBuf};

use chat_core::Profile;
use chat_core::entropy::OsEntropy;
use chat_core::nick::Nick;
use chat_core::profile::Secret;
use chat_relay::exit::{Code, Failure, print, say};
use clap::{Args, Subcommand};
use client::{ArchiveError, Lock, PortableError, Vault};
use zeroize::Zeroizing;

use crate::home::{self, Home};
use crate::{plugins, profiles, secret};

/// Whose data directory, and what opens it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Whose {
    /// The profile whose [store] says what opens the data directory; without one it must lie open.
    #[arg(long, short, value_name = "PROFILE")]
    pub(crate) config: Option<String>,
    /// Changes one value of the profile; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Whose; by default the profile's nick, or your login name.
    #[arg(long)]
    pub(crate) nick: Option<String>,
    /// Where identity and history are kept; by default a folder for each nick.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// A passphrase for a file that is carried elsewhere. It is never asked for, and never an argument, which others can see.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub(crate) struct Passphrase {
    /// The environment variable that holds the passphrase of the file; by default the store's own passphrase is used.
    #[arg(long, value_name = "VARIABLE")]
    passphrase_env: Option<String>,
    /// The file that holds it.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// What leaves a data directory in a file, or comes into one.
#[derive(Debug, Clone, Args)]
pub(crate) struct Carried {
    /// The file. An export makes it, and it must not be there yet.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) whose: Whose,
    #[command(flatten)]
    pub(crate) passphrase: Passphrase,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Looks at every row of the store; says what is not as it was written, and ends with 1 then.
    Verify {
        #[command(flatten)]
        whose: Whose,
    },
    /// Writes everything that can be read into a new file, sealed under a passphrase; also of a damaged store.
    Export(Carried),
    /// Makes the store of an export. There must be none yet, and the identity must be the one that wrote it.
    Import(Carried),
    /// Changes what opens the data directory. Change [store] in the profile afterwards.
    Passwd {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        new: NewLock,
    },
}

/// What opens the data directory from now on.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct NewLock {
    /// A passphrase, from this environment variable.
    #[arg(long, value_name = "VARIABLE")]
    new_passphrase_env: Option<String>,
    /// A passphrase, from this file.
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    /// A key file outside of the data directory; made if it is not there.
    #[arg(long, value_name = "FILE")]
    new_key_file: Option<PathBuf>,
    /// Nothing: its key lies beside it.
    #[arg(long)]
    none: bool,
}

/// An open data directory.
pub(crate) struct Opened {
    pub(crate) home: Home,
    pub(crate) lock: Lock,
    profile: Option<Profile>,
}

impl Whose {
    /// The profile, if one is named.
    pub(crate) fn profile(&self) -> Result<Option<Profile>, Failure> {
        let Some(name) = &self.config else { return Ok(None) };
        let registry = plugins::registry()?;
        profiles::client(name, &self.set, self.nick.as_ref(), None, &registry).map(Some)
    }

    /// Takes the data directory. Whoever runs on it is told.
    pub(crate) fn open(&self) -> Result<Opened, Failure> {
        self.take(|nick| home::open_client(self.data_dir.as_deref(), Some(nick)))
    }

    /// Takes the data directory to look into it only; it may be on a medium that can't be written.
    fn look(&self) -> Result<Opened, Failure> {
        self.take(|nick| home::look_at_client(self.data_dir.as_deref(), nick))
    }

    fn take(&self, home: impl FnOnce(&Nick) -> Result<Home, Failure>) -> Result<Opened, Failure> {
        let profile = self.profile()?;
        let named = self.nick.clone().map(Nick::new).transpose();
        let named = named.map_err(|error| Failure::new(Code::Usage, format!("--nick: {error}")))?;
        let nick = match profile.as_ref().and_then(|profile| profile.identity.nick.clone()).or(named) {
            Some(nick) => nick,
            None => home::login_nick()?,
        };
        let home = home(&nick)?;
        match profile.as_ref().map_or(Ok(Lock::Beside), |profile| home::lock(profile, &home)) {
            Ok(lock) => Ok(Opened { home, lock, profile }),
            Err(failure) => {
                home.undo();
                Err(failure)
            }
        }
    }
}

impl Opened {
    /// Does something, and takes back what the opening has made if it fails.
    pub(crate) fn with<T>(self, work: impl FnOnce(&Self) -> Result<T, Failure>) -> Result<T, Failure> {
        match work(&self) {
            Ok(done) => Ok(done),
            Err(failure) => {
                self.home.undo();
                Err(failure)
            }
        }
    }

    /// The key of what is there already. Nothing is changed.
    fn existing(&self) -> Result<(PathBuf, Vault), Failure> {
        let store = self.home.store_as_it_is()?;
        if !store.exists() {
            return Err(failure(&ArchiveError::Missing(store)));
        }
        Ok((store, self.home.vault_as_it_is(&self.lock)?))
    }

    /// Where the profile says that the identity is.
    pub(crate) fn key_file(&self) -> Option<&Path> {
        self.profile.as_ref().and_then(|profile| profile.identity.key_file.as_deref())
    }

    /// Whether there is an identity, here or where the profile says.
    pub(crate) fn has_identity(&self) -> bool {
        self.key_file().is_some() || self.home.has_identity()
    }

    pub(crate) fn identity(&self, vault: &Vault) -> Result<chat_core::Identity, Failure> {
        self.home.identity(self.key_file(), vault)
    }
}

impl Passphrase {
    /// The passphrase of a file: what is named, else the store's own.
    pub(crate) fn read(&self, lock: &Lock) -> Result<Zeroizing<String>, Failure> {
        match (&self.passphrase_env, &self.passphrase_file, lock) {
            (Some(name), ..) => secret::read("--passphrase-env", &Secret::Env(name.clone())),
            (_, Some(path), _) => secret::read("--passphrase-file", &Secret::File(path.clone())),
            (None, None, Lock::Passphrase(passphrase)) => Ok(passphrase.clone()),
            _ => {
                let message =
                    "the file needs a passphrase: name it with --passphrase-env or --passphrase-file";
                Err(Failure::new(Code::Usage, message))
            }
        }
    }
}

pub(crate) fn failure(error: &ArchiveError) -> Failure {
    if matches!(error, ArchiveError::Portable(PortableError::Wrong)) {
        home::after_a_wrong_passphrase();
    }
    Failure::failed(error)
}

pub(crate) fn run(command: DbCommand) -> Result<(), Failure> {
    match command {
        DbCommand::Verify { whose } => whose.look()?.with(verify),
        DbCommand::Export(Carried { file, whose, passphrase }) => {
            whose.look()?.with(|opened| {
                let passphrase = passphrase.read(&opened.lock)?;
                let (store, vault) = opened.existing()?;
                let entropy = (Box::new(OsEntropy), Box::new(OsEntropy));
                let exported = client::export(&store, vault.key(), &file, &passphrase, entropy.0, entropy.1);
                let exported = exported.map_err(|error| failure(&error))?;
                exported.problems.iter().for_each(say);
                print(format!("{} rows exported to {}", exported.rows, file.display()))
            })
        }
        DbCommand::Import(Carried { file, whose, passphrase }) => {
            whose.open()?.with(|opened| {
                let passphrase = passphrase.read(&opened.lock)?;
                let store = opened.home.store()?;
                if store.exists() {
                    return Err(failure(&ArchiveError::Exists(store)));
                }
                if !opened.has_identity() {
                    let folder = opened.home.path().display();
                    return Err(Failure::failed(format!(
                        "there is no identity in {folder} yet, and an export belongs to the one that wrote it: `chat identity \
                         import` first; nothing was imported"
                    )));
                }
                let vault = opened.home.vault(&opened.lock)?;
                let me = opened.identity(&vault)?.peer_id();
                let imported =
                    client::import(&store, vault.key(), me, &file, &passphrase, Box::new(OsEntropy));
                let rows = imported.map_err(|error| failure(&error))?.rows;
                print(format!(
                    "{rows} rows imported; every session begins anew at the next start, with keys that are made then"
                ))
            })
        }
        DbCommand::Passwd { whose, new } => whose.open()?.with(|opened| {
            let (store, _) = opened.existing()?;
            let new = new.read(&opened.home)?;
            // What can't be had is found out before anything is changed.
            opened.identity(&opened.home.vault(&opened.lock)?)?;
            let changed = Vault::change(opened.home.path(), &store, &opened.lock, &new, &mut OsEntropy);
            changed.map_err(|error| home::vault_failure(&error))?;
            // What lay in the clear is sealed, and the other way round.
            opened.identity(&opened.home.vault(&new)?)?;
            print("changed; [store] of your profile must say so from now on")
        }),
    }
}

fn verify(opened: &Opened) -> Result<(), Failure> {
    let (store, vault) = opened.existing()?;
    let verdict =
        client::verify(&store, vault.key(), Box::new(OsEntropy)).map_err(|error| failure(&error))?;
    if verdict.problems.is_empty() {
        return print(format!("{} rows, all as they were written", verdict.rows));
    }
    let mut message = format!("{} rows, of which not all are as they were written:", verdict.rows);
    for problem in &verdict.problems {
        message.push_str(&format!("\n  {problem}"));
    }
    message.push_str("\n`chat db export` saves the rest; nothing was changed");
    Err(Failure::failed(message))
}

impl NewLock {
    fn read(&self, home: &Home) -> Result<Lock, Failure> {
        let passphrase = |flag, secret| home::passphrase(flag, &secret, home, false).map(Lock::Passphrase);
        Ok(match (&self.new_passphrase_env, &self.new_passphrase_file, &self.new_key_file) {
            (Some(name), ..) => passphrase("--new-passphrase-env", Secret::Env(name.clone()))?,
            (_, Some(path), _) => passphrase("--new-passphrase-file", Secret::File(path.clone()))?,
            (.., Some(path)) => Lock::KeyFile(path.clone()),
            _ => Lock::Beside,
        })
    }
}
