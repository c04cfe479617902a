//! One end of a conversation, with its session as it lies in the store.

use std::fmt;

use zeroize::Zeroizing;

use super::scene::Scene;
use crate::error::CryptoError;
use crate::key_exchange::{SavedSession, Session, StateChange};
use crate::testing::rule::{Must as _, Violation, ensure};

/// A session, and what was saved of it: every [`StateChange`] applied, as the store does.
pub struct End<'a> {
    scene: &'a Scene,
    /// The live session.
    pub session: Box<dyn Session>,
    /// The stored one.
    pub saved: SavedSession,
}

impl<'a> End<'a> {
    /// A session that was just begun, saved for the first time.
    ///
    /// # Errors
    /// That it has nothing to save.
    pub fn new(scene: &'a Scene, session: Box<dyn Session>) -> Result<Self, Violation> {
        let mut end = Self { scene, session, saved: SavedSession::default() };
        end.save();
        ensure!(!end.saved.main.is_empty(), "a session that was just begun has nothing to save");
        Ok(end)
    }

    /// A session that came out of the store as `saved`.
    pub fn new_restored(scene: &'a Scene, session: Box<dyn Session>, saved: SavedSession) -> Self {
        Self { scene, session, saved }
    }

    /// Seals what must be sealed, with fresh randomness.
    ///
    /// # Errors
    /// That sealing failed.
    pub fn seal(&mut self, text: &[u8]) -> Result<Vec<u8>, Violation> {
        let sealed = self.session.seal(text, &mut self.scene.step(&mut self.scene.entropy()));
        sealed.must(format!("sealing {} bytes", text.len()))
    }

    /// Opens what may open.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open(&mut self, frame: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        self.session.open(frame, &mut self.scene.step(&mut self.scene.entropy()))
    }

    /// Opens what must open, to what it must say.
    ///
    /// # Errors
    /// That it did not.
    pub fn opens(&mut self, frame: &[u8], text: &[u8]) -> Result<(), Violation> {
        let opened = self.open(frame).must(format!("opening a genuine frame of {} bytes", frame.len()))?;
        ensure!(*opened == text, "a genuine frame of {} bytes opens to something else", frame.len());
        Ok(())
    }

    /// Refuses what must be refused.
    ///
    /// # Errors
    /// That it was opened.
    pub fn refuses(&mut self, frame: &[u8], what: impl fmt::Display) -> Result<CryptoError, Violation> {
        self.open(frame).must_fail(what)
    }

    /// Refuses a frame that it opened before, and calls it so.
    ///
    /// # Errors
    /// That it was opened, or called something else.
    pub fn refuses_as_seen(&mut self, frame: &[u8], what: impl fmt::Display) -> Result<(), Violation> {
        let error = self.refuses(frame, &what)?;
        let named = matches!(error, CryptoError::Duplicate | CryptoError::TooOld);
        ensure!(named, "{what} is refused as {error:?}, not as Duplicate or TooOld");
        Ok(())
    }

    /// Stores what has changed, and returns it.
    pub fn save(&mut self) -> StateChange {
        let change = self.session.save();
        self.saved.apply(change.clone());
        change
    }

    /// Ends in good order and comes back.
    ///
    /// # Errors
    /// That it can't be restored.
    pub fn restart(&mut self) -> Result<(), Violation> {
        self.save();
        self.crash()
    }

    /// Ends at once and comes back from the store: what was not saved is lost.
    ///
    /// # Errors
    /// That it can't be restored.
    pub fn crash(&mut self) -> Result<(), Violation> {
        self.session = self.scene.restore(&self.saved).must("restoring a saved session")?;
        Ok(())
    }

    /// Another session out of the same store, as after a backup.
    ///
    /// # Errors
    /// That it can't be restored.
    pub fn copy(&self) -> Result<Self, Violation> {
        let session = self.scene.restore(&self.saved).must("restoring a copy of a saved session")?;
        Ok(Self { scene: self.scene, session, saved: self.saved.clone() })
    }
}

/// One message there and one back, both saved.
///
/// # Errors
/// That one of the steps failed.
pub fn round_trip(there: &mut End<'_>, back: &mut End<'_>) -> Result<[Vec<u8>; 2], Violation> {
    let question = there.seal(b"question")?;
    back.opens(&question, b"question")?;
    let answer = back.seal(b"answer")?;
    there.opens(&answer, b"answer")?;
    there.save();
    back.save();
    Ok([question, answer])
}
