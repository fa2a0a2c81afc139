//! What a staged version has that the release before it has not, and the other way round.

use std::collections::BTreeSet;

use crate_file::metadata::{Dependency, Kind, Registry};

use super::candidate::Contents;

/// Whether something is new, gone, or another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Added,
    Removed,
    Changed,
}

/// One change. What it is about is not safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) how: How,
    pub(super) what: String,
}

/// All changes, each kind in its own order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) dependencies: Vec<Change>,
    pub(super) features: Vec<Change>,
    /// By their paths.
    pub(super) files: Vec<Change>,
}

impl How {
    pub(super) fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Changed => '~',
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

impl Changes {
    /// Since a release; without one, everything was added.
    pub(super) fn between(before: Option<&Contents>, after: &Contents) -> Self {
        let dependencies =
            |contents: &Contents| contents.metadata.dependencies.iter().map(in_words).collect();
        let features = |contents: &Contents| {
            let features = contents.metadata.features.iter();
            features.map(|(name, values)| format!("{name} = [{}]", values.join(", "))).collect()
        };
        Self {
            dependencies: differences(before.map(dependencies).unwrap_or_default(), dependencies(after)),
            features: differences(before.map(features).unwrap_or_default(), features(after)),
            files: files(before, after),
        }
    }

    /// How a file stands; `None` if it is the one that it was.
    pub(super) fn of_file(&self, path: &str) -> Option<How> {
        self.files.iter().find(|change| change.what == path).map(|change| change.how)
    }

    pub(super) fn count(changes: &[Change], how: How) -> usize {
        changes.iter().filter(|change| change.how == how).count()
    }
}

/// Two that say the same are one.
fn differences(before: BTreeSet<String>, after: BTreeSet<String>) -> Vec<Change> {
    let removed = before.difference(&after).map(|what| Change { how: How::Removed, what: what.clone() });
    let added = after.difference(&before).map(|what| Change { how: How::Added, what: what.clone() });
    removed.chain(added).collect()
}

fn files(before: Option<&Contents>, after: &Contents) -> Vec<Change> {
    let old = |path: &str| before.and_then(|before| before.files.get(path));
    let change = |path: &String, how| Change { how, what: path.clone() };
    let mut changes: Vec<_> = after
        .files
        .iter()
        .filter_map(|(path, file)| match old(path) {
            None => Some(change(path, How::Added)),
            Some(old) if old != file => Some(change(path, How::Changed)),
            Some(_) => None,
        })
        .collect();
    let gone =
        before.iter().flat_map(|before| before.files.keys()).filter(|path| !after.files.contains_key(*path));
    changes.extend(gone.map(|path| change(path, How::Removed)));
    changes
}

/// Everything that cargo goes by.
fn in_words(dependency: &Dependency) -> String {
    let Dependency {
        name,
        rename,
        requirement,
        features,
        optional,
        default_features,
        target,
        kind,
        registry,
    } = dependency;
    let mut text = format!("{name} {requirement}");
    let mut add = |more: String| text += &format!(", {more}");
    match kind {
        Kind::Normal => {}
        Kind::Dev => add("for tests".into()),
        Kind::Build => add("for the build script".into()),
    }
    if let Some(rename) = rename {
        add(format!("called {rename}"));
    }
    if !features.is_empty() {
        add(format!("with {}", features.join(" ")));
    }
    if !default_features {
        add("without its default features".into());
    }
    if *optional {
        add("optional".into());
    }
    if let Some(target) = target {
        add(format!("on {target}"));
    }
    match registry {
        Registry::Same => {}
        Registry::CratesIo => add("from crates.io".into()),
        Registry::Other(url) => add(format!("from {url}")),
    }
    text
}

/// What stands out of a version, each a few words, safe to show: what runs on the computers of those who build with it.
pub(super) fn runs(contents: &Contents, since: Option<(&Contents, &Changes)>) -> Vec<String> {
    let mut runs = Vec::new();
    if let Some(script) = &contents.build_script {
        let how = match since {
            _ if !contents.files.contains_key(script) => "but no file of the crate has exactly this path",
            Some((before, _)) if before.build_script.is_none() => "new",
            Some((before, changes)) => match changes.of_file(script) {
                Some(_) => "changed",
                None if before.build_script == contents.build_script => "unchanged",
                None => "another one",
            },
            None => "new",
        };
        runs.push(format!("build script {}, {how}", crate::text::escape(script)));
    }
    if contents.is_proc_macro {
        let was = since.is_some_and(|(before, _)| before.is_proc_macro);
        runs.push(format!("procedural macro{}", if was { "" } else { ", new" }));
    }
    let known = |program: &String| since.is_some_and(|(before, _)| before.programs.contains(program));
    let programs: Vec<_> = contents
        .programs
        .iter()
        .map(|program| {
            format!("{}{}", crate::text::escape(program), if known(program) { "" } else { " (new)" })
        })
        .collect();
    if !programs.is_empty() {
        runs.push(format!("installs {}", programs.join(", ")));
    }
    runs
}
