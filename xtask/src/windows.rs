//! `cargo xtask windows`: yk-cargo for Windows, built here, at work under Wine with the mock card.
//!
//! Wine's `winscard.dll` asks libpcsclite, which is led to the mock as on Linux. So everything of ours is what a person on
//! Windows has; the smart card service, the console and the files are Wine's.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::say::{headline, say};
use crate::sid::{Sid, done};
use crate::workspace::cargo;
use crate::{Failure, Outcome};

const TARGET: &str = "x86_64-pc-windows-gnu";
const STD: &str = "-Zbuild-std=std,panic_unwind";
/// What is built for it: the program, and what stands in for cargo there.
const BUILT: [&str; 2] = ["--package=yk-cargo", "--package=like-cargo"];
/// Our packages that are in those.
const OURS: [&str; 5] = ["asymmetric-token", "crate-file", "like-cargo", "transparency-log", "yk-cargo"];
/// In the chroot.
const PREFIX: &str = "/build/wine";

/// Builds and runs. Only scenarios whose names have one of these words are run, if there are any.
///
/// # Errors
/// What is missing, or the step that failed.
pub(crate) fn run(scenarios: &[&str]) -> Outcome {
    let sid = Sid::provide()?;
    headline(
        "Building yk-cargo for Windows, with its standard library (the first time takes 5 to 10 minutes)",
    );
    sid.belongs_to_this_tree(|| forget_ours(&sid))?;
    build(&sid)?;
    provide_prefix(&sid)?;
    headline("Running it under Wine, with the mock card");
    test(&sid, scenarios)
}

fn forget_ours(sid: &Sid) -> Outcome {
    let packages = OURS.map(|package| format!("--package={package}"));
    let mut clean = sid.command("cargo");
    done("cargo clean", clean.args(["clean", "--quiet", "--locked", "--target", TARGET]).args(packages))
}

/// No warning is let pass.
fn build(sid: &Sid) -> Outcome {
    let mut build = sid.command("cargo");
    build.args(["build", "--locked", "--target", TARGET, STD]).args(BUILT);
    build.env("CARGO_BUILD_WARNINGS", "deny").env("CARGO_INCREMENTAL", "0");
    // Nobody debugs there.
    build.env("CARGO_PROFILE_DEV_DEBUG", "false");
    done(&format!("cargo build --target {TARGET} {}", BUILT.join(" ")), &mut build)
}

/// Wine's folder that stands for drive C.
fn provide_prefix(sid: &Sid) -> Outcome {
    if sid.path(PREFIX).join("system.reg").is_file() {
        return Ok(());
    }
    headline("Making a drive C for Wine (half a minute, once)");
    let mut boot = sid.command("wineboot");
    done("wineboot --init", in_wine(boot.arg("--init")))
}

/// The scenarios are tests of this workspace, which run out here and start programs in there.
fn test(sid: &Sid, scenarios: &[&str]) -> Outcome {
    let arguments = ["test", "--workspace", "--test", "windows", "--", "--ignored", "--test-threads=1"];
    let cargo = cargo();
    let mut test = sid.beside(cargo.get_program());
    test.args(arguments).args(scenarios).current_dir(crate::workspace::root());
    for (name, value) in cargo.get_envs() {
        match value {
            Some(value) => test.env(name, value),
            None => test.env_remove(name),
        };
    }
    let built = format!("/build/target/{TARGET}/debug/yk-cargo.exe");
    if !sid.path(&built).is_file() {
        return Err(Failure::new(format!("the build has left no {built}")));
    }
    let work = sid.path("/build/work");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).map_err(|error| Failure::new(format!("no {}: {error}", work.display())))?;
    test.env("YK_CARGO_WINDOWS_ROOT", sid.path("/")).env("YK_CARGO_WINDOWS_PROGRAM", built);
    let mut up = start_wine(sid)?;
    let outcome = done(&format!("cargo {} {}", arguments.join(" "), scenarios.join(" ")), &mut test);
    let _ = up.kill();
    let _ = up.wait();
    say(format_args!("What was built stays in {}", sid.path("/build").display()));
    outcome
}

/// Wine starts with its first program and ends with its last one, which takes seconds each time. This one stays.
fn start_wine(sid: &Sid) -> Outcome<Child> {
    let program = format!("/build/target/{TARGET}/debug/like-cargo.exe");
    let mut stays = sid.command("wine");
    stays.args([&program, "--for-ever"]).stderr(Stdio::null());
    in_wine(&mut stays).spawn().map_err(|error| Failure::new(format!("Wine does not start: {error}")))
}

fn in_wine(command: &mut Command) -> &mut Command {
    command.env("WINEPREFIX", PREFIX).env("WINEDEBUG", "-all").env("XDG_RUNTIME_DIR", "/build/run")
}
