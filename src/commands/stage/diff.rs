//! `stage diff`: what is new in a version's files, line by line.
//!
//! Every row begins with a sign, also where a long line goes on in the next row, so that no file can write a row of this program's.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::time::Duration;

use clap::Args;
use crate_file::CrateFile;
use similar::TextDiff;

use super::candidate::Contents;
use super::changes::{Changes, How};
use super::last_release::Last;
use super::session::Session;
use super::{At, Which, pager, shown, which};
use crate::context::Context;
use crate::error::Error;
use crate::text::{escape, tame};
use crate::ui::Ui;

/// A longer file is named, and its lines are not compared; nor are those of further files once so much was compared. In bytes.
const LONGEST_FILE: u64 = 1 << 20;
const LONGEST_TOGETHER: u64 = 32 << 20;

/// After that, what two files have in common may not all be found.
const PATIENCE: Duration = Duration::from_secs(2);

/// Arguments of `stage diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// The version, or its number at the registry.
    #[arg(value_name = "NAME@VERS|NUMBER", value_parser = which)]
    pub which: Which,
    /// Where.
    #[command(flatten)]
    pub at: At,
    /// Print all of it at once.
    #[arg(long)]
    pub no_pager: bool,
}

/// Runs `yk-cargo stage diff`.
///
/// # Errors
/// [`Error::NotTheStaged`]; the registry cannot be asked, or refuses.
pub(super) fn run(arguments: &Diff, context: &Context) -> Result<(), Error> {
    Session::with(&arguments.at, context, |session| {
        let stage = session.find(&arguments.which)?;
        let candidate = session.candidate(stage)?;
        let (name, version) = (&candidate.stage.name, &candidate.stage.version);
        let last = Last::before(session, name, version)?;
        let new = Side { file: &candidate.file, contents: &candidate.contents };
        let old = match &last {
            Last::Release(release) => Some(Side { file: &release.file, contents: &release.contents }),
            Last::None => None,
            Last::Unknown(why) => {
                Ui::silent().warn(format_args!("everything is shown as new: {why}"));
                None
            }
        };
        let since = match &last {
            Last::Release(release) => format!("{} since {}", candidate.called(), release.version),
            _ => candidate.called(),
        };
        let next = shown::next(&candidate.stage, session.registry.display_name());
        let next = next.map(|next| format!("\n=== {next}\n")).unwrap_or_default();
        let text = format!("=== {since}, SHA-256 {}\n{}{next}", candidate.stage.checksum, compare(old, new)?);
        pager::show(&text, !arguments.no_pager)
    })
}

/// One of the two files that are compared.
#[derive(Clone, Copy)]
struct Side<'a> {
    file: &'a [u8],
    contents: &'a Contents,
}

impl Side<'_> {
    fn length(&self, path: &str) -> Option<u64> {
        self.contents.files.get(path).map(|file| file.length)
    }

    /// The texts of some files.
    fn texts(&self, wanted: &[&str]) -> Result<BTreeMap<String, String>, Error> {
        let mut texts = BTreeMap::new();
        let Contents { metadata, .. } = self.contents;
        let length = self.file.len() as u64;
        let unreadable = |error: crate_file::CrateFileError| Error::NotACrate {
            file: format!("{}-{}.crate", metadata.name, metadata.version).into(),
            reason: escape(&error.to_string()),
        };
        let mut archive = CrateFile::open(Cursor::new(self.file), length, &metadata.name, &metadata.version)
            .map_err(unreadable)?;
        archive
            .each(|path, content| {
                if wanted.contains(&path) {
                    let mut text = String::new();
                    content.take(LONGEST_FILE).read_to_string(&mut text)?;
                    texts.insert(path.to_owned(), text);
                }
                Ok(())
            })
            .map_err(unreadable)?;
        Ok(texts)
    }
}

fn compare(old: Option<Side<'_>>, new: Side<'_>) -> Result<String, Error> {
    let changes = Changes::between(old.map(|old| old.contents), new.contents);
    let of = |path: &str| [old.and_then(|old| old.length(path)), new.length(path)];
    let is_text = |path: &str| {
        let sides = [old.map(|old| old.contents), Some(new.contents)];
        sides.into_iter().flatten().filter_map(|side| side.files.get(path)).all(|file| file.is_text)
    };
    let mut left = LONGEST_TOGETHER;
    let mut fits = |path: &str| {
        let [old, new] = of(path).map(Option::unwrap_or_default);
        let fits = old.max(new) < LONGEST_FILE && old + new <= left;
        left -= if fits { old + new } else { 0 };
        fits
    };
    let shown: Vec<&str> = changes
        .files
        .iter()
        .map(|change| change.what.as_str())
        .filter(|path| is_text(path) && fits(path))
        .collect();
    let (mut before, mut after) =
        (old.map(|old| old.texts(&shown)).transpose()?.unwrap_or_default(), new.texts(&shown)?);
    let mut text = String::new();
    for change in &changes.files {
        let path = change.what.as_str();
        let size = match of(path) {
            [Some(old), Some(new)] => format!("{old} to {new} bytes"),
            [one, other] => format!("{} bytes", one.or(other).unwrap_or_default()),
        };
        let script = new.contents.build_script.as_deref() == Some(path);
        let mark = if script { ", the build script" } else { "" };
        text += &format!("\n=== {} {}, {size}{mark}\n", escape(path), change.how.as_str());
        if !shown.contains(&path) {
            let why = if is_text(path) { "too long to show" } else { "binary" };
            text += &format!("=== {why}: yk-cargo stage download saves the crate file\n");
            continue;
        }
        let side = |texts: &mut BTreeMap<String, String>| texts.remove(path).unwrap_or_default();
        let (one, other) = (side(&mut before), side(&mut after));
        text += &rows(&lines(&one, &other, change.how), pager::columns());
    }
    if changes.files.is_empty() {
        text += "\n=== no file has changed\n";
    }
    Ok(text)
}

fn lines(old: &str, new: &str, how: How) -> String {
    if how != How::Changed {
        let (sign, text) = if how == How::Added { ('+', new) } else { ('-', old) };
        return text.split_inclusive('\n').map(|line| format!("{sign}{line}")).collect();
    }
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    diff.unified_diff().context_radius(3).to_string()
}

/// Every line in rows that fit; the sign of those in which one goes on is a bar. What is a blank to the eye is told apart.
fn rows(diff: &str, columns: Option<usize>) -> String {
    let room = columns.map_or(usize::MAX, |columns| columns.saturating_sub(1).max(10));
    let mut text = String::new();
    for line in diff.split('\n').filter(|line| !line.is_empty()) {
        let mut width = 0;
        for character in tame(line.replace('\t', "→   ")).chars() {
            let columns = if character.is_ascii() { 1 } else { 2 };
            if width + columns > room {
                text += "\n|";
                width = 1;
            }
            text.push(character);
            width += columns;
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_begins_with_what_a_file_says() {
        let hostile = "=== src/lib.rs changed\n\x1b[2J\u{202e}\rx\n--- a\n\tindented\nlong long long";
        let shown = rows(&lines("--- a\n", hostile, How::Changed), Some(12));
        assert!(shown.lines().all(|row| row.starts_with(['+', '-', ' ', '@', '|', '\\'])), "{shown}");
        assert!(shown.lines().all(|row| row.chars().count() <= 12), "{shown}");
        assert!(
            shown.bytes().all(|byte| byte == b'\n' || !byte.is_ascii_control())
                && !shown.contains('\u{202e}')
        );
        let added = rows(&lines("", hostile, How::Added), None);
        assert!(added.starts_with("+=== src/lib.rs changed\n+\\u{1b}[2J\\u{202e}\\u{d}x\n"), "{added}");
        assert!(added.contains("+→   indented\n"), "{added}");
    }
}
