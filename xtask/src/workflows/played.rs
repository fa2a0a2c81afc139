//! The release workflow, played as far as that goes without GitHub: its last job's lines run on a made-up release, and what the other jobs
//! run and hand on is what xtask has.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use yaml_rust2::{Yaml, YamlLoader};

use crate::USAGE;
use crate::dist::FOLDER;
use crate::workspace::root;

const WORKFLOW: &str = ".github/workflows/release.yml";

/// What some systems hand on, by the workflow's names for them.
const MADE: [(&str, &[&str]); 3] = [
    ("linux-x86_64", &["mock-card-0.1.0-x86_64-unknown-linux-gnu.tar.gz", "yk-cargo_0.1.0-1_amd64.deb"]),
    ("linux-aarch64", &["mock-card-0.1.0-aarch64-unknown-linux-gnu.tar.gz", "yk-cargo_0.1.0-1_arm64.deb"]),
    ("windows-x86_64", &["yk-cargo-0.1.0-x86_64-pc-windows-gnu.tar.gz"]),
];

/// A runner of GitHub's, and what the artifacts of the jobs before are there.
struct Runner(TempDir);

impl Runner {
    fn new() -> Self {
        let runner = Self(TempDir::new().unwrap());
        for (system, names) in MADE {
            let folder = runner.0.path().join("made").join(system);
            fs::create_dir_all(&folder).unwrap();
            let mut sums = String::new();
            for name in names {
                fs::write(folder.join(name), name).unwrap();
                let sum: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
                sums += &format!("{sum}  {name}\n");
            }
            fs::write(folder.join("SHA256SUMS"), sums).unwrap();
        }
        let gh = runner.0.path().join("bin/gh");
        fs::create_dir(gh.parent().unwrap()).unwrap();
        fs::write(&gh, "#!/bin/sh\nprintf '%s\\n' \"$@\" > gh-was-told\n").unwrap();
        fs::set_permissions(&gh, fs::Permissions::from_mode(0o755)).unwrap();
        runner
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the lines of the job one after the other, for a tag; those of the first step that fails, or of the last.
    fn release(&self, tag: &str) -> Output {
        let mut last = None;
        for line in lines(&workflow()["jobs"]["release"]) {
            let mut shell = Command::new("bash");
            shell.args(["-e", "-c", &line]).current_dir(self.0.path()).env_clear();
            let path = std::env::var("PATH").unwrap();
            shell.env("PATH", format!("{}:{path}", self.path("bin").display()));
            shell.envs([("GITHUB_REF_NAME", tag), ("GITHUB_REPOSITORY", "acme/yk-cargo"), ("LC_ALL", "C")]);
            let output = shell.output().unwrap();
            if !output.status.success() {
                return output;
            }
            last = Some(output);
        }
        last.unwrap()
    }

    fn was_refused(&self, tag: &str, why: &str) {
        let output = self.release(tag);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{said}");
        assert!(!self.path("gh-was-told").exists());
    }
}

fn workflow() -> Yaml {
    let text = fs::read_to_string(root().join(WORKFLOW)).unwrap();
    YamlLoader::load_from_str(&text).unwrap().remove(0)
}

/// What a job has the shell run.
fn lines(job: &Yaml) -> Vec<String> {
    let steps = job["steps"].as_vec().unwrap().iter();
    steps.filter_map(|step| step["run"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_release_has_every_file_and_one_file_of_checksums() {
    let runner = Runner::new();
    let output = runner.release("v0.1.0");
    assert!(output.status.success(), "{output:?}");
    let told = fs::read_to_string(runner.path("gh-was-told")).unwrap();
    assert!(told.starts_with("release\ncreate\nv0.1.0\n") && told.contains("--draft"), "{told}");
    let mut names: Vec<_> = MADE.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    names.push("SHA256SUMS");
    names.sort_unstable();
    let mut handed_out: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("release/")).collect();
    handed_out.sort_unstable();
    assert_eq!(handed_out, names);
    let sums = fs::read_to_string(runner.path("release/SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), names.len() - 1, "{sums}");
}

#[test]
fn a_damaged_file_is_not_released() {
    let runner = Runner::new();
    let (system, names) = MADE[1];
    fs::write(runner.path("made").join(system).join(names[0]), "damaged").unwrap();
    runner.was_refused("v0.1.0", "did NOT match");
}

#[test]
fn a_tag_of_another_version_is_not_released() {
    Runner::new().was_refused("v0.2.0", "mock-card-0.2.0-x86_64-unknown-linux-gnu.tar.gz");
}

#[test]
fn files_of_two_systems_with_one_name_are_not_released() {
    let runner = Runner::new();
    let other = runner.path("made").join(MADE[1].0);
    let twice = MADE[0].1[0];
    fs::write(other.join(twice), twice).unwrap();
    runner.was_refused("v0.1.0", "will not overwrite");
}

#[test]
fn the_other_jobs_run_what_there_is_and_hand_on_what_it_made() {
    let workflow = workflow();
    let jobs = workflow["jobs"].as_hash().unwrap();
    let mut runs = Vec::new();
    for (name, job) in jobs {
        let name = name.as_str().unwrap();
        for line in lines(job).iter().filter_map(|line| line.strip_prefix("cargo xtask ")) {
            let command = line.split_whitespace().next().unwrap();
            assert!(
                USAGE.contains(&format!("\n  {command} ")) || USAGE.contains(&format!("\n  {command}\n")),
                "{line}"
            );
            runs.push(format!("{name}: {line}"));
        }
        let steps = job["steps"].as_vec().unwrap().iter();
        for path in steps.filter_map(|step| step["with"]["path"].as_str()).filter(|_| name != "release") {
            let target = job["env"]["TARGET"].as_str();
            let folder = target
                .map_or_else(|| format!("target/{FOLDER}"), |target| format!("target/{target}/{FOLDER}"));
            assert_eq!(path, folder, "{name}");
        }
    }
    let all = ["crates: crates", "linux: packages", "macos: dist", "windows: dist --target \"$TARGET\""];
    assert_eq!(runs, all);
    let needs: Vec<_> =
        workflow["jobs"]["release"]["needs"].as_vec().unwrap().iter().filter_map(Yaml::as_str).collect();
    assert_eq!(needs, ["crates", "linux", "macos", "windows"]);
}
