//! Compares what cargo sent with what was signed, field by field.

use std::fmt::{self, Debug};

use serde_json::Value;

use super::{Dependency, Metadata};

/// The first field in which two descriptions of a version differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {sent} in the request and {signed} in the crate file")]
pub struct Difference {
    /// The field, by its name in the publish request.
    pub field: &'static str,
    /// What was sent.
    pub sent: String,
    /// What was signed.
    pub signed: String,
}

/// # Errors
/// [`Difference`]. What matters for resolution is compared first.
pub(super) fn compare(sent: &Metadata, signed: &Metadata) -> Result<(), Difference> {
    same("name", &sent.name, &signed.name)?;
    same("vers", &sent.version, &signed.version)?;
    same_dependencies(&sent.dependencies, &signed.dependencies)?;
    same("features", &sent.features, &signed.features)?;
    same("links", &sent.links, &signed.links)?;
    same("rust_version", &sent.rust_version, &signed.rust_version)?;
    let (sent, signed) = (&sent.description, &signed.description);
    same("authors", &sent.authors, &signed.authors)?;
    same("description", &sent.description, &signed.description)?;
    same("documentation", &sent.documentation, &signed.documentation)?;
    same("homepage", &sent.homepage, &signed.homepage)?;
    same("readme_file", &sent.readme_file, &signed.readme_file)?;
    same("readme", &sent.readme, &signed.readme)?;
    same("keywords", &sent.keywords, &signed.keywords)?;
    same("categories", &sent.categories, &signed.categories)?;
    same("license", &sent.license, &signed.license)?;
    same("license_file", &sent.license_file, &signed.license_file)?;
    same("repository", &sent.repository, &signed.repository)?;
    same("badges", &sent.badges, &signed.badges)
}

fn same<T: PartialEq + Debug>(field: &'static str, sent: &T, signed: &T) -> Result<(), Difference> {
    if sent == signed {
        return Ok(());
    }
    Err(Difference { field, sent: shown(sent), signed: shown(signed) })
}

/// Compares two sorted lists. The message shows the first dependency that only one of them has.
fn same_dependencies(sent: &[Dependency], signed: &[Dependency]) -> Result<(), Difference> {
    if sent == signed {
        return Ok(());
    }
    let at = sent.iter().zip(signed).take_while(|(a, b)| a == b).count();
    Err(Difference { field: "deps", sent: described(sent.get(at)), signed: described(signed.get(at)) })
}

/// A dependency on one line, or that there is none.
pub(crate) fn described(dependency: Option<&Dependency>) -> String {
    dependency.map_or_else(|| "absent".to_owned(), |dependency| Line(dependency).to_string())
}

struct Line<'a>(&'a Dependency);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dependency = self.0;
        let text = format!("{} = {}", dependency.name, dependency.requirement);
        write!(
            f,
            "`{}` ({}, target {}, rename {}, features {}, optional {}, default features {}, registry {})",
            cut(&text.escape_debug().to_string()),
            dependency.kind,
            shown(&dependency.target),
            shown(&dependency.rename),
            shown(&dependency.features),
            dependency.optional,
            dependency.default_features,
            shown(&dependency.registry),
        )
    }
}

/// `Debug` escapes control characters, which a terminal would obey.
pub(crate) fn shown(value: &impl Debug) -> String {
    cut(&format!("{value:?}"))
}

/// JSON as it is, but for what a terminal would obey.
pub(crate) fn shown_json(value: &Value) -> String {
    let escaped = |c: char| if c == '"' || c == '\\' { vec![c] } else { c.escape_debug().collect() };
    cut(&value.to_string().chars().flat_map(escaped).collect::<String>())
}

fn cut(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
