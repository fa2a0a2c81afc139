//! `doctor`: one line for each check, and below it what is to be done.

use std::process::ExitCode;

use asymmetric_token::CrateName;
use registry_gateway::doctor;

use super::{Outcome, say};
use crate::cli::Place;

pub(super) fn examine(place: &Place, crates: &[CrateName]) -> Outcome {
    let findings = doctor::examine(&place.config()?, crates)?;
    let mut text = String::new();
    for finding in &findings {
        match &finding.advice {
            None => text.push_str(&format!("ok     {}\n", finding.text)),
            Some(advice) => {
                let weight = if finding.to_do { "to do" } else { "note " };
                text.push_str(&format!("{weight}  {}\n       {advice}\n", finding.text));
            }
        }
    }
    say(&text)?;
    let well = !findings.iter().any(|finding| finding.to_do);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
