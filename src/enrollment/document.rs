//! Reading a file that this program has written: a TOML document that begins with its version.

use toml_edit::{DocumentMut, Item, Table, TomlError, value};

use super::Problem;

/// The document with this text, or a new one where there is no file yet. `version` is the only one that is written and read.
pub(crate) fn document(text: Option<&str>, version: i64) -> Result<DocumentMut, Problem> {
    let Some(text) = text else { return Ok(Table::from_iter([("version", value(version))]).into()) };
    let document: DocumentMut = text.parse().map_err(|error: TomlError| Problem::Toml(error.to_string()))?;
    match document.get("version").map(Item::as_integer) {
        Some(Some(found)) if found == version => Ok(document),
        Some(Some(found)) if found > version => Err(Problem::Newer { version: found }),
        _ => Err(Problem::NoVersion { version }),
    }
}
