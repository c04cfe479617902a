//! From a name to a profile: a path, then the user's own profiles, then the built-in ones.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::diagnostics::{Diagnostic, ProfileError};
use super::parse::MAX_PROFILE_BYTES;

/// How a profile's file name ends; a name may be given without it.
const SUFFIX: &str = ".toml";

/// A profile that was found, not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'a> {
    /// A file.
    File(PathBuf),
    /// A profile that is part of the program: its name and text.
    BuiltIn(&'a str, &'a str),
}

impl Found<'_> {
    /// The name that errors and `config show` use.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::BuiltIn(name, _) => format!("built-in {name}"),
        }
    }

    /// The bytes. Of what is no plain file and does not end, at most one more than [`MAX_PROFILE_BYTES`], which is
    /// enough for [`Profile::load`](super::Profile::load) to refuse it.
    ///
    /// # Errors
    /// The file is too large, or can't be read.
    pub fn read(&self) -> Result<Vec<u8>, ProfileError> {
        match self {
            Self::File(path) => {
                let failed = |error: io::Error| {
                    Diagnostic::nowhere(format!("`{}` cannot be read: {error}", path.display()))
                };
                let found = path.metadata().map_err(failed)?;
                if found.is_file() && found.len() > MAX_PROFILE_BYTES as u64 {
                    let (path, bytes) = (path.display(), found.len());
                    let message =
                        format!("a profile has at most {MAX_PROFILE_BYTES} bytes, `{path}` has {bytes}");
                    return Err(Diagnostic::nowhere(message).into());
                }
                read_bounded(path).map_err(|error| failed(error).into())
            }
            Self::BuiltIn(_, text) => Ok(text.as_bytes().to_vec()),
        }
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_PROFILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The folder of the user's profiles, from `$XDG_CONFIG_HOME` and `$HOME`; a relative one is passed over, as
/// the XDG base directory specification demands.
pub fn user_profile_dir(xdg_config_home: Option<&OsStr>, home: Option<&OsStr>) -> Option<PathBuf> {
    let absolute = |path: Option<&OsStr>| path.map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute(xdg_config_home).or_else(|| absolute(home).map(|home| home.join(".config")));
    config.map(|config| config.join("chat").join("profiles"))
}

/// Finds a profile: `name` as a path, then in `user_dir`, then among `builtin` (name, text); each with and
/// without `.toml`. Looks at the file system, changes nothing. `-` is the caller's business.
///
/// # Errors
/// Nothing of that name; the error lists the built-in ones.
pub fn resolve<'a>(
    name: &str,
    user_dir: Option<&Path>,
    builtin: &[(&'a str, &'a str)],
) -> Result<Found<'a>, ProfileError> {
    if let Some(path) = spellings(name).map(PathBuf::from).find(|path| is_readable_kind(path)) {
        return Ok(Found::File(path));
    }
    let is_path = name.contains(std::path::is_separator) || name == "." || name == "..";
    let bare = |name: &str| name.strip_suffix(SUFFIX).unwrap_or(name).to_owned();
    if !is_path && !name.is_empty() {
        let in_user_dir = user_dir.into_iter().flat_map(|dir| spellings(name).map(|name| dir.join(name)));
        if let Some(path) = in_user_dir.into_iter().find(|path| is_readable_kind(path)) {
            return Ok(Found::File(path));
        }
        if let Some((name, text)) = builtin.iter().find(|(known, _)| bare(known) == bare(name)) {
            return Ok(Found::BuiltIn(name, text));
        }
    }
    if spellings(name).any(|path| Path::new(&path).is_dir()) {
        let error = Diagnostic::nowhere(format!("`{name}` is a folder, and a profile is a file"));
        return Err(error.note("name one of the files in it").into());
    }
    let error = Diagnostic::nowhere(format!("there is no profile `{name}`"));
    let error = match (is_path, user_dir) {
        (true, _) => error.note("no such file"),
        (false, Some(dir)) => {
            error.note(format!("looked for it here, in {}, and among the built-in ones", dir.display()))
        }
        (false, None) => error.note("looked for it here and among the built-in ones"),
    };
    let known: Vec<String> = builtin.iter().map(|(known, _)| bare(known)).collect();
    Err(error.accepted(&bare(name), known.iter().map(String::as_str)).into())
}

/// The name as given, and with the suffix if it has none.
fn spellings(name: &str) -> impl Iterator<Item = String> + use<> {
    let with_suffix = (!name.is_empty() && !name.ends_with(SUFFIX)).then(|| format!("{name}{SUFFIX}"));
    [name.to_owned()].into_iter().chain(with_suffix)
}

/// Anything but a folder: a pipe of the shell is a profile too.
fn is_readable_kind(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| !found.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT_IN: &[(&str, &str)] = &[("udp-rsa.toml", "a"), ("tcp-x25519.toml", "b")];

    #[test]
    fn a_path_then_the_users_then_the_built_in() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["udp-rsa", "udp-rsa.toml"] {
            let found = resolve(name, Some(dir.path()), BUILT_IN).unwrap();
            assert_eq!(found, Found::BuiltIn("udp-rsa.toml", "a"));
            assert_eq!(found.read().unwrap(), b"a");
        }
        let own = dir.path().join("udp-rsa.toml");
        std::fs::write(&own, "own").unwrap();
        for name in ["udp-rsa", "udp-rsa.toml"] {
            assert_eq!(resolve(name, Some(dir.path()), BUILT_IN).unwrap(), Found::File(own.clone()));
            assert_eq!(resolve(name, None, BUILT_IN).unwrap(), Found::BuiltIn("udp-rsa.toml", "a"));
        }
        let path = dir.path().join("udp-rsa");
        let found = resolve(path.to_str().unwrap(), None, &[]).unwrap();
        assert_eq!(found.read().unwrap(), b"own");
        assert!(found.name().ends_with("udp-rsa.toml"));
    }

    #[test]
    fn what_is_not_there_is_an_error_with_the_built_in_names() {
        let dir = tempfile::tempdir().unwrap();
        let error = resolve("udp-rsaa", Some(dir.path()), BUILT_IN).unwrap_err().to_string();
        assert!(error.contains("udp-rsa, tcp-x25519"), "{error}");
        assert!(error.contains("did you mean `udp-rsa`?"), "{error}");
        for name in ["", "./udp-rsa", "x/../udp-rsa.toml", "../udp-rsa"] {
            let user = dir.path().join("inner");
            assert!(resolve(name, Some(&user), BUILT_IN).is_err(), "{name:?}");
        }
        // A folder is no profile, and is called what it is; a path is not looked for elsewhere.
        for folder in [dir.path().to_str().unwrap(), ".", ".."] {
            let error = resolve(folder, None, BUILT_IN).unwrap_err().to_string();
            assert!(error.contains(&format!("`{folder}` is a folder")), "{error}");
            assert!(!error.contains("no such file"), "{error}");
        }
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused_with_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big.toml");
        std::fs::write(&path, vec![b'#'; MAX_PROFILE_BYTES * 2]).unwrap();
        let error = Found::File(path).read().unwrap_err().to_string();
        assert!(error.contains("at most 1048576 bytes") && error.contains("has 2097152"), "{error}");
        let endless = Found::File("/dev/zero".into());
        if cfg!(unix) {
            assert_eq!(endless.read().unwrap().len(), MAX_PROFILE_BYTES + 1);
        }
        assert!(
            Found::File(dir.path().join("gone.toml")).read().unwrap_err().to_string().contains("gone.toml")
        );
    }

    #[test]
    fn the_users_folder() {
        let dir = |xdg: Option<&str>, home: Option<&str>| {
            user_profile_dir(xdg.map(OsStr::new), home.map(OsStr::new))
        };
        assert_eq!(dir(Some("/x"), Some("/h")), Some("/x/chat/profiles".into()));
        assert_eq!(dir(Some("relative"), Some("/h")), Some("/h/.config/chat/profiles".into()));
        assert_eq!(dir(None, None), None);
    }
}
