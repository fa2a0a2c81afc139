//! The command `publisher`: which machines may stage, by what an OIDC issuer says of their jobs.

use std::process::ExitCode;

use registry_gateway::escaped;
use registry_gateway::publishers::{CratePatterns, Github, Gitlab, Identity, Pattern, Publisher, Settings};

use super::people::hint;
use super::{Outcome, say};
use crate::cli::{AddPublisher, PublisherCommand};

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const GITLAB: &str = "https://gitlab.com";

pub(super) fn publisher(command: PublisherCommand) -> Outcome {
    match command {
        PublisherCommand::Add(add) => {
            let store = add.place.store()?;
            let settings = settings(&add)?;
            store.add_publisher(&add.name, &settings, &add.reads_as, store.now())?;
            say(&format!("{}\n", add.name))?;
            hint(
                "its jobs get staging tokens at this registry's `url`, with rust-lang/crates-io-auth-action or any client of its wire; \
                 what they stage is published when a person approves it\n",
            );
        }
        PublisherCommand::List { place } => {
            for publisher in place.store()?.publishers()? {
                say(&line(&publisher))?;
            }
        }
        PublisherCommand::Remove { place, name } => {
            let store = place.store()?;
            let rejected = store.remove_publisher(&name, store.now())?;
            say(&format!("{name}\n"))?;
            match rejected {
                0 => {}
                1 => hint("the version that it had staged is rejected\n"),
                many => hint(&format!("the {many} versions that it had staged are rejected\n")),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn settings(add: &AddPublisher) -> Result<Settings, &'static str> {
    let (issuer, identity) = match (&add.github, &add.gitlab) {
        (Some(repository), _) => (Some(GITHUB), Identity::Github(github(add, repository)?)),
        (None, Some(project)) => (Some(GITLAB), Identity::Gitlab(gitlab(add, project)?)),
        (None, None) => (None, Identity::Claims { claims: add.claims.iter().cloned().collect() }),
    };
    let issuer = add.issuer.as_deref().or(issuer).ok_or("--claim needs --issuer")?.to_owned();
    let crates = CratePatterns(add.crates.clone());
    Ok(Settings { issuer, audience: add.audience.clone(), identity, crates })
}

fn github(add: &AddPublisher, repository: &str) -> Result<Github, &'static str> {
    let (owner_id, repository_id, workflow, refs) = of_repository(add)?;
    let is_file = !workflow.contains('/') && [".yml", ".yaml"].iter().any(|end| workflow.ends_with(end));
    if !is_file {
        return Err("--workflow is the name of a file in .github/workflows, such as release.yml");
    }
    if repository.split('/').count() != 2 {
        return Err("--github is OWNER/NAME");
    }
    let (repository, environment) = (repository.to_owned(), add.environment.clone());
    Ok(Github { repository, owner_id, repository_id, workflow, refs, environment })
}

fn gitlab(add: &AddPublisher, project: &str) -> Result<Gitlab, &'static str> {
    let (namespace_id, project_id, workflow, refs) = of_repository(add)?;
    if project.split('/').count() < 2 {
        return Err("--gitlab is GROUP/NAME");
    }
    let (project, environment) = (project.to_owned(), add.environment.clone());
    Ok(Gitlab { project, namespace_id, project_id, workflow, refs, environment })
}

/// What names a workflow of a repository. The command line requires all of it.
fn of_repository(add: &AddPublisher) -> Result<(u64, u64, String, Vec<Pattern>), &'static str> {
    match (add.owner_id, add.repository_id, &add.workflow, &add.refs[..]) {
        (Some(owner), Some(repository), Some(workflow), [_, ..]) => {
            Ok((owner, repository, workflow.clone(), add.refs.clone()))
        }
        _ => Err("name --owner-id, --repository-id, --workflow and --ref"),
    }
}

/// A line with name, state, user, crates, and who it is, separated by tabs.
fn line(publisher: &Publisher) -> String {
    let Publisher { name, settings, reads_as, added, removed } = publisher;
    let state = removed.map_or_else(|| format!("since {added:.0}"), |at| format!("removed {at:.0}"));
    let audience =
        settings.audience.as_deref().map(|audience| format!(" for {audience}")).unwrap_or_default();
    let who = escaped(&format!("{}{audience}: {}", settings.issuer, identity(&settings.identity)));
    format!("{name}\t{state}\t{reads_as}\t{}\t{who}\n", settings.crates.words())
}

fn identity(identity: &Identity) -> String {
    let of =
        |repository: &str, ids: [u64; 2], workflow: &str, refs: &[Pattern], environment: Option<&str>| {
            let refs: Vec<_> = refs.iter().map(Pattern::as_str).collect();
            let environment = environment.map(|name| format!(", environment {name}")).unwrap_or_default();
            let [owner, own] = ids;
            format!(
                "{repository} (owner {owner}, repository {own}), {workflow} on {}{environment}",
                refs.join(" or ")
            )
        };
    match identity {
        Identity::Github(Github { repository, owner_id, repository_id, workflow, refs, environment }) => {
            of(repository, [*owner_id, *repository_id], workflow, refs, environment.as_deref())
        }
        Identity::Gitlab(Gitlab { project, namespace_id, project_id, workflow, refs, environment }) => {
            of(project, [*namespace_id, *project_id], workflow, refs, environment.as_deref())
        }
        Identity::Claims { claims } => {
            let claims: Vec<_> =
                claims.iter().map(|(name, wanted)| format!("{name}={}", wanted.as_str())).collect();
            claims.join(", ")
        }
    }
}
