//! docs/ci.md, followed by the registry's administrator: each command of the gateway's is run. Then both build services are played, by the
//! workflows as they stand there. What `yk-cargo` does there is tested with the other pages.
#![cfg(unix)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use yaml_rust2::{Yaml, YamlLoader};

use crate::common::issuer::{Issuer, Key};
use crate::common::machine::Runner;
use crate::common::served::on;
use crate::common::{Fixture, Response, SoftwareKey, Upload};
use crate::publishers::TOKENS;

/// What the person pushes who has something released.
const TAG: &str = "v1.0.0";
const PROVIDER: &str = "CARGO_REGISTRIES_MY_REG_CREDENTIAL_PROVIDER";

/// A registry whose administrator has done what the page says, with two crates from before; and the issuer of both services' tokens.
struct Company {
    page: String,
    fixture: Fixture,
    issuer: Issuer,
    key: Key,
    /// Whose public keys are where the page has `k3.public.…`, in turn.
    machines: Vec<SoftwareKey>,
}

impl Company {
    fn new() -> Self {
        let key = Key::p256(1);
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ci.md")).unwrap();
        let (fixture, issuer) = (Fixture::new(), Issuer::new(&[("one", &key)]));
        let mut company = Self { page, fixture, issuer, key, machines: Vec::new() };
        for name in ["acme-one", "acme-two"] {
            company.fixture.publish(&Upload::new(name, "0.1.0")).assert_ok();
        }
        for line in company.commands() {
            company.obey(&line);
        }
        company
    }

    /// What is a command of the gateway's.
    fn commands(&self) -> Vec<String> {
        let lines =
            blocks(&self.page, "console").flat_map(str::lines).filter_map(|line| line.strip_prefix("$ "));
        lines.filter(|line| line.starts_with("registry-gateway ")).map(ToOwned::to_owned).collect()
    }

    /// The issuers of the page are on the internet.
    fn obey(&mut self, line: &str) {
        let mut line = line.to_owned();
        if line.contains(" publisher add ") {
            line = format!("{line} --issuer {}", self.issuer.url);
        }
        if line.contains("k3.public.…") {
            let key = SoftwareKey::new(20 + u8::try_from(self.machines.len()).unwrap());
            line = line.replace("k3.public.…", &key.public.to_string());
            self.machines.push(key);
        }
        let output = administered(&self.fixture, &line);
        assert!(output.status.success(), "{line}: {output:?}");
    }

    /// Text of the page, for this registry.
    fn here(&self, text: &str) -> String {
        let address = self.fixture.running().address();
        text.replace("https://crates.example.org", &format!("http://{address}"))
            .replace("crates.example.org", &address.to_string())
    }

    /// The value of an option in the page's line that adds this publisher.
    fn option(&self, publisher: &str, option: &str) -> Option<String> {
        let begin = format!("registry-gateway publisher add {publisher} ");
        let line = self.commands().into_iter().find(|line| line.starts_with(&begin)).unwrap();
        let words: Vec<_> = line.split(' ').map(|word| word.trim_matches('\'')).collect();
        let place = words.iter().position(|word| *word == option)?;
        Some(words[place + 1].to_owned())
    }

    /// The workflow with this key at its top.
    fn workflow(&self, top: &str) -> Yaml {
        let read = |block: &str| YamlLoader::load_from_str(&self.here(block)).unwrap().remove(0);
        blocks(&self.page, "yaml").map(read).find(|yaml| !yaml[top].is_badvalue()).unwrap()
    }

    fn signed(&self, claims: &Value) -> String {
        self.key.sign(&json!({ "typ": "JWT", "alg": self.key.algorithm(), "kid": "one" }), claims)
    }

    /// Of a job of this workflow's, started by a push of [`TAG`], whose repository is the one that the page names.
    fn github_identity(&self, audience: &str, environment: Option<&str>) -> String {
        let of = |option| self.option("acme-ci", option).unwrap();
        let file = self
            .page
            .split_once("\n## 2. GitHub\n\nThis is `.github/workflows/")
            .unwrap()
            .1
            .split_once('`')
            .unwrap()
            .0;
        let repository = of("--github");
        let workflow = format!("{repository}/.github/workflows/{file}@refs/tags/{TAG}");
        let mut claims = self.issuer.github(audience);
        for (name, value) in [
            ("repository", repository.as_str()),
            ("repository_owner", repository.split('/').next().unwrap()),
            ("repository_id", &of("--repository-id")),
            ("repository_owner_id", &of("--owner-id")),
            ("workflow_ref", &workflow),
            ("job_workflow_ref", &workflow),
            ("ref", &format!("refs/tags/{TAG}")),
        ] {
            claims[name] = json!(value);
        }
        set(&mut claims, "environment", environment);
        self.signed(&claims)
    }

    /// As [`github_identity`](Self::github_identity), of a job that may run so long.
    fn gitlab_identity(&self, audience: &str, environment: Option<&str>, seconds: i64) -> String {
        let of = |option| self.option("acme-lab", option).unwrap();
        let project = of("--gitlab");
        let host = self.issuer.url.strip_prefix("http://").unwrap();
        let mut claims = self.issuer.gitlab(audience);
        for (name, value) in [
            ("project_path", project.as_str()),
            ("namespace_path", project.split('/').next().unwrap()),
            ("project_id", &of("--repository-id")),
            ("namespace_id", &of("--owner-id")),
            ("ci_config_ref_uri", &format!("{host}/{project}//{}@refs/tags/{TAG}", of("--workflow"))),
            ("ref", TAG),
            ("ref_path", &format!("refs/tags/{TAG}")),
        ] {
            claims[name] = json!(value);
        }
        claims["exp"] = json!(claims["iat"].as_i64().unwrap() + seconds);
        set(&mut claims, "environment", environment);
        self.signed(&claims)
    }

    /// Both crates wait, staged by this publisher; a person approves them.
    fn releases(&self, publisher: &str) {
        let waiting = self.fixture.waiting();
        let names: Vec<_> = waiting.iter().map(|staged| staged["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["acme-one", "acme-two"]);
        for staged in &waiting {
            assert!(staged.to_string().contains(&format!("\"publisher\":\"{publisher}\"")), "{staged}");
            let (id, name) = (staged["id"].as_i64().unwrap(), staged["name"].as_str().unwrap().to_owned());
            let file = self.fixture.get(&format!("/api/v1/staged/{id}/download")).body;
            let upload = Upload { name, version: "1.0.0".into(), json: Vec::new(), file };
            self.fixture.approves(id, &upload).assert_ok();
        }
    }
}

/// Where the shell finds the gateway by its name.
fn administered(fixture: &Fixture, line: &str) -> Output {
    let programs = Path::new(env!("CARGO_BIN_EXE_registry-gateway")).parent().unwrap();
    let mut command = Command::new("timeout");
    on(&mut command, fixture.folder.path());
    command.env("PATH", format!("{}:{}", programs.display(), env::var("PATH").unwrap()));
    command.args(["20", "sh", "-c", line]).output().unwrap()
}

fn blocks<'a>(page: &'a str, kind: &str) -> impl Iterator<Item = &'a str> {
    let begin = format!("```{kind}\n");
    let texts: Vec<_> = page.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    texts.into_iter()
}

/// What is not there is no claim.
fn set(claims: &mut Value, name: &str, value: Option<&str>) {
    match value {
        Some(value) => claims[name] = json!(value),
        None => _ = claims.as_object_mut().unwrap().remove(name),
    }
}

/// Variables as they stand in a workflow.
fn variables(yaml: &Yaml) -> Vec<(String, String)> {
    let pairs = yaml.as_hash().into_iter().flatten();
    pairs
        .map(|(name, value)| (name.as_str().unwrap().to_owned(), value.as_str().unwrap().to_owned()))
        .collect()
}

/// A runner of GitHub's with the repository checked out. Steps of others that it does not know end the test.
struct Github<'a> {
    company: &'a Company,
    runner: Runner,
    root: PathBuf,
    job: Yaml,
    /// What the official action has put out, by the `id` of its step.
    token: Option<(String, String)>,
    said: String,
}

impl<'a> Github<'a> {
    fn new(company: &'a Company, job: &Yaml) -> Self {
        let runner = Runner::bare();
        let root = workspace(&runner);
        Self { company, runner, root, job: job.clone(), token: None, said: String::new() }
    }

    fn step(&mut self, step: &Yaml) {
        let Some(action) = step["uses"].as_str() else { return self.run(step) };
        match action.split_once('@').unwrap().0 {
            "actions/checkout" => {}
            "rust-lang/crates-io-auth-action" => self.authenticate(step),
            _ => panic!("{action}: this test does not know what it does"),
        }
    }

    /// As the official action does.
    fn authenticate(&mut self, step: &Yaml) {
        assert_eq!(self.job["permissions"]["id-token"].as_str(), Some("write"), "GitHub gives no identity");
        let url = step["with"]["url"].as_str().unwrap();
        let audience = url.split_once("://").unwrap().1;
        let audience = audience.strip_suffix('/').unwrap_or(audience);
        let identity = self.company.github_identity(audience, self.job["environment"].as_str());
        let answer = self.asks("POST", "", &json!({ "jwt": identity }).to_string());
        answer.assert_ok();
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        self.token = Some((step["id"].as_str().unwrap().to_owned(), token));
    }

    fn run(&mut self, step: &Yaml) {
        let mut all = variables(&self.job["env"]);
        all.extend(variables(&step["env"]));
        for (name, value) in &mut all {
            if let Some((id, token)) = &self.token {
                *value = value.replace(&format!("${{{{ steps.{id}.outputs.token }}}}"), token);
            }
            assert!(!value.contains("${{"), "{name}: this test does not know {value}");
        }
        let output = self.runner.shell(&self.root, &all, step["run"].as_str().unwrap());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        self.said.push_str(&said);
    }

    /// What the action does after the job.
    fn end(&self) {
        let (_, token) = self.token.as_ref().unwrap();
        let store = self.company.fixture.running().store();
        assert!(store.stager(token).unwrap().is_some());
        assert_eq!(self.asks("DELETE", &format!("Authorization: Bearer {token}\r\n"), "").status, 204);
        assert!(store.stager(token).unwrap().is_none());
    }

    fn asks(&self, method: &str, more: &str, body: &str) -> Response {
        let header = format!(
            "{method} {TOKENS} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\r\n",
            body.len()
        );
        self.company.fixture.raw(&header, body.as_bytes())
    }
}

fn workspace(runner: &Runner) -> PathBuf {
    runner.workspace("1.0.0", &[("acme-one", ""), ("acme-two", "acme-one")])
}

/// The registry says what cargo does not.
fn is_told(said: &str) {
    assert!(said.contains("Published acme-two v1.0.0"), "{said}");
    assert!(said.contains("warning: acme-two 1.0.0 is staged as number"), "{said}");
}

#[test]
fn each_command_is_one_as_it_stands() {
    let fixture = Fixture::new();
    let page = Company::new();
    let commands = page.commands();
    assert_eq!(commands.len(), 5, "{commands:?}");
    for line in commands {
        let line = line
            .replace("k3.public.…", &SoftwareKey::new(u8::try_from(line.len()).unwrap()).public.to_string());
        let output = administered(&fixture, &line);
        assert!(output.status.success(), "{line}: {output:?}");
    }
}

#[test]
fn the_workflow_of_github_stages() {
    let company = Company::new();
    let workflow = company.workflow("on");
    let tags: Vec<_> =
        workflow["on"]["push"]["tags"].as_vec().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
    // The registry takes the same that starts the job.
    assert_eq!(company.option("acme-ci", "--ref").unwrap(), format!("refs/tags/{}", tags[0]));
    assert!(TAG.starts_with(tags[0].strip_suffix('*').unwrap()));
    let mut github = Github::new(&company, &workflow["jobs"]["stage"]);
    for step in workflow["jobs"]["stage"]["steps"].as_vec().unwrap() {
        github.step(step);
    }
    is_told(&github.said);
    github.end();
    company.releases("acme-ci");
}

#[test]
fn the_workflow_of_gitlab_stages() {
    let company = Company::new();
    let workflow = company.workflow("stage");
    let job = &workflow["stage"];
    let rule = job["rules"][0]["if"].as_str().unwrap();
    let begin = rule.strip_prefix("$CI_COMMIT_TAG =~ /^").and_then(|rule| rule.strip_suffix('/')).unwrap();
    assert_eq!(company.option("acme-lab", "--ref").unwrap(), format!("refs/tags/{begin}*"));
    assert!(TAG.starts_with(begin));
    let version = env!("CARGO_PKG_RUST_VERSION");
    assert_eq!(job["image"].as_str(), Some(format!("rust:{version}").as_str()));

    let hours: i64 = job["timeout"].as_str().unwrap().strip_suffix('h').unwrap().parse().unwrap();
    let mut all = variables(&job["variables"]);
    for (name, identity) in job["id_tokens"].as_hash().unwrap() {
        let audience = identity["aud"].as_str().unwrap();
        let token = company.gitlab_identity(audience, job["environment"].as_str(), hours * 3600);
        all.push((name.as_str().unwrap().to_owned(), token));
    }
    let lines: Vec<_> = job["script"].as_vec().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let installs = "apt-get update && apt-get install --no-install-recommends --yes jq";
    assert_eq!(lines[0], installs);
    if let Some(lacking) =
        ["curl", "jq"].into_iter().find(|program| Command::new(program).arg("--version").output().is_err())
    {
        eprintln!("skipped: {lacking} is not installed");
        return;
    }
    let runner = Runner::bare();
    let output = runner.shell(&workspace(&runner), &all, &lines[1..].join("\n"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    is_told(&said);
    company.releases("acme-lab");
}

/// What cargo does with the token is a question of its providers, and the page says which of them lose it.
#[test]
fn a_provider_can_hide_the_token() {
    let company = Company::new();
    let workflow = company.workflow("on");
    let named = variables(&workflow["jobs"]["stage"]["env"]);
    assert!(named.iter().any(|(name, value)| name == PROVIDER && value == "cargo:token"), "{named:?}");
    let identity = company.github_identity(&company.here("crates.example.org"), Some("release"));
    let answer =
        company.fixture.send("POST", TOKENS, None, json!({ "jwt": identity }).to_string().as_bytes());
    answer.assert_ok();
    let mut variables: Vec<_> = named.into_iter().filter(|(name, _)| name != PROVIDER).collect();
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    variables.push(("CARGO_REGISTRIES_MY_REG_TOKEN".to_owned(), token));
    let runner = Runner::bare();
    let folder = workspace(&runner);
    let reads = |variables: &[(String, String)]| {
        let output = runner.shell(&folder, variables, "cargo info acme-one --registry my-reg");
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let said = reads(&variables);
    let message = "authenticated registries require a credential-provider to be configured";
    assert!(company.page.contains(message) && said.contains(message), "{said}");

    let everywhere = "global-credential-providers = [\"cargo:token\"]";
    assert!(company.page.contains(&format!("`{everywhere}`")));
    runner.configure(&format!("[registry]\n{everywhere}\n"));
    let said = reads(&variables);
    assert!(said.contains("version: 0.1.0"), "{said}");

    let own = format!(
        "[registries.my-reg]\nindex = {:?}\ncredential-provider = \"cargo:token-from-stdout false\"\n",
        company.fixture.url()
    );
    runner.configure(&format!("{own}[registry]\n{everywhere}\n"));
    variables.retain(|(name, _)| name != "CARGO_REGISTRIES_MY_REG_INDEX");
    let said = reads(&variables);
    let ignored = "that will be ignored because this registry is configured to use credential-provider";
    assert!(company.page.contains(&format!("`{ignored}`")) && said.contains(ignored), "{said}");
    assert!(!said.contains("version: 0.1.0"), "{said}");
    variables.push((PROVIDER.to_owned(), "cargo:token".to_owned()));
    let said = reads(&variables);
    assert!(said.contains("version: 0.1.0"), "the variable counts before the file: {said}");
}
