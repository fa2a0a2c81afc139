//! A part of a token, which is a JSON object. Its members are taken out one by one, and members that are left at the
//! end are refused.

use serde_json::{Map, Value};

use crate::error::{Error, Part};
use crate::strict_json::{self, StrictJsonError};

/// The members that are not taken out yet.
pub(crate) struct Object {
    part: Part,
    members: Map<String, Value>,
}

impl Object {
    /// Reads a part of a token.
    pub(crate) fn parse(bytes: &[u8], part: Part) -> Result<Self, Error> {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::NotUtf8(part))?;
        match strict_json::parse(text) {
            Ok(Value::Object(members)) => Ok(Self { part, members }),
            Ok(_) | Err(StrictJsonError::Syntax(_)) => Err(Error::NotJson(part)),
            Err(StrictJsonError::DuplicateName(name)) => Err(Error::DuplicateName { part, name }),
        }
    }

    /// Whether a member is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    pub(crate) fn string(&mut self, name: &'static str) -> Result<Option<String>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Error::WrongType(name)),
        }
    }

    pub(crate) fn required(&mut self, name: &'static str) -> Result<String, Error> {
        self.string(name)?.ok_or(Error::Missing(name))
    }

    pub(crate) fn object(&mut self, name: &'static str) -> Result<Option<Self>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self { part: self.part, members })),
            Some(_) => Err(Error::WrongType(name)),
        }
    }

    /// Refuses members that are left.
    pub(crate) fn is_empty(&self) -> Result<(), Error> {
        match self.members.keys().next() {
            Some(name) => Err(Error::UnknownName { part: self.part, name: name.clone() }),
            None => Ok(()),
        }
    }

    /// All that is left.
    pub(crate) fn into_members(self) -> Map<String, Value> {
        self.members
    }
}
