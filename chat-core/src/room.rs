//! How a room is addressed here: by its name, or by its name with digits if another room has that name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::ConversationId;
use crate::nick::{NameError, RoomName};

/// Most digits behind a name: those of a whole conversation id.
const MAX_DIGITS: usize = 2 * ConversationId::LEN;

/// What a room is called here: `#lobby`, or `#lobby·7f3a` if another room of this node is called `#lobby`. A name is only a
/// label, chosen by whoever made the room; an address means one room.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoomAddress {
    name: RoomName,
    digits: Option<String>,
}

impl RoomAddress {
    /// The name with the first `digits` hexadecimal digits of the room's id, 1 to 32.
    pub fn with_digits(name: RoomName, id: ConversationId, digits: usize) -> Self {
        let digits = id.to_string().chars().take(digits.clamp(1, MAX_DIGITS)).collect();
        Self { name, digits: Some(digits) }
    }

    /// The name without digits, which several rooms may have.
    pub fn name(&self) -> &RoomName {
        &self.name
    }

    /// Whether it says digits, and the id of a room begins with them.
    pub fn has_digits_of(&self, id: ConversationId) -> bool {
        self.digits.as_ref().is_some_and(|digits| id.to_string().starts_with(digits.as_str()))
    }

    /// The name, if that is the whole address.
    pub fn plain(&self) -> Option<&RoomName> {
        self.digits.is_none().then_some(&self.name)
    }
}

impl From<RoomName> for RoomAddress {
    fn from(name: RoomName) -> Self {
        Self { name, digits: None }
    }
}

impl TryFrom<String> for RoomAddress {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        let Some((name, digits)) = text.split_once('·') else { return RoomName::new(text).map(Self::from) };
        let is_hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.chars().all(is_hex) {
            return Err(NameError::Forbidden('·'));
        }
        Ok(Self { name: RoomName::new(name)?, digits: Some(digits.to_owned()) })
    }
}

impl FromStr for RoomAddress {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        text.to_owned().try_into()
    }
}

impl From<RoomAddress> for String {
    fn from(address: RoomAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for RoomAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        self.digits.as_ref().map_or(Ok(()), |digits| write!(f, "·{digits}"))
    }
}

impl fmt::Debug for RoomAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl PartialEq<RoomName> for RoomAddress {
    fn eq(&self, name: &RoomName) -> bool {
        self.plain() == Some(name)
    }
}

impl schemars::JsonSchema for RoomAddress {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RoomAddress".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "a room: #name, or #name·digits of its id if another room has that name"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_name_or_a_name_with_digits() {
        let id = ConversationId([0x7f; 16]);
        let name = RoomName::new("#lobby").unwrap();
        let long = RoomAddress::with_digits(name.clone(), id, 4);
        assert_eq!(long.to_string(), "#lobby·7f7f");
        assert_eq!(
            ("#lobby·7f7f".parse(), "#lobby".parse()),
            (Ok(long.clone()), Ok(RoomAddress::from(name.clone())))
        );
        assert_eq!((long.name(), long.plain()), (&name, None));
        assert!(long.has_digits_of(id) && !long.has_digits_of(ConversationId([0x7e; 16])));
        assert!(!RoomAddress::from(name.clone()).has_digits_of(id));
        let again = RoomAddress::from(name.clone());
        assert!(long != name && again == name);
        assert_eq!(RoomAddress::with_digits(name, id, 99).to_string().chars().count(), 6 + 1 + 32);
        for bad in
            ["lobby", "#lobby·", "#lobby·7F", "#lobby·x", "#·7f", "#a·7·f", &format!("#a·{}", "7".repeat(33))]
        {
            assert!(bad.parse::<RoomAddress>().is_err(), "{bad}");
        }
    }
}
