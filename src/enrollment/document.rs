//! Reading a file that this program has written: a TOML document with `version = 1`.

use toml_edit::{DocumentMut, Item, Table, TomlError, value};

use super::Problem;

/// The only version that this program writes and reads.
const VERSION: i64 = 1;

/// The document with this text, or a new one where there is no file yet.
pub(crate) fn document(text: Option<&str>) -> Result<DocumentMut, Problem> {
    let Some(text) = text else { return Ok(Table::from_iter([("version", value(VERSION))]).into()) };
    let document: DocumentMut = text.parse().map_err(|error: TomlError| Problem::Toml(error.to_string()))?;
    match document.get("version").map(Item::as_integer) {
        Some(Some(VERSION)) => Ok(document),
        Some(Some(version)) => Err(Problem::Newer { version }),
        _ => Err(Problem::NoVersion),
    }
}
