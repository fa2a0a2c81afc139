//! Whether a registry has the version that a change names. It would refuse the change after the person has been asked for it; an index
//! that is open to all says so before. It may be a copy that is a little old.

use asymmetric_token::{CrateName, Mutation};
use crate_file::index;
use semver::Version;
use serde::Deserialize;

use super::greeting::Asked;
use crate::settings::Settings;

/// No crate has a longer file in an index, in bytes.
const LONGEST: u64 = 64 << 20;

/// What the index has in the place of what is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instead {
    /// The crate, under another spelling of its name.
    Name(String),
    /// The crate, without this version.
    OtherVersions,
}

#[derive(Deserialize)]
struct Line {
    name: String,
    vers: Version,
}

/// Looks up what is to be yanked or unyanked; `None` if it is there, or if that cannot be known without a token.
#[must_use]
pub fn instead(index: &str, mutation: &Mutation, settings: &Settings) -> Option<Instead> {
    let (Mutation::Yank { name, version } | Mutation::Unyank { name, version }) = mutation else {
        return None;
    };
    let base = index.strip_prefix("sparse+")?;
    let url = format!("{base}{}", index::path(name.as_str()));
    let answer = Asked::new(index, settings).ok()?.client.get_up_to(LONGEST, &url, None).ok()?;
    if answer.status == 200 { in_file(&answer.body, name, version) } else { None }
}

/// Lines that are none of an index are passed over.
fn in_file(file: &[u8], name: &CrateName, version: &Version) -> Option<Instead> {
    let mut lines = file
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Line>(line).ok())
        .peekable();
    let there = lines.peek()?.name.clone();
    if there != name.as_str() {
        return Some(Instead::Name(there));
    }
    (!lines.any(|line| line.vers == *version)).then_some(Instead::OtherVersions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_says_what_is_there() {
        let file = b"{\"name\":\"One_Thing\",\"vers\":\"1.0.0\"}\nnonsense\n{\"name\":\"One_Thing\",\"vers\":\"1.1.0\"}\n";
        let instead =
            |name: &str, version: &str| in_file(file, &name.parse().unwrap(), &version.parse().unwrap());
        assert_eq!(instead("One_Thing", "1.1.0"), None);
        assert_eq!(instead("one_thing", "1.1.0"), Some(Instead::Name("One_Thing".to_owned())));
        assert_eq!(instead("One_Thing", "2.0.0"), Some(Instead::OtherVersions));
        assert_eq!(in_file(b"<html>", &"a".parse().unwrap(), &"1.0.0".parse().unwrap()), None);
    }
}
