//! Asking the people of a town, and looking into their histories.

use serde_json::{Value, json};

use super::{NICKS, Town};
use crate::ledger::{Depth, ROOM, To};
use crate::line::Answer;
use crate::{Fault, Who};

/// Messages of a page of history.
const PAGE: u32 = 1000;

impl Town {
    /// Asks somebody's program. A fault if it refuses, or has ended.
    pub fn ask(&mut self, who: Who, method: &str, params: Value) -> Result<Answer, Fault> {
        self.questions += 1;
        let id = self.questions;
        let mut line = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        line.push('\n');
        self.news.change(|state| state.people[who].write(line.into_bytes()))?;
        let answer = self.news.wait(&format!("{} to answer {method}", NICKS[who]), |state| {
            let presence = &mut state.people[who];
            match presence.answers.remove(&id) {
                Some(answer) => Some(Some(answer)),
                None => (!presence.alive).then_some(None),
            }
        })?;
        match answer {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(refusal)) => Err(format!("{} refuses {method}: {}", NICKS[who], refusal.message).into()),
            None => Err(format!("{} has ended", NICKS[who]).into()),
        }
    }

    /// Looks into all of somebody's conversations: as far back as `depth` says.
    pub fn look(&mut self, who: Who, depth: Depth) -> Result<(), Fault> {
        let others = self.people().filter(|other| *other != who).map(To::Person);
        for view in others.chain([To::Room]).collect::<Vec<_>>() {
            let with = match view {
                To::Room => Some(ROOM.to_owned()),
                To::Person(other) => self.news.read().ledger.peer(other).map(str::to_owned),
            };
            if let Some(with) = with {
                self.look_at(who, view, &with, depth)?;
            }
        }
        Ok(())
    }

    fn look_at(&mut self, who: Who, view: To, with: &str, depth: Depth) -> Result<(), Fault> {
        let mut look = self.news.read().ledger.look(who, view, depth);
        let mut before = Value::Null;
        while !look.is_done() {
            let params = json!({ "with": with, "before": before, "limit": PAGE });
            let page = self.ask(who, "msg.history", params)?;
            before = page.messages.first().map_or(Value::Null, |row| row.id.clone().into());
            self.news.change(|state| state.ledger.page(&mut look, &page.messages));
            if !page.has_older {
                self.news.change(|state| state.ledger.looked(look));
                return Ok(());
            }
        }
        Ok(())
    }
}
