//! What `verify --lock` says: a line for each package, the worst last, or one JSON object.

use serde_json::{Value, json};

use super::evidence::Places;
use super::found::Good;
use super::judgement::Judgement;
use super::log::LogState;
use super::place;
use super::verdict::Verdict;
use crate::commands::{print, print_json, print_styled};
use crate::error::Error;
use crate::lock_file::Apart;
use crate::text::escape;

/// Says how each package stands, and fails with the worst of it.
pub(super) fn report(
    judgements: &[Judgement<'_>],
    logs: &[(&str, LogState)],
    apart: &[Apart],
    places: &Places<'_>,
    as_json: bool,
) -> Result<(), Error> {
    let of_packages = judgements.iter().map(|judgement| judgement.verdict);
    let of_logs = logs.iter().map(|(_, log)| verdict(log));
    let worst = of_packages.chain(of_logs).max().unwrap_or(Verdict::Trusted);
    if as_json {
        print_json(&in_json(judgements, logs, apart, worst))?;
    } else {
        table(judgements, logs, apart, places)?;
    }
    if worst.holds() {
        return Ok(());
    }
    let packages = judgements.iter().filter(|judgement| !judgement.verdict.holds()).count();
    Err(Error::NotTrusted { packages, worst: worst.as_str(), code: worst.exit_code(), next: worst.next() })
}

/// What a registry's log comes to by itself.
fn verdict(log: &LogState) -> Verdict {
    match log {
        LogState::KeyUnknown | LogState::Seen(_) => Verdict::Trusted,
        LogState::Unreachable(_) => Verdict::Withheld,
        LogState::Refused(_) => Verdict::LogRefused,
    }
}

fn table(
    judgements: &[Judgement<'_>],
    logs: &[(&str, LogState)],
    apart: &[Apart],
    places: &Places<'_>,
) -> Result<(), Error> {
    for Apart { name, version, source } in apart {
        let from = source.as_deref().map_or("this workspace".into(), escape);
        print(format_args!("{:WORDS$}  {} {}  from {from}", "no registry", escape(name), escape(version)))?;
    }
    let mut sorted: Vec<_> = judgements.iter().collect();
    sorted.sort_by_key(|judgement| judgement.verdict);
    let several = judgements.windows(2).any(|pair| pair[0].package.index != pair[1].package.index);
    let names =
        |judgement: &Judgement<'_>| format!("{} {}", judgement.package.name, judgement.package.version);
    let width = sorted.iter().map(|judgement| names(judgement).len()).max().unwrap_or_default().min(WIDEST);
    for judgement in sorted {
        let (verdict, text) = (judgement.verdict, &judgement.text);
        let of =
            if several { format!("{}: ", places.shown(&judgement.package.index)) } else { String::new() };
        let indent = WORDS - verdict.as_str().len();
        let text = format!("{:indent$}  {:width$}  {of}{text}", "", names(judgement));
        print_styled(verdict.style(), verdict.as_str(), text)?;
    }
    for (index, log) in logs {
        let text =
            format!("{:indent$}  of {}: {}", "", places.shown(index), log.in_words(), indent = WORDS - 3);
        print_styled(verdict(log).style(), "log", text)?;
    }
    print(summary(judgements, apart))
}

/// As long as the longest verdict.
const WORDS: usize = 23;

/// Names that are longer move what stands behind them.
const WIDEST: usize = 32;

/// `3 packages: 2 trusted, 1 unsigned; apart from them 1 of no registry`
fn summary(judgements: &[Judgement<'_>], apart: &[Apart]) -> String {
    let counts: Vec<_> = counts(judgements)
        .into_iter()
        .map(|(verdict, count)| format!("{count} {}", verdict.as_str()))
        .collect();
    let packages = if judgements.len() == 1 { "package" } else { "packages" };
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join("; ")) };
    let apart =
        if apart.is_empty() { String::new() } else { format!(". {} more from no registry", apart.len()) };
    format!("{} {packages} from registries{counts}{apart}", judgements.len())
}

fn counts(judgements: &[Judgement<'_>]) -> Vec<(Verdict, usize)> {
    let mut verdicts: Vec<_> = judgements.iter().map(|judgement| judgement.verdict).collect();
    verdicts.sort_unstable();
    verdicts.chunk_by(PartialEq::eq).map(|same| (same[0], same.len())).collect()
}

fn in_json(
    judgements: &[Judgement<'_>],
    logs: &[(&str, LogState)],
    apart: &[Apart],
    worst: Verdict,
) -> Value {
    let counts =
        counts(judgements).into_iter().map(|(verdict, count)| (verdict.as_str().to_owned(), count.into()));
    json!({
        "version": 1,
        "ok": worst.holds(),
        "worst": worst.as_str(),
        "exit-code": worst.exit_code(),
        "counts": counts.collect::<serde_json::Map<_, _>>(),
        "packages": judgements.iter().map(package).collect::<Vec<_>>(),
        "logs": logs.iter().map(|(index, log)| {
            let mut json = log.json();
            json["index"] = (*index).into();
            json
        }).collect::<Vec<_>>(),
        "apart": apart.iter().map(|apart| json!({
            "name": apart.name,
            "vers": apart.version,
            "source": apart.source,
        })).collect::<Vec<_>>(),
    })
}

fn package(judgement: &Judgement<'_>) -> Value {
    let package = judgement.package;
    json!({
        "index": package.index,
        "name": package.name.as_str(),
        "vers": package.version.to_string(),
        "cksum": package.checksum.map(|checksum| checksum.to_string()),
        "verdict": judgement.verdict.as_str(),
        "text": judgement.text,
        "signature": judgement.good.as_deref().map(signature),
    })
}

fn signature(Good { signer, signed, logged, place, .. }: &Good) -> Value {
    json!({
        "public": signer.key.to_string(),
        "key-id": signer.key.id().to_string(),
        "signed-at": signed.at.to_string(),
        "user": signer.user,
        "logged-at": logged.as_ref().map(|logged| logged.time.to_string()),
        "log": logged.as_ref().map(|logged| place::json(logged, *place)),
    })
}
