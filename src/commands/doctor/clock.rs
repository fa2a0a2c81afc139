//! This computer's clock beside a registry's: a token is good for minutes, counted from the time in it.

use super::{Findings, name};
use crate::enrollment::Registry;
use crate::registry::greeting;
use crate::settings::Settings;
use crate::text::{causes, foreign_word};

const CHECK: &str = "clock";

pub(super) fn check(registry: &Registry, settings: &Settings, findings: &mut Findings) {
    let name = name(registry);
    match greeting::clock(&registry.index, settings) {
        Ok(None) => findings.ok(CHECK, format!("it does not contradict that of `{name}`")),
        Ok(Some(wrong)) => findings.fail(
            CHECK,
            format!("{wrong} `{name}`: it will refuse tokens that are dated too far off"),
            "sudo timedatectl set-ntp true",
        ),
        Err(greeting::Error::GitIndex) => {
            findings
                .note(CHECK, format!("not compared with that of `{name}`: its index is a git repository"));
        }
        Err(error) => {
            let reasons: Vec<_> = causes(&error).map(|cause| format!(": {cause}")).collect();
            let config = format!("{}config.json", registry.index.trim_start_matches("sparse+"));
            findings.warn(
                CHECK,
                format!("`{name}` cannot be asked for its time: {error}{}", reasons.concat()),
                format!("curl -sI {}", foreign_word(&config)),
            );
        }
    }
}
