//! What statements are given, and what columns hold: the types that every engine has.

/// A parameter of a statement, or what a column holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::store) enum Value<'a> {
    /// All columns that may hold nothing are columns of text.
    Null,
    Integer(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// The parameters of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::store::sql::Value::from($value)),*] };
}
pub(in crate::store) use values;

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

/// What can be read from a column.
pub(in crate::store) trait Column<'a>: Sized {
    /// What it has to hold, in words.
    const WANTED: &'static str;

    fn of(value: Value<'a>) -> Option<Self>;
}

impl<'a> Column<'a> for Value<'a> {
    const WANTED: &'static str = "anything";

    fn of(value: Value<'a>) -> Option<Self> {
        Some(value)
    }
}

impl Column<'_> for i64 {
    const WANTED: &'static str = "an integer";

    fn of(value: Value<'_>) -> Option<Self> {
        if let Value::Integer(number) = value { Some(number) } else { None }
    }
}

impl Column<'_> for u32 {
    const WANTED: &'static str = "a small number";

    fn of(value: Value<'_>) -> Option<Self> {
        i64::of(value)?.try_into().ok()
    }
}

impl Column<'_> for bool {
    const WANTED: &'static str = "true or false";

    fn of(value: Value<'_>) -> Option<Self> {
        i64::of(value).map(|number| number != 0)
    }
}

impl<'a> Column<'a> for &'a str {
    const WANTED: &'static str = "text";

    fn of(value: Value<'a>) -> Option<Self> {
        if let Value::Text(text) = value { Some(text) } else { None }
    }
}

impl Column<'_> for String {
    const WANTED: &'static str = <&str>::WANTED;

    fn of(value: Value<'_>) -> Option<Self> {
        <&str>::of(value).map(ToOwned::to_owned)
    }
}

impl Column<'_> for Vec<u8> {
    const WANTED: &'static str = "bytes";

    fn of(value: Value<'_>) -> Option<Self> {
        if let Value::Bytes(bytes) = value { Some(bytes.to_owned()) } else { None }
    }
}

impl<'a, T: Column<'a>> Column<'a> for Option<T> {
    const WANTED: &'static str = T::WANTED;

    fn of(value: Value<'a>) -> Option<Self> {
        if value == Value::Null { Some(None) } else { T::of(value).map(Some) }
    }
}
