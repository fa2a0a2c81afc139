//! What an identity token has to say for a publisher, beside who issued it and for whom.
//!
//! Source: docs.github.com, "OpenID Connect reference", and docs.gitlab.com, "ID tokens". Both name a repository by its path, which
//! another one may have later, and by numbers, which no other one gets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::pattern::Pattern;

/// The claims of an identity token.
pub type Claims = Map<String, Value>;

/// The longest text of a claim that people are shown, in characters.
const SHOWN: usize = 300;

/// Who a publisher is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Identity {
    /// A workflow of GitHub Actions.
    Github(Github),
    /// A pipeline of GitLab.
    Gitlab(Gitlab),
    /// Claims of any issuer, all of which have to fit.
    Claims {
        /// By their names.
        claims: BTreeMap<String, Pattern>,
    },
}

/// A workflow of GitHub Actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Github {
    /// `OWNER/NAME`.
    pub repository: String,
    /// The number of its owner.
    pub owner_id: u64,
    /// Its own number.
    pub repository_id: u64,
    /// The name of the workflow's file in `.github/workflows`.
    pub workflow: String,
    /// What it may run on, such as `refs/tags/v*`.
    pub refs: Vec<Pattern>,
    /// The environment that the job must have, if it has to have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// A pipeline of GitLab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gitlab {
    /// `GROUP/NAME`.
    pub project: String,
    /// The number of its namespace.
    pub namespace_id: u64,
    /// Its own number.
    pub project_id: u64,
    /// The path of the pipeline's file in the repository.
    pub workflow: String,
    /// What it may run on, such as `refs/tags/v*`.
    pub refs: Vec<Pattern>,
    /// The environment that the job must have, if it has to have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// A claim is not what it has to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{claim}` is {}, but must be {wanted}", found.as_deref().map_or("missing".to_owned(), |found| format!("`{found}`")))]
pub struct Mismatch {
    /// Its name.
    pub claim: String,
    /// What it is.
    pub found: Option<String>,
    /// What it has to be, in words.
    pub wanted: String,
}

/// Workflows that people start, or that run on what somebody has pushed. In those of pull requests, and in those that other workflows
/// start, other people's text decides what is run.
const GITHUB_EVENTS: [&str; 3] = ["push", "release", "workflow_dispatch"];
/// Pipelines on what somebody has pushed, and those that people start.
const GITLAB_SOURCES: [&str; 2] = ["push", "web"];

impl Identity {
    /// Whether the claims are this publisher's.
    ///
    /// # Errors
    /// The first [`Mismatch`].
    pub fn check(&self, claims: &Claims, issuer: &str) -> Result<(), Mismatch> {
        match self {
            Self::Github(github) => github.check(claims),
            Self::Gitlab(gitlab) => gitlab.check(claims, issuer),
            Self::Claims { claims: wanted } => wanted
                .iter()
                .try_for_each(|(name, pattern)| fits(claims, name, std::slice::from_ref(pattern))),
        }
    }

    /// Whether the claims are of this publisher's repository, by its numbers. Then the job may be told what does not fit; anybody who has
    /// a repository at the same issuer gets identity tokens for this registry.
    #[must_use]
    pub fn is_of_the_repository(&self, claims: &Claims) -> bool {
        match self {
            Self::Github(github) => github.is_of_the_repository(claims).is_ok(),
            Self::Gitlab(gitlab) => gitlab.is_of_the_project(claims).is_ok(),
            Self::Claims { .. } => false,
        }
    }

    /// What people are shown of the claims.
    #[must_use]
    pub fn shown(&self, claims: &Claims, issuer: &str) -> Claims {
        let shown = match self {
            Self::Github(github) => github.shown(claims, issuer),
            Self::Gitlab(gitlab) => gitlab.shown(claims, issuer),
            Self::Claims { .. } => vec![("subject", claim(claims, "sub"))],
        };
        let shown = shown.into_iter().filter_map(|(name, text)| Some((name, text?)));
        shown
            .map(|(name, text)| (name.to_owned(), text.chars().take(SHOWN).collect::<String>().into()))
            .collect()
    }
}

impl Github {
    fn check(&self, claims: &Claims) -> Result<(), Mismatch> {
        self.is_of_the_repository(claims)?;
        let repository = same_name(claims, "repository", &self.repository)?;
        one_of(claims, "event_name", &GITHUB_EVENTS)?;
        let at = fits(claims, "ref", &self.refs).and_then(|()| required(claims, "ref", "a ref"))?;
        // As a whole: names of files and of branches may have an `@` in them.
        let workflow = format!("{repository}/.github/workflows/{}@{at}", self.workflow);
        is(claims, "workflow_ref", &workflow)?;
        let job = required(claims, "job_workflow_ref", "that of the job")?;
        if job != workflow && !is_pinned(job) {
            let wanted =
                format!("`{workflow}`, or a reusable workflow that is pinned by the SHA of its commit");
            return Err(Mismatch { claim: "job_workflow_ref".to_owned(), found: Some(cut(job)), wanted });
        }
        environment(claims, self.environment.as_deref())
    }

    fn is_of_the_repository(&self, claims: &Claims) -> Result<(), Mismatch> {
        is(claims, "repository_owner_id", &self.owner_id.to_string())?;
        is(claims, "repository_id", &self.repository_id.to_string())
    }

    fn shown(&self, claims: &Claims, issuer: &str) -> Vec<(&'static str, Option<String>)> {
        let text = |name| claim(claims, name);
        let job = text("job_workflow_ref").filter(|job| Some(job) != text("workflow_ref").as_ref());
        let run = text("run_id").map(|run| {
            let attempt =
                text("run_attempt").map(|attempt| format!("/attempts/{attempt}")).unwrap_or_default();
            match (server(issuer), text("repository")) {
                (Some(server), Some(repository)) => {
                    format!("{server}/{repository}/actions/runs/{run}{attempt}")
                }
                _ => run,
            }
        });
        vec![
            ("repository", text("repository")),
            ("workflow", Some(self.workflow.clone())),
            ("job_workflow", job),
            ("ref", text("ref")),
            ("commit", text("sha")),
            ("environment", text("environment")),
            ("run", run),
        ]
    }
}

/// Where people see the runs of an issuer's workflows.
fn server(issuer: &str) -> Option<String> {
    match issuer {
        "https://token.actions.githubusercontent.com" => Some("https://github.com".to_owned()),
        // GitHub Enterprise Server.
        own => own.strip_suffix("/_services/token").map(str::to_owned),
    }
}

/// Whether a reusable workflow is named by a commit, which nobody can change. A branch or a tag has slashes before its name, which
/// may end like a commit: `OWNER/NAME/.github/workflows/FILE@refs/heads/x@SHA`.
fn is_pinned(workflow: &str) -> bool {
    let Some((path, sha)) = workflow.rsplit_once('@') else { return false };
    let is_file = path.split_once("/.github/workflows/").is_some_and(|(_, file)| !file.contains('/'));
    is_file && matches!(sha.len(), 40 | 64) && sha.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Gitlab {
    fn check(&self, claims: &Claims, issuer: &str) -> Result<(), Mismatch> {
        self.is_of_the_project(claims)?;
        let project = same_name(claims, "project_path", &self.project)?;
        one_of(claims, "pipeline_source", &GITLAB_SOURCES)?;
        let at = fits(claims, "ref_path", &self.refs).and_then(|()| required(claims, "ref_path", "a ref"))?;
        let host = issuer.split_once("://").map_or(issuer, |(_, host)| host).trim_end_matches('/');
        is(claims, "ci_config_ref_uri", &format!("{host}/{project}//{}@{at}", self.workflow))?;
        environment(claims, self.environment.as_deref())
    }

    fn is_of_the_project(&self, claims: &Claims) -> Result<(), Mismatch> {
        is(claims, "namespace_id", &self.namespace_id.to_string())?;
        is(claims, "project_id", &self.project_id.to_string())
    }

    fn shown(&self, claims: &Claims, issuer: &str) -> Vec<(&'static str, Option<String>)> {
        let text = |name| claim(claims, name);
        let run = text("job_id").map(|job| match text("project_path") {
            Some(project) => format!("{}/{project}/-/jobs/{job}", issuer.trim_end_matches('/')),
            None => job,
        });
        vec![
            ("repository", text("project_path")),
            ("workflow", Some(self.workflow.clone())),
            ("ref", text("ref_path")),
            ("commit", text("sha")),
            ("environment", text("environment")),
            ("run", run),
        ]
    }
}

/// The text of a claim; numbers are written out.
fn claim(claims: &Claims, name: &str) -> Option<String> {
    match claims.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A claim that has to be a text.
fn required<'a>(claims: &'a Claims, name: &str, wanted: &str) -> Result<&'a str, Mismatch> {
    claims.get(name).and_then(Value::as_str).ok_or_else(|| mismatch(claims, name, wanted.to_owned()))
}

fn is(claims: &Claims, name: &str, wanted: &str) -> Result<(), Mismatch> {
    match claim(claims, name) {
        Some(found) if found == wanted => Ok(()),
        _ => Err(mismatch(claims, name, format!("`{wanted}`"))),
    }
}

/// Names of repositories and of their owners do not differ in case alone. Returns the one in the claims.
fn same_name<'a>(claims: &'a Claims, name: &str, wanted: &str) -> Result<&'a str, Mismatch> {
    let found = required(claims, name, &format!("`{wanted}`"))?;
    if found.eq_ignore_ascii_case(wanted) {
        Ok(found)
    } else {
        Err(mismatch(claims, name, format!("`{wanted}`")))
    }
}

fn one_of(claims: &Claims, name: &str, wanted: &[&str]) -> Result<(), Mismatch> {
    let words = || format!("one of {}", wanted.join(", "));
    let found = required(claims, name, &words())?;
    if wanted.contains(&found) { Ok(()) } else { Err(mismatch(claims, name, words())) }
}

fn fits(claims: &Claims, name: &str, wanted: &[Pattern]) -> Result<(), Mismatch> {
    match claim(claims, name) {
        Some(found) if wanted.iter().any(|pattern| pattern.fits(&found)) => Ok(()),
        _ => {
            let wanted: Vec<_> = wanted.iter().map(|pattern| format!("`{}`", pattern.as_str())).collect();
            Err(mismatch(claims, name, wanted.join(" or ")))
        }
    }
}

/// Names of environments do not differ in case alone.
fn environment(claims: &Claims, wanted: Option<&str>) -> Result<(), Mismatch> {
    wanted.map_or(Ok(()), |wanted| same_name(claims, "environment", wanted).map(drop))
}

fn mismatch(claims: &Claims, name: &str, wanted: String) -> Mismatch {
    Mismatch { claim: name.to_owned(), found: claims.get(name).map(|found| cut(&words(found))), wanted }
}

fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn cut(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
