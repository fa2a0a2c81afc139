//! `stage approve`: one table, one question, one PIN; then each version by itself, what others are built with first.
//!
//! A challenge lives for two minutes and a signature is good for minutes, so nothing is signed before its turn. What was done stays
//! done: the command can be run again.

use asymmetric_token::KeyId;
use clap::Args;
use jiff::Timestamp;

use super::candidate::Candidate;
use super::last_release::{Last, is_satisfied};
use super::session::{Session, one_of};
use super::{At, Which, order, shown, which};
use crate::commands::print;
use crate::context::Context;
use crate::enrollment::Registry;
use crate::error::Error;
use crate::piv::TouchPolicy;
use crate::registry::staged::{Listed, PATIENCE, Stage, State};
use crate::text::{escape, sentence};
use crate::ui::Ui;

/// Arguments of `stage approve`.
#[derive(Debug, Args)]
pub struct Approve {
    /// The versions, or their numbers at the registry. [default: all that wait for you]
    #[arg(value_name = "NAME@VERS|NUMBER", value_parser = which)]
    pub which: Vec<Which>,
    /// Where.
    #[command(flatten)]
    pub at: At,
    /// All that wait for you from this run of a build service: its URL, or the last part of that.
    #[arg(long, value_name = "RUN", conflicts_with = "which")]
    pub run: Option<String>,
    /// Do not ask. Each version still costs its touch.
    #[arg(long)]
    pub yes: bool,
}

/// Runs `yk-cargo stage approve`.
///
/// # Errors
/// [`Error::DependencyFirst`], [`Error::NotTheStaged`] and their like before anything is signed; [`Error::Stopped`] after that.
pub(super) fn run(arguments: &Approve, context: &Context) -> Result<(), Error> {
    Session::with(&arguments.at, context, |session| approved(arguments, session))
}

fn approved(arguments: &Approve, session: &mut Session<'_>) -> Result<(), Error> {
    let all = listed(arguments, session)?;
    let chosen = chosen(arguments, &all, session)?;
    if chosen.is_empty() {
        return print(format_args!(
            "nothing waits for your approval at `{}`",
            escape(session.registry.display_name())
        ));
    }
    let mut candidates = Vec::new();
    for stage in chosen {
        candidates.push(session.candidate(stage)?.without_file());
    }
    let candidates = order::sorted(candidates, depends).map_err(|circle| Error::Circle {
        versions: circle.iter().map(Candidate::called).collect::<Vec<_>>().join(", "),
    })?;
    dependencies_are_there(&candidates, &all.stages, session)?;
    let now = Timestamp::now();
    for candidate in &candidates {
        let last = Last::before(session, &candidate.stage.name, &candidate.stage.version)?;
        print(row(candidate, &last, now))?;
    }
    if !arguments.yes {
        session.agreed(&question(session.registry, candidates.len()))?;
    }
    approve_each(&candidates, session)
}

/// What is staged, as far as the registry tells. Whoever gives numbers needs no list: a machine may have staged so much that there is none.
fn listed(arguments: &Approve, session: &mut Session<'_>) -> Result<Listed, Error> {
    let by_number =
        !arguments.which.is_empty() && arguments.which.iter().all(|which| matches!(which, Which::Id(_)));
    let (listed, why) = match session.list() {
        Err(error) if by_number => (Listed::default(), Some(sentence(&error))),
        listed => {
            let listed = listed?;
            let cut = listed.cut();
            (listed, cut)
        }
    };
    if let Some(why) = why {
        Ui::silent().warn(format_args!(
            "not everything that is staged there is known, so more may wait for you, or have to be approved first: {why}"
        ));
    }
    Ok(listed)
}

fn chosen(arguments: &Approve, all: &Listed, session: &mut Session<'_>) -> Result<Vec<Stage>, Error> {
    if arguments.which.is_empty() {
        let waits = all.stages.iter().filter(|stage| stage.waits_for(session.keys()));
        let of_run = waits.filter(|stage| arguments.run.as_ref().is_none_or(|run| stage.stager.is_run(run)));
        return Ok(of_run.cloned().collect());
    }
    let mut chosen: Vec<Stage> = Vec::new();
    for which in &arguments.which {
        let stage = match which {
            Which::Id(id) => session.now(*id)?,
            Which::Version(name, version) => match one_of(all, name, version)? {
                Some(stage) => stage,
                None if session.published()?.listed(name, version)?.is_some() => {
                    Ui::silent().note(format_args!("{name} {version} is published already"));
                    continue;
                }
                None => return Err(session.not_staged(name, version, all)),
            },
        };
        if stage.state == State::Published {
            Ui::silent().note(format_args!("{} {} is published already", stage.name, stage.version));
            continue;
        }
        may_be_approved(&stage, session.keys())?;
        if chosen.iter().all(|other| other.id != stage.id) {
            chosen.push(stage);
        }
    }
    Ok(chosen)
}

fn may_be_approved(stage: &Stage, mut keys: impl Iterator<Item = KeyId>) -> Result<(), Error> {
    let version = format!("{} {}", stage.name, stage.version);
    if !stage.state.is_open() {
        return Err(Error::NotOpen { version, state: stage.state.as_str() });
    }
    if keys.any(|key| stage.given.iter().any(|given| given.key == key)) {
        return Err(Error::ApprovedAlready { version });
    }
    if !stage.may_approve {
        return Err(Error::MayNotApprove { version });
    }
    Ok(())
}

/// Whether one version is built with another.
fn depends(dependent: &Candidate, dependency: &Candidate) -> bool {
    let Stage { name, version, .. } = &dependency.stage;
    order::requirement(&dependent.contents.metadata, name, version).is_some()
}

/// Whether one more approval publishes it.
fn is_last_approval(stage: &Stage) -> bool {
    stage.given.len() as u64 + 1 >= stage.needed
}

/// Nothing is published that cannot be built, since what it is built with is staged and nobody approves it now.
fn dependencies_are_there(
    candidates: &[Candidate],
    all: &[Stage],
    session: &mut Session<'_>,
) -> Result<(), Error> {
    for candidate in candidates.iter().filter(|candidate| is_last_approval(&candidate.stage)) {
        let others = all.iter().filter(|stage| candidates.iter().all(|chosen| chosen.stage.id != stage.id));
        for Stage { id, name, version, .. } in others {
            let Some(requirement) = order::requirement(&candidate.contents.metadata, name, version) else {
                continue;
            };
            if !is_satisfied(&session.published()?, name, &requirement)? {
                let order = std::iter::once(*id).chain(candidates.iter().map(|chosen| chosen.stage.id));
                return Err(Error::DependencyFirst {
                    version: candidate.called(),
                    dependency: format!("{name} {version}"),
                    next: shown::approve_command(session.registry.display_name(), order),
                });
            }
        }
    }
    Ok(())
}

fn row(candidate: &Candidate, last: &Last, now: Timestamp) -> String {
    let stage = &candidate.stage;
    let mut text = format!(
        "{}  SHA-256 {}\n    {} bytes, staged {} from {}",
        candidate.called(),
        stage.checksum,
        candidate.length,
        shown::ago(stage.staged, now),
        shown::from(&stage.stager)
    );
    if let Some(run) = stage.stager.get("run") {
        text += &format!("\n    run {}", shown::cell(run));
    }
    if stage.needed > 1 {
        text += &format!("\n    {}", shown::approvals(stage));
    }
    if stage.new_crate {
        text += "\n    this crate is new: you will own it";
    }
    text + "\n    " + &shown::summary(candidate, last)
}

/// A touch that is cached may be enough for several, if all of it takes no longer than the card remembers it; that is not promised.
fn question(registry: &Registry, count: usize) -> String {
    let name = escape(registry.display_name());
    let touches = registry.cards.iter().filter_map(|card| Some(card.key(true)?.touch));
    let touch = match (touches.max_by_key(|touch| *touch == TouchPolicy::Always), count) {
        (Some(TouchPolicy::Never) | None, _) => "",
        (Some(_), 1) => " It needs a touch.",
        (Some(_), _) => " Each needs a touch.",
    };
    match count {
        1 => format!("Approve this version at `{name}`?{touch}"),
        count => format!("Approve these {count} versions at `{name}`?{touch}"),
    }
}

fn approve_each(candidates: &[Candidate], session: &mut Session<'_>) -> Result<(), Error> {
    let mut done: Vec<(&Candidate, State)> = Vec::new();
    for candidate in candidates {
        match approve(candidate, &done, session) {
            Ok(stage) => {
                print(match stage.state {
                    State::Published => format!("published {}", candidate.called()),
                    _ => format!("approved {}: {}", candidate.called(), shown::approvals(&stage)),
                })?;
                done.push((candidate, stage.state));
            }
            Err(source) => {
                return Err(Error::Stopped {
                    version: candidate.called(),
                    done: done.iter().map(|(candidate, _)| candidate.called()).collect(),
                    of: candidates.len(),
                    source: Box::new(source),
                });
            }
        }
    }
    Ok(())
}

/// Challenge, signature, answer.
fn approve(
    candidate: &Candidate,
    done: &[(&Candidate, State)],
    session: &mut Session<'_>,
) -> Result<Stage, Error> {
    if is_last_approval(&candidate.stage)
        && let Some((waiting, _)) =
            done.iter().find(|(other, state)| *state != State::Published && depends(candidate, other))
    {
        return Err(Error::DependencyWaits { version: candidate.called(), dependency: waiting.called() });
    }
    let Stage { id, name, version, checksum, .. } = &candidate.stage;
    let is_this = |now: &Stage| (&now.name, &now.version, &now.checksum) == (name, version, checksum);
    let now = session.now(*id)?;
    if !is_this(&now) {
        return Err(Error::Restaged { version: candidate.called() });
    }
    may_be_approved(&now, session.keys())?;
    let token = session.sign(candidate.publish())?;
    let approved = {
        let name = escape(session.registry.display_name());
        let text = format!("waiting for `{name}` to publish {}", candidate.called());
        let _waiting = Ui::silent().count_down(text, PATIENCE);
        session.staging.approve(*id, &token)
    };
    let stage = match approved {
        Err(error) if error.is_open_ended() => {
            // It may have been done: the registry says so.
            match session.now(*id) {
                Ok(now) if is_done(&now, session.keys()) => now,
                _ => return Err(error.into()),
            }
        }
        approved => approved?,
    };
    match is_this(&stage) && is_done(&stage, session.keys()) {
        true => Ok(stage),
        false => Err(Error::NotOpen { version: candidate.called(), state: stage.state.as_str() }),
    }
}

fn is_done(stage: &Stage, mut keys: impl Iterator<Item = KeyId>) -> bool {
    match stage.state {
        State::Published => true,
        State::Waiting => keys.any(|key| stage.given.iter().any(|given| given.key == key)),
        _ => false,
    }
}
