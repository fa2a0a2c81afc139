//! A staged version as a person sees it. Everything from the registry or a file is escaped here.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::candidate::{Candidate, Contents};
use super::changes::{Change, Changes, How, runs};
use super::last_release::Last;
use crate::registry::clock::rough;
use crate::registry::staged::{Stage, Stager};
use crate::text::{escape, foreign_word, quoted};

/// As many changes of one kind are named; the pager shows the rest.
const MOST_NAMED: usize = 100;
/// As much of a foreign text fits into a table, in characters.
const LONGEST_CELL: usize = 120;

/// A foreign text in a table.
pub(super) fn cell(text: &str) -> String {
    match text.char_indices().nth(LONGEST_CELL) {
        Some((end, _)) => escape(&text[..end]) + "…",
        None => escape(text),
    }
}

/// How long ago something was.
pub(super) fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs();
    format!("{} ago", rough(seconds.max(0).unsigned_abs()))
}

/// When something will be.
fn until(then: Timestamp, now: Timestamp) -> String {
    let left = Duration::try_from(then.duration_since(now)).unwrap_or_default();
    if left.is_zero() { "now".into() } else { format!("in {}", rough(left.as_secs())) }
}

/// Where a version is from, in one line.
pub(super) fn from(stager: &Stager) -> String {
    let fields = ["repository", "workflow", "ref", "commit"].map(|field| stager.get(field));
    let known: Vec<_> = fields.into_iter().flatten().map(cell).collect();
    let by = stager.get("publisher").or_else(|| stager.get("user")).map(cell);
    match (by, known.is_empty()) {
        (Some(by), true) => by,
        (Some(by), false) => format!("{by}: {}", known.join(", ")),
        (None, false) => known.join(", "),
        (None, true) => "an unnamed machine".into(),
    }
}

/// One version in a list, in two lines.
pub(super) fn line(stage: &Stage, now: Timestamp) -> String {
    let new = if stage.new_crate { ", a new crate" } else { "" };
    let mut text = format!(
        "{:>4}  {} {}  {}{new}, {} bytes, {}\n      from {}",
        stage.id,
        stage.name,
        stage.version,
        stage.state.as_str(),
        stage.size,
        ago(stage.staged, now),
        from(&stage.stager),
    );
    if let Some(run) = stage.stager.get("run") {
        text += &format!("\n      run {}", cell(run));
    }
    if stage.needed > 1 {
        text += &format!("\n      {}", approvals(stage));
    }
    if let Some(words) = &stage.words {
        text += &format!("\n      the registry behind refused it:\n{}", quoted(words));
    }
    text
}

/// How many have approved it, and who.
pub(super) fn approvals(stage: &Stage) -> String {
    let users: Vec<_> = stage.given.iter().map(|given| cell(&given.user)).collect();
    let by = if users.is_empty() { String::new() } else { format!(", by {}", users.join(", ")) };
    format!("approved {} of {} times{by}", stage.given.len(), stage.needed)
}

/// What is new in a version, in a few words.
pub(super) fn summary(candidate: &Candidate, last: &Last) -> String {
    let (changes, before, mut parts) = match last {
        Last::Release(release) => {
            let changes = Changes::between(Some(&release.contents), &candidate.contents);
            (changes, Some(&release.contents), vec![format!("since {}", release.version)])
        }
        Last::None => (Changes::between(None, &candidate.contents), None, vec!["no earlier release".into()]),
        Last::Unknown(why) => return format!("not compared: {why}"),
    };
    if before.is_some() {
        for (changes, one, many) in [
            (&changes.files, "file", "files"),
            (&changes.dependencies, "dependency", "dependencies"),
            (&changes.features, "feature", "features"),
        ] {
            for how in [How::Added, How::Removed, How::Changed] {
                match Changes::count(changes, how) {
                    0 => {}
                    1 => parts.push(format!("1 {one} {}", how.as_str())),
                    count => parts.push(format!("{count} {many} {}", how.as_str())),
                }
            }
        }
        if parts.len() == 1 {
            parts.push("nothing has changed".into());
        }
    } else {
        parts.push(format!("{} files", candidate.contents.files.len()));
    }
    parts.extend(runs(&candidate.contents, before.map(|before| (before, &changes))));
    parts.join("; ")
}

/// Everything about a version, in lines.
pub(super) fn whole(candidate: &Candidate, last: &Last, registry: &str, now: Timestamp) -> String {
    let Candidate { stage, contents, length, .. } = candidate;
    let mut lines = vec![format!(
        "{}  {}, number {} at `{}`",
        candidate.called(),
        stage.state.as_str(),
        stage.id,
        escape(registry)
    )];
    let mut say = |name: &str, text: String| lines.push(format!("  {name:<12}{text}"));
    say("SHA-256", stage.checksum.to_string());
    say("size", format!("{length} bytes, {} files", contents.files.len()));
    say("staged", format!("{}, {}", stage.staged, ago(stage.staged, now)));
    if stage.state.is_open() {
        say("expires", until(stage.expires, now));
    }
    say("from", from(&stage.stager));
    for field in ["issuer", "run", "key"] {
        if let Some(value) = stage.stager.get(field) {
            say(field, cell(value));
        }
    }
    say("approvals", approvals(stage));
    if stage.new_crate {
        say("new", "this crate is new: whoever approves it will own it".into());
    }
    if let Some(words) = &stage.words {
        say("refused", format!("by the registry behind:\n{}", quoted(words)));
    }
    let (before, changes) = match last {
        Last::Release(release) => {
            say("compared", format!("with {}", release.version));
            (Some(&release.contents), Changes::between(Some(&release.contents), contents))
        }
        Last::None => {
            say("compared", "with nothing: there is no release yet".into());
            (None, Changes::between(None, contents))
        }
        Last::Unknown(why) => {
            say("compared", format!("with nothing, so everything is shown as new: {why}"));
            (None, Changes::between(None, contents))
        }
    };
    for run in runs(contents, before.map(|before| (before, &changes))) {
        say("runs", run);
    }
    section(&mut lines, "dependencies", &changes.dependencies, cell);
    section(&mut lines, "features", &changes.features, cell);
    section(&mut lines, "files", &changes.files, |path| file_line(path, before, contents));
    lines.join("\n")
}

fn section(lines: &mut Vec<String>, name: &str, changes: &[Change], in_words: impl Fn(&str) -> String) {
    if changes.is_empty() {
        return;
    }
    lines.push(format!("  {name}"));
    lines.extend(
        changes
            .iter()
            .take(MOST_NAMED)
            .map(|change| format!("    {} {}", change.how.sign(), in_words(&change.what))),
    );
    if let Some(more) = changes.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
        lines.push(format!("    and {more} more; --json lists them all"));
    }
}

fn file_line(path: &str, before: Option<&Contents>, after: &Contents) -> String {
    let [old, new] =
        [before, Some(after)].map(|contents| contents.and_then(|contents| contents.files.get(path)));
    let size = match (old, new) {
        (Some(old), Some(new)) if old.length != new.length => {
            format!("{} to {} bytes", old.length, new.length)
        }
        (_, Some(file)) | (Some(file), None) => format!("{} bytes", file.length),
        (None, None) => String::new(),
    };
    let mut marks = String::new();
    if new.or(old).is_some_and(|file| !file.is_text) {
        marks += ", binary";
    }
    if after.build_script.as_deref() == Some(path) {
        marks += ", the build script";
    }
    format!("{}  {size}{marks}", cell(path))
}

/// A version in JSON.
pub(super) fn json(stage: &Stage) -> Value {
    let stager = ["publisher", "issuer", "repository", "workflow", "ref", "commit", "run", "key", "user"];
    let stager =
        stager.into_iter().filter_map(|field| Some((field.to_owned(), stage.stager.get(field)?.into())));
    json!({
        "id": stage.id,
        "name": stage.name.as_str(),
        "vers": stage.version.to_string(),
        "cksum": stage.checksum.to_string(),
        "size": stage.size,
        "state": stage.state.as_str(),
        "staged": stage.staged.to_string(),
        "expires": stage.expires.to_string(),
        "new-crate": stage.new_crate,
        "stager": Value::Object(stager.collect()),
        "needed": stage.needed,
        "approved-by": stage.given.iter().map(|given| json!({
            "user": given.user,
            "key": given.key.to_string(),
        })).collect::<Vec<_>>(),
        "may-approve": stage.may_approve,
        "words": stage.words,
    })
}

/// The same, with what is in its file and what is new in that.
pub(super) fn whole_json(candidate: &Candidate, last: &Last) -> Value {
    let contents = &candidate.contents;
    let (since, before, unknown) = match last {
        Last::Release(release) => (Some(release.version.to_string()), Some(&release.contents), None),
        Last::None => (None, None, None),
        Last::Unknown(why) => (None, None, Some(why)),
    };
    let changes = Changes::between(before, contents);
    let list = |changes: &[Change]| {
        let each = changes.iter().map(|change| json!({ "how": change.how.as_str(), "what": change.what }));
        Value::Array(each.collect())
    };
    let binary = contents.files.iter().filter(|(_, file)| !file.is_text).map(|(path, _)| path);
    let mut value = json(&candidate.stage);
    value["version"] = 1.into();
    value["size"] = candidate.length.into();
    value["contents"] = json!({
        "since": since,
        "not-compared": unknown,
        "dependencies": list(&changes.dependencies),
        "features": list(&changes.features),
        "files": list(&changes.files),
        "binary-files": binary.collect::<Vec<_>>(),
        "build-script": contents.build_script,
        "proc-macro": contents.is_proc_macro,
        "programs": contents.programs,
    });
    value
}

/// The command that approves versions by their numbers: what is staged in their place has others, so nobody approves what they have not
/// seen.
pub(super) fn approve_command(registry: &str, ids: impl Iterator<Item = u64>) -> String {
    let ids: Vec<_> = ids.map(|id| id.to_string()).collect();
    format!("yk-cargo stage approve --registry {} {}", foreign_word(registry), ids.join(" "))
}

/// How to approve what was shown; `None` if that cannot be approved.
pub(super) fn next(stage: &Stage, registry: &str) -> Option<String> {
    (stage.state.is_open() && stage.may_approve)
        .then(|| format!("to approve this file: {}", approve_command(registry, [stage.id].into_iter())))
}
