//! `cargo xtask macos`: clippy, and so the compiler, over what runs on macOS, for both of its processors.
//!
//! Nothing is linked: that takes Apple's frameworks. C compiles with zig, which has the headers of macOS's C library.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::say::headline;
use crate::sid::{Sid, done};
use crate::{Failure, Outcome};

/// Rust's name for it, and zig's.
const TARGETS: [(&str, &str); 2] =
    [("aarch64-apple-darwin", "aarch64-macos"), ("x86_64-apple-darwin", "x86_64-macos")];
const PACKAGES: [&str; 3] =
    ["--package=asymmetric-token", "--package=registry-gateway", "--package=yk-cargo"];
/// PyPI's package of zig. In the chroot, it is installed in `ZIG`.
const ZIGLANG: &str = "ziglang==0.15.2";
const ZIG: &str = "/build/zig";

/// Checks both. No warning is let pass.
///
/// # Errors
/// What is missing, or the target that failed.
pub(crate) fn run() -> Outcome {
    let sid = Sid::provide()?;
    if !sid.path(ZIG).join("ziglang").is_dir() {
        headline("Fetching zig (once)");
        let mut pip = sid.command("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--target", ZIG, ZIGLANG]);
        done(&format!("pip install {ZIGLANG}"), &mut pip)?;
    }
    for (target, zigs) in TARGETS {
        headline(format_args!("Checking: clippy for {target} (the first time takes some minutes)"));
        clippy(&sid, target, zigs)?;
    }
    Ok(())
}

fn clippy(sid: &Sid, target: &str, zigs: &str) -> Outcome {
    let compiler = tool(
        sid,
        &format!("cc-{zigs}"),
        &format!("{DROPS}exec python3 -m ziglang cc -target {zigs} \"$@\""),
    )?;
    let archiver = tool(sid, "ar", "exec python3 -m ziglang ar \"$@\"")?;
    let words = target.replace('-', "_");
    let mut clippy = sid.command("cargo");
    clippy.args([
        "clippy",
        "--locked",
        "--lib",
        "--bins",
        "--target",
        target,
        "-Zbuild-std=std,panic_unwind",
    ]);
    clippy.args(PACKAGES).env("CARGO_BUILD_WARNINGS", "deny");
    // Of its own, so that it waits for no other build.
    clippy.env("CARGO_TARGET_DIR", "/build/target-macos");
    clippy.env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_DEV_DEBUG", "false");
    clippy.env(format!("CC_{words}"), compiler).env(format!("AR_{words}"), archiver);
    // Where Apple's headers are: whoever is told does not ask Apple's tools.
    clippy.env("SDKROOT", "/").env("PYTHONPATH", ZIG).env("ZIG_GLOBAL_CACHE_DIR", "/build/zig-cache");
    done(&format!("cargo clippy --target {target} {}", PACKAGES.join(" ")), &mut clippy)
}

/// What clang takes, and zig says otherwise or does not know.
const DROPS: &str = "for word do
    shift
    case $word in
        --target=* | -mmacosx-version-min=*) ;;
        -arch | -isysroot) drop=next ;;
        *) if [ \"$drop\" ]; then drop=; else set -- \"$@\" \"$word\"; fi ;;
    esac
done
";

/// A program in there that is a script; its path.
fn tool(sid: &Sid, name: &str, script: &str) -> Outcome<String> {
    let path = format!("/build/{name}");
    let there = sid.path(&path);
    let failed = |error| Failure::new(format!("{} cannot be written: {error}", there.display()));
    fs::write(&there, format!("#!/bin/sh\n{script}\n")).map_err(failed)?;
    fs::set_permissions(&there, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    Ok(path)
}
