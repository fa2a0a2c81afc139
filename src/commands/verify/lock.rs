//! A whole lock file.
//!
//! The lock file names the checksum of each file, and cargo builds no other; so if the checksum is the one that was signed, nothing
//! needs to be downloaded. Lock file and the list beside it are a project's, and may be a stranger's: they decide neither who is asked
//! nor what is remembered.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::Verify;
use super::deep;
use super::evidence::Places;
use super::judgement::{self, Before, Judgement};
use super::log::Logs;
use super::report;
use crate::cargo_config::Detour;
use crate::context::Context;
use crate::error::Error;
use crate::index_url::CRATES_IO;
use crate::lock_file::{LockFile, Package};
use crate::text::escape;
use crate::trust::{self, News, Rotation, Trust};
use crate::ui::Ui;

/// Verifies every package of the lock file.
pub(super) fn run(path: &Path, arguments: &Verify, context: &Context) -> Result<(), Error> {
    let lock = LockFile::read(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let trust = Trust::load(context.cargo.home(), &arguments.key, Some(folder))?;
    let mut places = Places::new(&lock.packages, arguments, context)?;
    builds_what_is_locked(folder, &places, context)?;
    let (mut judgements, logs) = judgements(&lock.packages, &trust, &places)?;
    places.kept_all()?;
    if arguments.deep {
        deep::look(&mut judgements, &places);
    }
    if arguments.remember {
        remember(&mut judgements, &trust, arguments, context, &places)?;
    }
    report::report(&judgements, &logs, &lock.apart, &places, arguments.json)
}

/// Whether the project leaves cargo to build what its lock file names, which is all that is verified.
fn builds_what_is_locked(folder: &Path, places: &Places<'_>, context: &Context) -> Result<(), Error> {
    let here = folder.canonicalize().map_err(Error::Stdio)?;
    match context.cargo.read_in(&here)?.in_place_of(&places.registries())? {
        Some(Detour { key, origin }) => Err(Error::NotAsLocked { key, origin }),
        None => Ok(()),
    }
}

/// How each package stands, and the registries' logs.
fn judgements<'a>(
    packages: &'a [Package],
    trust: &Trust,
    places: &Places<'_>,
) -> Result<(Vec<Judgement<'a>>, Logs<'a>), Error> {
    let beforehand: Vec<_> =
        packages.iter().map(|package| judgement::beforehand(package, trust, places)).collect();
    let is_open = |before: &Before<'_>| matches!(before, Before::Open(_));
    let open = packages.iter().zip(&beforehand).filter(|(_, before)| is_open(before));
    let looked = places.look(&open.map(|(package, _)| package).collect::<Vec<_>>(), trust)?;
    let mut evidence = looked.evidence.into_iter();
    let judged = packages.iter().zip(beforehand).map(|(package, before)| match before {
        Before::Judged(judgement) => *judgement,
        Before::Open(checksum) => {
            let evidence = evidence.next().expect("there is some for each that is open");
            judgement::judge(package, checksum, evidence, trust)
        }
    });
    Ok((judged.collect(), looked.logs))
}

/// Shows each new key with its crates, asks once, and records all of them. That a key takes the place of a trusted one is asked for each
/// by itself, and not waved through by `--yes`: whoever has stolen a key can sign that as well.
fn remember(
    judgements: &mut [Judgement<'_>],
    trust: &Trust,
    arguments: &Verify,
    context: &Context,
    places: &Places<'_>,
) -> Result<(), Error> {
    let ui = Ui::asking();
    let deadline = context.settings.wait.pin_prompt();
    let home = context.cargo.home();
    let mut news = Vec::<News>::new();
    for found in judgements.iter().filter_map(|judgement| judgement.news.as_ref()) {
        if !news.contains(found) {
            news.push(found.clone());
        }
    }
    // Nothing is recorded of a version that too few have signed even with the new keys.
    let with_all = trust.with_own(trust::with(home, &news)?);
    news.retain(|news| {
        let mut of_it = judgements.iter().filter(|judgement| judgement.news.as_ref() == Some(news));
        of_it.any(|judgement| judgement.too_few(&with_all).is_none())
    });
    for judgement in judgements.iter_mut() {
        if judgement.news.as_ref().is_some_and(|found| !news.contains(found)) {
            judgement.is_not_recorded(&with_all);
        }
    }
    for why in judgements.iter().filter_map(Judgement::why_not_recorded).collect::<BTreeSet<_>>() {
        ui.note(why);
    }
    let (rotations, new): (Vec<_>, Vec<_>) = news.into_iter().partition(|news| news.rotation.is_some());
    let mut agreed = Vec::new();
    if !new.is_empty() {
        let url = |news: &News| {
            let mut of_it = judgements.iter().filter(|judgement| judgement.news.as_ref() == Some(news));
            of_it.find_map(Judgement::proof_url)
        };
        for line in lines(&new, trust, places, url) {
            ui.say(line);
        }
        if new.iter().any(|news| url(news).is_none()) {
            ui.note("the registry says whose keys these are, but only the crates' publishers can confirm it");
        }
        if new.iter().any(|news| url(news).is_some()) {
            ui.note("no registry says whose key the proof at a URL names, and only the crate's publisher can confirm it");
        }
        if new.iter().any(|news| news.index == CRATES_IO) {
            ui.note(
                "at crates.io not even the registry says whose key it is: anybody can sign anybody's crate",
            );
        }
        if !arguments.yes && !ui.confirm("Trust each of these keys for its crates?", deadline)? {
            return Err(Error::Declined);
        }
        agreed.extend(new);
    }
    if !rotations.is_empty() && arguments.yes {
        ui.note("a key that replaces a trusted one is not recorded with --yes: run the command without it");
    } else {
        agreed.extend(agreed_to(rotations, &ui, deadline)?);
    }
    if agreed.is_empty() {
        return Ok(());
    }
    let with_agreed = trust.with_own(trust::with(home, &agreed)?);
    trust::remember(home, &agreed)?;
    for judgement in judgements.iter_mut() {
        if judgement.news.as_ref().is_some_and(|news| agreed.contains(news)) {
            judgement.is_recorded(&trust::path(home), &with_agreed);
        }
    }
    Ok(())
}

/// Asks for each statement by itself, with all that was signed.
fn agreed_to(rotations: Vec<News>, ui: &Ui, deadline: Duration) -> Result<Vec<News>, Error> {
    let mut answers = Vec::<(Rotation, bool)>::new();
    for rotation in rotations.iter().filter_map(|news| news.rotation.as_ref()) {
        if answers.iter().any(|(asked, _)| asked == rotation) {
            continue;
        }
        let Rotation { index, written, from, to, .. } = rotation;
        ui.say(format_args!("from {from}\nto   {to}\nfor {} of {}", escape(written), escape(index)));
        ui.note("both keys have signed this, but so could a thief of the old key");
        let yes = ui.confirm("Accept the second key in place of the first for these crates?", deadline)?;
        answers.push((rotation.clone(), yes));
    }
    let is_agreed =
        |news: &News| answers.iter().any(|(asked, yes)| *yes && news.rotation.as_ref() == Some(asked));
    Ok(rotations.into_iter().filter(is_agreed).collect())
}

/// A line for each key: whose it is, what it signs, and at which URL it is found if no registry gives it.
fn lines<'a>(
    news: &[News],
    trust: &Trust,
    places: &Places<'_>,
    url: impl Fn(&News) -> Option<&'a str>,
) -> Vec<String> {
    let mut lines: Vec<(&News, Vec<&News>)> = Vec::new();
    for news in news {
        match lines.iter_mut().find(|(one, _)| (one.key, &one.index) == (news.key, &news.index)) {
            Some((_, crates)) => crates.push(news),
            None => lines.push((news, vec![news])),
        }
    }
    let line = |(one, crates): (&News, Vec<&News>)| {
        let names: Vec<_> = crates.iter().map(|news| news.name.as_str()).collect();
        let (names, registry) = (names.join(", "), places.shown(&one.index));
        let called = escape(trust.own_name_of(&one.key).unwrap_or(&one.called));
        let another = if trust.is_of_another(&one.called, &one.key) {
            format!("; it is not the key that your list calls {called}")
        } else {
            String::new()
        };
        let found = crates.iter().find_map(|news| url(news));
        let found = found.map(|url| format!(", by the proof at {}", escape(url))).unwrap_or_default();
        format!("{called}  {}  for {names} of {registry}{found}{another}", one.key)
    };
    lines.into_iter().map(line).collect()
}
