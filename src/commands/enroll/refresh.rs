//! What a registry wants of its tokens: asked at the end of every enrollment, and again with `--refresh`.

use crate::cargo_config::ConfiguredRegistry;
use crate::context::Context;
use crate::enrollment::Reads;
use crate::enrollment::{ChallengeSource, Edit, Enrollments, Registry};
use crate::error::Error;
use crate::reader::Readers;
use crate::registry::greeting;
use crate::signer::Signer;
use crate::text::{escape, foreign_word, sentence};
use crate::ui::Ui;

/// Runs `yk-cargo enroll REGISTRY --refresh`.
pub(super) fn run(
    registry: &ConfiguredRegistry,
    enrollments: &Enrollments,
    readers: &Readers,
    context: &Context,
    ui: Ui,
) -> Result<(), Error> {
    let enrolled = enrollments
        .registry(&registry.index)
        .ok_or_else(|| Error::NotEnrolled { registry: registry.index.to_string() })?;
    // A registry that does not answer has changed nothing, and needs no signature to be found out.
    if let Err(source) = greeting::greet(&enrolled.index, greeting::ANY_CRATE, &context.settings)
        && !matches!(source, greeting::Error::GitIndex)
    {
        let registry = escape(enrolled.display_name());
        return Err(Error::NotRefreshed { registry, known: enrolled.challenge, source });
    }
    let token = Signer::new(readers, &context.settings, ui).sign(enrolled, None)?.token;
    what_the_registry_wants(enrolled, Some(&token), context, ui)
}

/// Refuses a URL where something answers that is no index, as cargo does: keys for a mistyped URL would take up slots. If
/// nothing answers, nothing is said, because the registry may come later.
pub(super) fn may_have_keys(index: &str, context: &Context, ui: Ui) -> Result<(), Error> {
    match greeting::greet(index, greeting::ANY_CRATE, &context.settings) {
        Err(
            source @ (greeting::Error::Status { status: 404 | 410, .. } | greeting::Error::Config { .. }),
        ) => Err(Error::NoIndex { source }),
        Err(error @ greeting::Error::Status { status: ..500, .. }) => {
            ui.warn(format_args!("this URL does not answer like an index: {error}"));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Asks, says what came out, and notes it in the enrollment. A registry that does not answer stops nothing.
pub(super) fn what_the_registry_wants(
    registry: &Registry,
    read_token: Option<&str>,
    context: &Context,
    ui: Ui,
) -> Result<(), Error> {
    let index = &registry.index;
    let mut greeting = match greeting::greet(index, greeting::ANY_CRATE, &context.settings) {
        Ok(greeting) => greeting,
        Err(greeting::Error::GitIndex) => {
            ui.note(
                "its index is a git repository, which cannot announce challenges, so tokens will carry none; a sparse index has a URL that starts with sparse+",
            );
            let mut edit = Edit::begin(context.cargo.home())?;
            return Ok(edit.refresh(index, ChallengeSource::None, registry.reuse)?);
        }
        Err(error) => {
            ui.warn(format_args!("cannot ask the registry what it requires: {}", sentence(&error)));
            ui.note(format_args!(
                "assuming that it {}; to ask again: yk-cargo enroll {} --refresh",
                registry.challenge.in_words(),
                foreign_word(registry.display_name())
            ));
            return Ok(());
        }
    };
    if let Some(clock) = greeting.clock {
        ui.warn(format_args!("{clock}; it may refuse tokens"));
    }
    if greeting.reads == Reads::AuthRequired
        && let Some(token) = read_token
    {
        // The registry answers only if it knows the key, and most get to know it later.
        greeting.window = greeting::window(index, token, &context.settings).ok().flatten();
    }
    let reads = match greeting.reads {
        Reads::AuthRequired => "needs a token for reads",
        Reads::Open => "needs no token for reads",
    };
    let challenges = greeting.source.in_words();
    let window = greeting.window.map(|window| format!("; a token is valid for {window} seconds"));
    ui.say(format_args!("the registry {reads} and {challenges}{}", window.unwrap_or_default()));
    // If the registry does not say it now, what it said before still holds.
    let reuse = if greeting.window.is_some() { greeting::reuse(greeting.window) } else { registry.reuse };
    Ok(Edit::begin(context.cargo.home())?.refresh(index, greeting.source, reuse)?)
}
