//! How the file writes single values.

use asymmetric_token::KeyIdField;
use serde::{Deserialize, Serialize};

use super::DEFAULT_REUSE;

/// The values of `key-id`.
#[derive(Deserialize, Serialize)]
#[serde(remote = "KeyIdField", rename_all = "lowercase")]
pub(super) enum KeyId {
    Both,
    Kip,
    Kid,
}

pub(super) fn both() -> KeyIdField {
    KeyIdField::Both
}

/// The value of `reuse` where a file does not have it.
pub(super) fn default_reuse() -> u32 {
    DEFAULT_REUSE
}

/// A value that is written as text.
pub(super) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::{Deserialize, Deserializer, Error as _};
    use serde::ser::Serializer;

    pub(crate) fn serialize<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
        from: D,
    ) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A YubiKey's number, which is written as one.
pub(super) mod number {
    use serde::de::{Deserialize as _, Deserializer};
    use serde::ser::Serializer;

    use crate::piv::Serial;

    pub(crate) fn serialize<S: Serializer>(serial: &Serial, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(serial.0)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Serial, D::Error> {
        u32::deserialize(from).map(Serial)
    }
}
