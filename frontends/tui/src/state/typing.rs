//! Who writes: what the user types is told to others, and what they type is shown.

use chat_core::ConversationId;

use super::{Effect, State, Tab};
use crate::text;

/// As long as the user types it is said again after this.
const AGAIN_MS: u64 = 2_000;

impl State {
    /// After a key: whether the user writes a message in the conversation that is shown, if that key can have changed one.
    /// A command is none.
    pub(super) fn tell_typing(&mut self, writes: bool) {
        let tab = self.tab();
        let same = |tab: &Tab| self.said_typing.is_some_and(|(said, _)| Some(said) == tab.id);
        if !writes && tab.is_none_or(same) {
            return;
        }
        let writes = tab.filter(|_| writes).and_then(|tab| {
            let typed = tab.editor.text();
            tab.id
                .filter(|_| !typed.trim().is_empty() && (!typed.starts_with('/') || typed.starts_with("//")))
        });
        match (writes, self.said_typing) {
            (Some(id), Some((said, at))) if said == id && self.now.ms_since(at) < AGAIN_MS => {}
            (Some(id), said) => {
                if let Some((other, _)) = said.filter(|(said, _)| *said != id) {
                    self.effects.push(Effect::Typing(other, false));
                }
                self.said_typing = Some((id, self.now));
                self.effects.push(Effect::Typing(id, true));
            }
            (None, Some((said, _))) => {
                self.said_typing = None;
                self.effects.push(Effect::Typing(said, false));
            }
            (None, None) => {}
        }
    }

    /// Who writes in a conversation, in words; empty if nobody does.
    pub(crate) fn writing_in(&self, conversation: ConversationId) -> String {
        let here = self.writers.iter().filter(|((id, _), _)| *id == conversation);
        let names: Vec<String> = here.map(|(_, nick)| text::name(nick)).collect();
        match names.as_slice() {
            [] => String::new(),
            [one] => format!("{one} writes"),
            [one, other] => format!("{one} and {other} write"),
            several => format!("{} write", several.len()),
        }
    }
}
