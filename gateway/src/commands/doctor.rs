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
            Some(advice) => text.push_str(&format!("to do  {}\n       {advice}\n", finding.text)),
        }
    }
    say(&text)?;
    let well = findings.iter().all(|finding| finding.advice.is_none());
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
