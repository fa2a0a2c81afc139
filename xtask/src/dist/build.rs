//! The release build.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Program, files};
use crate::say::command;
use crate::workspace::{cargo, cargo_home, root, rustc};
use crate::{Failure, Outcome};

/// In the root's Cargo.toml: the release build without the names of functions.
const PROFILE: &str = "dist";

/// A build for one system.
pub(super) struct Build {
    /// The triple that it is for.
    pub(super) target: String,
    /// Whether it was asked for, and so has a folder of its own.
    is_named: bool,
    runs_here: bool,
    /// What the compiler says of itself, first line.
    pub(super) compiler: String,
    sysroot: PathBuf,
}

impl Build {
    /// For the named system, or for this one.
    pub(super) fn of(target: Option<&str>) -> Outcome<Self> {
        let said = rustc(&["--version", "--verbose"])?;
        let host = said.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.ok_or_else(|| Failure::new("rustc does not say which system it is on"))?;
        let sysroot = rustc(&["--print", "sysroot"])?;
        Ok(Self {
            target: target.unwrap_or(host).to_owned(),
            is_named: target.is_some(),
            runs_here: target.is_none_or(|target| target == host),
            compiler: said.lines().next().unwrap_or_default().to_owned(),
            sysroot: sysroot.trim().into(),
        })
    }

    /// Whether the programs can be asked for what they print of themselves.
    pub(super) fn runs_here(&self) -> bool {
        self.runs_here
    }

    pub(super) fn is_for_linux(&self) -> bool {
        self.target.contains("-linux-")
    }

    pub(super) fn is_for_windows(&self) -> bool {
        self.target.contains("-windows-")
    }

    /// The folder for this system, below the target folder.
    pub(super) fn folder(&self) -> PathBuf {
        let target = std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
        let target = target.map_or_else(|| root().join("target"), |folder| root().join(folder));
        if self.is_named { target.join(&self.target) } else { target }
    }

    /// The built program.
    pub(super) fn binary(&self, program: &Program) -> PathBuf {
        self.folder().join(PROFILE).join(format!("{}{}", program.name, self.suffix()))
    }

    /// What ends a program's name there.
    pub(super) fn suffix(&self) -> &'static str {
        if self.is_for_windows() { ".exe" } else { "" }
    }

    /// What this system's own standard library is made of, where the toolchain has that list.
    pub(super) fn copyright_of_std(&self) -> Option<Vec<u8>> {
        files::read(&self.sysroot.join("share/doc/rust/COPYRIGHT-library.html")).ok()
    }

    /// Builds the programs together, as `cargo build` has it.
    pub(super) fn run(&self, programs: &[&Program]) -> Outcome {
        let mut arguments = vec!["build", "--locked", "--profile", PROFILE];
        arguments.extend(programs.iter().flat_map(|program| ["--package", program.name]));
        if self.is_named {
            arguments.extend(["--target", &self.target]);
        }
        command(format_args!("cargo {}", arguments.join(" ")));
        let mut build = cargo();
        // The time is not told: no C in there asks for it, and all of that would be compiled again for each commit.
        build.args(&arguments).env_remove("SOURCE_DATE_EPOCH");
        // Where this machine keeps sources is nobody's business, and would make another machine's build another one.
        let places = self.places()?;
        let rust: Vec<_> =
            places.iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}")).collect();
        let c: Vec<_> =
            places[..2].iter().map(|(from, to)| format!("-ffile-prefix-map={from}={to}")).collect();
        // The separator is the one that cannot be in a path (cargo's CARGO_ENCODED_RUSTFLAGS).
        build.env("CARGO_ENCODED_RUSTFLAGS", rust.join("\x1f")).env("CFLAGS", c.join(" "));
        match build.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::new(format!("the build failed ({status})"))),
            Err(error) => Err(Failure::new(format!("cargo could not be started: {error}"))),
        }
    }

    /// Folders of this machine, and the names that stand for them.
    fn places(&self) -> Outcome<[(String, &'static str); 3]> {
        let name = |path: &Path| {
            let name = path.to_str().filter(|name| !name.contains(char::is_whitespace));
            name.map(str::to_owned)
                .ok_or_else(|| Failure::new(format!("build where no path has blanks: {}", path.display())))
        };
        Ok([
            (name(&cargo_home()?)?, "/cargo"),
            (name(&root())?, "/yk-cargo"),
            (name(&self.sysroot)?, "/rust"),
        ])
    }
}

/// What a program prints when all is well.
pub(super) fn output(program: &Path, arguments: &[&str]) -> Outcome<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null()).stderr(Stdio::piped());
    let called = format!("{} {}", program.display(), arguments.join(" "));
    match command.output() {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(Failure::new(format!("this failed ({}): {called}\n{}", output.status, said.trim_end())))
        }
        Err(error) => Err(Failure::new(format!("this could not be started: {called}: {error}"))),
    }
}

/// The same, as text.
pub(super) fn text_of(program: &Path, arguments: &[&str]) -> Outcome<String> {
    output(program, arguments).map(|text| String::from_utf8_lossy(&text).into_owned())
}
