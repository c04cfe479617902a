//! What a failed attempt to reach the relay, or to be it, means for the program.

use chat_core::LinkError;
use chat_relay::exit::Code;
use client::ConnectError;

use super::race::is_impostor;
use super::{Obstacle, Shared, Way};

/// A script is told that something else has the address after so many attempts without an answer of a relay; a relay
/// behind a bad network answers one of them.
const UNANSWERED: u32 = 2;

fn fatal(code: Code, message: String) -> ConnectError {
    ConnectError::Fatal { exit_code: code as u8, message }
}

impl Shared {
    /// As [`Shared::judge`], if no way works: what is wrong with one may be the user's to mend, all are told.
    pub(super) fn judge_all(&self, mut failed: Vec<(usize, LinkError)>, taken: bool) -> ConnectError {
        let said = self.all_reasons(&failed);
        let rank = |error: &LinkError| match error {
            LinkError::ForeignProtocol { .. } => 0,
            LinkError::BadAddress { .. } => 1,
            LinkError::Resolve { .. } => 3,
            _ => 2,
        };
        failed.sort_by_key(|(_, error)| rank(error));
        let (number, error) = match failed.into_iter().next() {
            Some((number, error)) => (number, error),
            None => return ConnectError::Retry("the profile has no transport".to_owned()),
        };
        let judged = self.way(number).map(|way| self.judge(way, error, taken));
        match judged {
            Ok(ConnectError::Retry(_)) if self.place.ways.len() > 1 => ConnectError::Retry(said),
            Ok(judged) | Err(judged) => judged,
        }
    }

    /// At the start some failures are the user's to mend, later all are worth another try.
    pub(super) fn judge(&self, way: &Way, error: LinkError, taken: bool) -> ConnectError {
        let relay = &way.address.place;
        let foreign = matches!(error, LinkError::ForeignProtocol { .. });
        let silent = taken && matches!(error, LinkError::Timeout(_) | LinkError::Unreachable { .. });
        let (attempted, connected, unanswered) = {
            let mut state = self.state();
            state.unanswered = if silent || foreign { state.unanswered + 1 } else { 0 };
            (std::mem::replace(&mut state.attempted, true), state.connected, state.unanswered)
        };
        if connected {
            return ConnectError::Retry(error.to_string());
        }
        if let Some(message) = in_use(relay, &error, taken) {
            let given_up = !self.place.interactive && unanswered >= UNANSWERED;
            return match given_up || (foreign && !attempted) {
                true => fatal(Code::Unreachable, message),
                false => ConnectError::Retry(message),
            };
        }
        if attempted && !is_impostor(&error) {
            return ConnectError::Retry(error.to_string());
        }
        match error {
            LinkError::WrongPeer { expected, found } => fatal(
                Code::NotAuthenticated,
                format!(
                    "the relay at {relay} is {found}, but the profile pins {expected}; if it has changed its key for a \
                 good reason, change topology.relay, else somebody is in between"
                ),
            ),
            LinkError::NotAuthenticated(why) => fatal(
                Code::NotAuthenticated,
                format!("the relay at {relay} could not prove who it is ({why}); nothing was sent"),
            ),
            LinkError::BadAddress { .. } => fatal(Code::Usage, format!("topology.relay: {error}")),
            LinkError::Resolve { .. } => {
                fatal(Code::Unreachable, format!("{error}; check topology.relay and the network"))
            }
            error => ConnectError::Retry(error.to_string()),
        }
    }

    /// A script that was to host and can't, at the start, is told so: nobody else has the address.
    pub(super) fn judge_obstacle(&self, obstacle: Obstacle) -> ConnectError {
        let message = obstacle.to_string();
        match obstacle {
            Obstacle::Listen(error @ LinkError::Resolve { .. }) => match self.way(0) {
                Ok(way) => self.judge(way, error, false),
                Err(none) => none,
            },
            Obstacle::Listen(_) => {
                self.state().attempted = true;
                ConnectError::Retry(message)
            }
            Obstacle::Mailbox { .. } => {
                let attempted = std::mem::replace(&mut self.state().attempted, true);
                if attempted || self.place.interactive {
                    return ConnectError::Retry(message);
                }
                let folder = &self.place.folder;
                fatal(
                    Code::Failed,
                    format!("{message} (in {}); another --data-dir begins anew", folder.display()),
                )
            }
        }
    }
}

/// What to say if something that is no relay has the relay's address.
fn in_use(relay: &str, error: &LinkError, taken: bool) -> Option<String> {
    let what = match error {
        LinkError::ForeignProtocol { looks_like } => format!("is no chat relay ({looks_like})"),
        LinkError::Timeout(_) | LinkError::Unreachable { .. } if taken => {
            "does not answer as a chat relay".to_owned()
        }
        _ => return None,
    };
    Some(format!(
        "{relay} is in use by something that {what}; choose another address, as in \
         --set topology.relay=127.0.0.1:23456"
    ))
}
