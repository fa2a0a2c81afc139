//! The person's settings: can they be read, and are the programs there that they name?

use super::Findings;
use super::surroundings::Surroundings;
use crate::settings::{Error, Settings};
use crate::text::escape;

const CHECK: &str = "settings";

/// Says nothing of settings in which there is nothing wrong.
pub(super) fn check(
    settings: &Settings,
    mistake: Option<Error>,
    surroundings: &Surroundings,
    findings: &mut Findings,
) {
    if let Some(mistake) = mistake {
        return findings.failed_with(CHECK, &mistake.into());
    }
    let programs = [
        ("pinentry", settings.pinentry.as_deref().filter(|program| !program.is_empty())),
        ("notify", settings.touch.notify.first().map(String::as_str)),
    ];
    for (setting, program) in programs {
        if let Some(program) = program
            && !surroundings.finds_program(program)
        {
            let text = format!("there is no program {}, which `{setting}` names", escape(program));
            let next = format!("install it, or correct `{setting}` in {}", settings.shown_path());
            findings.warn(CHECK, text, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::finding::Verdict;

    #[test]
    fn programs_are_looked_for_as_they_will_be() {
        let root = tempfile::tempdir().unwrap();
        let surroundings = Surroundings::with(
            root.path(),
            &[("bin/here", ""), ("opt/there", "")],
            &[("PATH", "/sbin:/bin")],
        );
        let warned = |toml: &str| {
            let mut findings = Findings::default();
            check(&toml_edit::de::from_str(toml).unwrap(), None, &surroundings, &mut findings);
            assert!(findings.0.iter().all(|finding| finding.verdict == Verdict::Warning));
            findings.0.into_iter().map(|finding| finding.text).collect::<Vec<_>>()
        };
        for toml in
            ["", "pinentry = \"\"", "pinentry = \"here\"", "[touch]\nnotify = [\"/opt/there\", \"x\"]"]
        {
            assert!(warned(toml).is_empty(), "{toml}");
        }
        assert_eq!(warned("pinentry = \"there\""), ["there is no program there, which `pinentry` names"]);
        assert_eq!(
            warned("[touch]\nnotify = [\"/opt/here\"]"),
            ["there is no program /opt/here, which `notify` names"]
        );
    }
}
