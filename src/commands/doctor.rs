//! `doctor`: everything between a person and a signature, looked at in turn. It changes nothing and asks for nothing.
//!
//! What stops cargo is a failure, and comes with one command to run. What only should be better is a warning.

use clap::Args;
use serde_json::json;

use crate::card::access;
use crate::commands::print_json;
use crate::context::Context;
use crate::enrollment::{Enrollments, Registry};
use crate::error::Error;
use crate::text::{escape, sentence};

mod cards;
mod cargo;
mod proofs;
mod registries;
mod sealed;
mod service;
mod settings;
mod surroundings;

use super::finding::{Finding, Verdict};
use surroundings::Surroundings;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs `yk-cargo doctor`.
///
/// # Errors
/// [`Error::Unwell`] if something was found that stops cargo.
pub fn run(arguments: &Doctor) -> Result<(), Error> {
    let (context, mistake) = Context::load_without_mistakes()?;
    let (context, surroundings) = (&context, Surroundings::here());
    let mut findings = Findings::default();
    settings::check(&context.settings, mistake, &surroundings, &mut findings);
    let enrollments = enrollments(context, &mut findings);
    let readers = access::readers(&context.settings.wait);
    let found = service::check(&readers, &enrollments, &surroundings, &mut findings);
    cards::check(&readers, &found, &enrollments, &surroundings, &mut findings);
    cargo::check(context, &enrollments, &surroundings, &mut findings);
    proofs::check(context, &enrollments, &mut findings);
    sealed::check(context, &enrollments, &mut findings);
    registries::check(&enrollments, &found, &readers, &context.settings, &mut findings);
    findings.report(arguments.json)
}

/// What was found until now, in the order of looking.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Verdict::Ok, text.into(), None);
    }

    fn note(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Verdict::Note, text.into(), None);
    }

    fn warn(&mut self, check: &'static str, text: impl Into<String>, next: impl Into<String>) {
        self.add(check, Verdict::Warning, text.into(), Some(next.into()));
    }

    fn fail(&mut self, check: &'static str, text: impl Into<String>, next: impl Into<String>) {
        self.add(check, Verdict::Failed, text.into(), Some(next.into()));
    }

    /// An error that was met while looking; its hint has the command.
    fn failed_with(&mut self, check: &'static str, error: &Error) {
        self.add(check, Verdict::Failed, sentence(error), error.hint());
    }

    fn add(&mut self, check: &'static str, verdict: Verdict, text: String, next: Option<String>) {
        self.0.push(Finding { check, verdict, text, next });
    }

    fn report(&self, as_json: bool) -> Result<(), Error> {
        let failed = self.0.iter().filter(|finding| finding.verdict == Verdict::Failed).count();
        if as_json {
            let checks: Vec<_> = self.0.iter().map(Finding::json).collect();
            print_json(&json!({ "version": 1, "ok": failed == 0, "checks": checks }))?;
        } else {
            self.0.iter().try_for_each(Finding::print)?;
        }
        if failed == 0 { Ok(()) } else { Err(Error::Unwell { failed }) }
    }
}

/// What is enrolled; if that cannot be told, the rest is looked at as if nothing were.
fn enrollments(context: &Context, findings: &mut Findings) -> Enrollments {
    const CHECK: &str = "enrollments";
    let enrollments = match Enrollments::load(context.cargo.home()) {
        Ok(enrollments) => enrollments,
        Err(error) => {
            findings.failed_with(CHECK, &error.into());
            return Enrollments::default();
        }
    };
    for pending in &enrollments.pending {
        let text = format!("slot {} of YubiKey {} is unfinished", pending.slot, pending.serial);
        findings.fail(CHECK, text, pending.next_command());
    }
    match enrollments.registries.len() {
        0 if !enrollments.sealed.is_empty() => findings.ok(CHECK, "none, only sealed tokens"),
        0 => findings.note(CHECK, "nothing is enrolled yet; to start: yk-cargo enroll REGISTRY"),
        1 => findings.ok(CHECK, "1 registry"),
        count => findings.ok(CHECK, format!("{count} registries")),
    }
    for registry in enrollments.registries.iter().filter(|registry| registry.cards.len() == 1) {
        let text = format!("`{}` has one card; {}", name(registry), registry.loss());
        findings.warn("backup", text, format!("{} --backup", registry.enroll_command()));
    }
    enrollments
}

fn name(registry: &Registry) -> String {
    escape(registry.display_name())
}
