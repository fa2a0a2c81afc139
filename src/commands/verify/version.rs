//! One version: the four things that have to hold, each said by itself, and a sentence with a name.

use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::Path;
use std::time::Instant;

use asymmetric_token::{Checksum, CrateName, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crate_file::index::Served;
use jiff::Timestamp;
use semver::Version;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::deep::index_says;
use super::elsewhere::{self, Elsewhere, Found};
use super::fetch::Remote;
use super::log::{Keeping, Registry as LogOf};
use super::patience::Patience;
use super::{Signer, Source, Verify};
use crate::cargo_config;
use crate::commands::finding::{Finding, Verdict};
use crate::commands::{print, print_json, sha256};
use crate::context::Context;
use crate::enrollment::{Enrollments, Registry};
use crate::error::Error;
use crate::folder;
use crate::index_url::{CRATES_IO, IndexUrl};
use crate::piv::P384;
use crate::piv::attestation::Attestation;
use crate::proof::{self, Proof, Saved};
use crate::text::{escape, escape_path};
use crate::trust::{self, News, Trust, Word};
use crate::ui::Ui;

mod logged;

use logged::InLog;

/// Verifies what the arguments name.
pub(super) fn run(arguments: &Verify, context: &Context) -> Result<(), Error> {
    if arguments.remember && arguments.proof.is_some() {
        return Err(Error::Usage(
            "--remember does not record a key that only the file of --proof names: leave out --proof, so that the registry must confirm it",
        ));
    }
    let home = context.cargo.home();
    let trust = Trust::load(home, &arguments.key, None)?;
    let Evidence { proof, source, file, index_file, index, in_log } = evidence(arguments, &trust, context)?;
    let signer = signer(&proof, source);
    let mut findings = Findings::default();
    findings.file(&proof, file.checksum, &file.source);
    findings.signature(&proof, arguments, index.as_deref());
    if file.checksum == proof.checksum {
        findings.index(&proof, file, index_file.as_deref());
    }
    findings.0.extend(in_log.finding(&proof));
    let word = trust.of_key(&proof.index, &proof.name, &proof.public);
    let mut trusted = trusted(&word, &proof.index);
    let holds = findings.failed() == 0;
    let mut then = None;
    if arguments.remember && holds && trusted.is_err() && may_be_recorded(&word, arguments.yes) {
        match signer.source.why_not_recorded() {
            Some(why) => Ui::silent().note(why),
            None => {
                let news = [news(&word, &proof, &signer)];
                let with_it = trust.with_own(trust::with(home, &news)?);
                if is_approved(&proof, &with_it) {
                    if !arguments.yes {
                        agreed(&word, &proof, &signer.source, context)?;
                    }
                    trust::remember(home, &news)?;
                    trusted = Ok(format!("now recorded in {}", trust::path(home).display()));
                    then = Some(with_it);
                } else {
                    Ui::silent()
                        .note("the key is not recorded, because this version lacks approvals that hold");
                }
            }
        }
    }
    findings.trust(&proof, trusted, &signer.source);
    findings.approvals(&proof, then.as_ref().unwrap_or(&trust));
    findings.attestation(&proof);
    findings.report(arguments.json, &proof, &in_log, &signer.in_words(&trust))
}

/// What is to be verified.
struct Evidence {
    proof: Proof,
    source: Source,
    file: CrateFile,
    /// The index's file of the crate; `None` if no registry was asked.
    index_file: Option<Vec<u8>>,
    /// The registry's index URL, if one was named.
    index: Option<IndexUrl>,
    in_log: InLog,
}

/// A crate file, of which nothing is known but its checksum.
struct CrateFile {
    checksum: Checksum,
    /// In bytes.
    length: u64,
    content: Box<dyn Bytes>,
    /// Where it is from, safe to show.
    source: String,
}

/// Bytes on disk or in memory.
trait Bytes: Read + Seek {}

impl<T: Read + Seek> Bytes for T {}

impl CrateFile {
    fn open(path: &Path) -> Result<Self, Error> {
        let opened = || {
            let mut file = folder::open_foreign(path)?;
            let checksum = Checksum(sha256(&mut file)?);
            Ok((checksum, file.metadata()?.len(), file))
        };
        let (checksum, length, file) =
            opened().map_err(|source| Error::File { file: path.to_owned(), source })?;
        Ok(Self { checksum, length, content: Box::new(file), source: shown(path) })
    }

    fn served(bytes: Vec<u8>) -> Self {
        Self {
            checksum: Checksum(Sha256::digest(&bytes).into()),
            length: bytes.len() as u64,
            content: Box::new(Cursor::new(bytes)),
            source: "the file that the registry serves".into(),
        }
    }
}

fn evidence(arguments: &Verify, trust: &Trust, context: &Context) -> Result<Evidence, Error> {
    let enrollments = Enrollments::load(context.cargo.home())?;
    let registry = match &arguments.registry {
        Some(name_or_url) => Some(registry(name_or_url, &enrollments, context)?),
        None => None,
    };
    let index = registry.as_ref().map(|(index, _)| index.clone());
    if let (Some(proof), Some(file)) = (&arguments.proof, &arguments.crate_file) {
        let saved = Saved::parse(&read(proof)?)?;
        let proof = Proof::parse(saved.proof().as_bytes())?;
        let in_log = InLog::by_what_is_kept(&proof, &saved, trust, context);
        let (source, file) = (Source::Kept, CrateFile::open(file)?);
        return Ok(Evidence { proof, source, file, index_file: None, index, in_log });
    }
    let (Some((name, version)), Some((index_url, enrolled))) = (&arguments.version, registry) else {
        return Err(Error::Usage("give NAME@VERS and --registry, or --crate and --proof"));
    };
    let remote = Remote::open(&index_url, enrolled, context)?;
    let (proof, source) = match &arguments.proof {
        Some(proof) => (read(proof)?, Source::Kept),
        None => proof(&remote, &index_url, (name, version), context)?,
    };
    let proof = Proof::parse(Saved::parse(&proof)?.proof().as_bytes())?;
    let file = match &arguments.crate_file {
        Some(file) => CrateFile::open(file)?,
        None => CrateFile::served(remote.crate_file(name, version, proof.checksum)?),
    };
    let index_file = Some(remote.index_file(name)?);
    let shown = arguments.registry.as_deref().map(escape).unwrap_or_default();
    let patience = Patience::from(Instant::now());
    let registry = LogOf { index: &index_url, shown, remote: &remote, patience: &patience };
    // The log's key is recorded by `audit` and for whole lock files, and not beside a proof that may not hold.
    let keeping = Keeping { remember: false, ..arguments.keeping(context) };
    let in_log = InLog::look(&registry, &proof, trust, &keeping)?;
    Ok(Evidence { proof, source, file, index_file, index, in_log })
}

/// The registry's proof; where it gives none, the one at a place that the person's list names, or the crate's manifest.
fn proof(
    remote: &Remote<'_>,
    index: &IndexUrl,
    (name, version): (&CrateName, &Version),
    context: &Context,
) -> Result<(Vec<u8>, Source), Error> {
    let missing = match if *index == CRATES_IO { None } else { Some(remote.proof(name, version)) } {
        Some(Err(missing @ Error::NoProof { .. })) => missing,
        Some(answer) => return Ok((answer?, Source::Registry)),
        None => Error::NoProof { version: format!("{name} {version}") },
    };
    let trust = Trust::load(context.cargo.home(), &[], None)?;
    let listed = remote.listed(name, version)?;
    let manifest = || {
        let file = remote.crate_file(name, version, listed?).ok()?;
        (Checksum(Sha256::digest(&file).into()) == listed?)
            .then(|| elsewhere::manifest_in(&file[..]))
            .flatten()
    };
    match Elsewhere::new(context)?.find(&trust.places(index), (name, version), manifest) {
        Found::Proof { bytes, at } => Ok((bytes, at)),
        Found::Nowhere => Err(missing),
        Found::Withheld(why) => Err(Error::ProofWithheld { why }),
    }
}

/// The index URL that a person means, and its enrollment if there is one.
pub(in crate::commands) fn registry<'a>(
    name_or_url: &str,
    enrollments: &'a Enrollments,
    context: &Context,
) -> Result<(IndexUrl, Option<&'a Registry>), Error> {
    match context.enrolled(enrollments, name_or_url) {
        Ok(registry) => Ok((registry.index.clone(), Some(registry))),
        Err(Error::NotEnrolled { .. } | Error::CargoConfig(cargo_config::Error::CratesIo)) => {
            Ok((context.registry(name_or_url, enrollments)?.index, None))
        }
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(proof::LONGEST_SAVED).read_to_end(&mut bytes))
        .map_err(|source| Error::File { file: path.to_owned(), source })?;
    Ok(bytes)
}

fn shown(path: &Path) -> String {
    escape_path(path)
}

/// Why the key is trusted, or why not.
fn trusted(word: &Word<'_>, index: &str) -> Result<String, String> {
    match word {
        Word::Given => Ok("given with --key".into()),
        Word::Trusted { name, .. } => Ok(format!("{}, named in signers.toml for this crate", escape(name))),
        Word::Changed { rotation: Some(_), .. } => {
            Err("is not in signers.toml for this crate, but one that is has signed that this one replaces it".into())
        }
        Word::Changed { .. } => Err("is not in signers.toml for this crate".into()),
        Word::New if index == CRATES_IO => Err(
            "is not in your list; at crates.io anybody can sign anybody's crate, so the signature says nothing about its author".into(),
        ),
        Word::New => Err("is not in your list of trusted keys".into()),
        Word::NotGiven => Err("is not the one given with --key".into()),
    }
}

/// Whether as many have signed as the lists want.
fn is_approved(proof: &Proof, trust: &Trust) -> bool {
    proof.signers().is_ok_and(|signers| trust.too_few(&proof.index, &proof.name, &signers).is_none())
}

/// A crate that suddenly comes with another key than the trusted ones is what all this is there to notice: nobody is to
/// miss it by having said `--yes` beforehand.
fn may_be_recorded(word: &Word<'_>, yes: bool) -> bool {
    !(yes && matches!(word, Word::Changed { .. }))
}

/// What is recorded of the key. What the registry calls its owner is what it is called, until the person changes that.
fn news(word: &Word<'_>, proof: &Proof, signer: &Signer) -> News {
    let rotation = match word {
        Word::Changed { rotation, .. } => rotation.cloned(),
        _ => None,
    };
    News {
        index: proof.index.clone(),
        name: proof.name.clone(),
        key: proof.public,
        called: signer.suggested_name(),
        rotation,
    }
}

/// The person says yes to this key, having seen what it is for.
fn agreed(word: &Word<'_>, proof: &Proof, source: &Source, context: &Context) -> Result<(), Error> {
    let ui = Ui::asking();
    if matches!(word, Word::Changed { .. }) {
        ui.note("so far you trust other keys for this crate, not this one");
    }
    ui.say(format_args!("{}\n{}", proof.public, proof.public.id()));
    let says =
        source.url().map_or("the registry says".into(), |url| format!("the proof at {} says", escape(url)));
    ui.note(format_args!("{says} that this is the key, but only the crate's publisher can confirm it"));
    let question = format!("Trust this key to publish `{}` at {}?", proof.name, escape(&proof.index));
    if ui.confirm(&question, context.settings.wait.pin_prompt())? { Ok(()) } else { Err(Error::Declined) }
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn file(&mut self, proof: &Proof, found: Checksum, source: &str) {
        if found == proof.checksum {
            self.add("file", Verdict::Ok, format!("{source} has the checksum {found}"));
        } else {
            let text = format!("{source} has the checksum {found}, but the proof is for {}", proof.checksum);
            self.add("file", Verdict::Failed, text);
        }
    }

    fn signature(&mut self, proof: &Proof, arguments: &Verify, index: Option<&str>) {
        let Proof { name, version, .. } = proof;
        let shown = escape(&proof.index);
        let asked = arguments.version.as_ref().is_none_or(|asked| *asked == (name.clone(), version.clone()))
            && index.is_none_or(|index| index == proof.index);
        let (verdict, text) = match proof.signed() {
            _ if !asked => (Verdict::Failed, format!("the proof is for {name} {version} of {shown}")),
            Ok(signed) => {
                let at = in_seconds(signed.at);
                let text = format!(
                    "the key below signed this checksum as {name} {version} for {shown}, at {at} according to the signer's clock"
                );
                (Verdict::Ok, text)
            }
            Err(error) => (Verdict::Failed, format!("{error}; the proof is for {name} {version} of {shown}")),
        };
        self.add("signature", verdict, text);
    }

    /// Compares the index with the signed `file`. Cargo resolves by the index, so it compiles dependencies that stand only
    /// there.
    fn index(&mut self, proof: &Proof, file: CrateFile, index_file: Option<&[u8]>) {
        let Some(index_file) = index_file else {
            let text = "not checked, because no registry was asked; cargo resolves dependencies by the index, not by the file";
            return self.add("index", Verdict::Note, text.into());
        };
        let CrateFile { content, length, .. } = file;
        let version = proof.version.to_string();
        match index_says(
            content,
            length,
            (proof.name.as_str(), &version),
            proof.checksum,
            &proof.index,
            index_file,
        ) {
            Ok(Served { yanked }) => {
                let yanked = if yanked { "; it is yanked" } else { "" };
                let text = format!("it says what the signed file says{yanked}");
                self.add("index", Verdict::Ok, text);
            }
            Err(text) => {
                self.add("index", Verdict::Failed, text);
                self.next("do not build it, because cargo would follow an index that nobody signed; tell the registry's administrator");
            }
        }
    }

    fn trust(&mut self, proof: &Proof, trust: Result<String, String>, source: &Source) {
        let key = proof.public;
        match trust {
            Ok(why) => self.add("trust", Verdict::Ok, format!("the key {key} is {why}")),
            Err(why) => {
                self.add("trust", Verdict::Failed, format!("the key {key} {why}"));
                self.next(if source.may_be_recorded() {
                    "ask the crate's publisher for their key; then add --key K3PUBLIC to the command, or --remember to record it"
                } else {
                    "ask the crate's publisher for their key; then add --key K3PUBLIC to the command"
                });
            }
        }
    }

    /// Where a list wants more than one signature, or the proof has more.
    fn approvals(&mut self, proof: &Proof, trust: &Trust) {
        let signers = match proof.signers() {
            Ok(signers) => signers,
            // That of the main token has been told.
            Err(_) if proof.signed().is_err() => return,
            Err(error) => {
                let text = format!("one of the proof's approvals does not hold: {error}");
                return self.add("approvals", Verdict::Failed, text);
            }
        };
        match trust.too_few(&proof.index, &proof.name, &signers) {
            Some(too_few) => {
                self.add("approvals", Verdict::Failed, too_few.in_words());
                self.next("do not build it until the crate's publisher tells you why fewer people approved this version");
            }
            None if signers.len() > 1 => {
                let more = signers[1..].iter().map(|key| match trust.own_name_of(key) {
                    Some(name) => escape(name),
                    None => key.id().to_string(),
                });
                let text = format!("approved with {} too", more.collect::<Vec<_>>().join(", "));
                self.add("approvals", Verdict::Ok, text);
            }
            None => {}
        }
    }

    /// What a certificate in the proof says of the key; its chain is not looked at, so it decides nothing.
    fn attestation(&mut self, proof: &Proof) {
        let Some(certificates) = &proof.attestation else { return };
        let first = certificates.first().and_then(|text| STANDARD.decode(text).ok());
        let read = first.and_then(|der| Attestation::read(&der).ok());
        let point = read.as_ref().and_then(|read| read.point(&P384));
        let is_of_key =
            point.is_some_and(|point| PublicKey::from_uncompressed(&point).ok() == Some(proof.public));
        let text = match read.filter(|_| is_of_key) {
            None => "it is not about this key".to_owned(),
            Some(read) => {
                let serial = read.serial.map_or(String::new(), |serial| format!(" {serial}"));
                format!(
                    "it says that YubiKey{serial}, firmware {}, made the key, with PIN {}, touch {}; that is not checked here, and does not say whose key it is",
                    read.firmware, read.pin, read.touch
                )
            }
        };
        self.add("attestation", Verdict::Note, text);
    }

    fn add(&mut self, check: &'static str, verdict: Verdict, text: String) {
        self.0.push(Finding { check, verdict, text, next: None });
    }

    /// What to do about the finding that was added last.
    fn next(&mut self, next: &'static str) {
        if let Some(finding) = self.0.last_mut() {
            finding.next = Some(next.to_owned());
        }
    }

    fn failed(&self) -> usize {
        self.0.iter().filter(|finding| finding.verdict == Verdict::Failed).count()
    }

    fn report(&self, as_json: bool, proof: &Proof, in_log: &InLog, signer: &str) -> Result<(), Error> {
        let failed = self.failed();
        if as_json {
            print_json(&self.json(proof, in_log))?;
        } else {
            self.0.iter().try_for_each(Finding::print)?;
            print(sentence(proof, signer, failed == 0))?;
        }
        if failed == 0 { Ok(()) } else { Err(Error::NotProven { failed }) }
    }

    fn json(&self, proof: &Proof, in_log: &InLog) -> Value {
        json!({
            "version": 1,
            "ok": self.failed() == 0,
            "index": proof.index,
            "name": proof.name.as_str(),
            "vers": proof.version.to_string(),
            "cksum": proof.checksum.to_string(),
            "public": proof.public.to_string(),
            "key-id": proof.public.id().to_string(),
            "role": proof.role.as_str(),
            "signed-at": proof.signed().ok().map(|signed| signed.at.to_string()),
            "checks": self.0.iter().map(Finding::json).collect::<Vec<_>>(),
            "log": in_log.json(proof),
        })
    }
}

/// At a URL that is no registry's nobody says whose key it is.
fn signer(proof: &Proof, source: Source) -> Signer {
    let logged = if source.url().is_none() { proof.logged() } else { None };
    Signer::of(proof, logged.and_then(Result::ok).map(|logged| logged.user), source)
}

/// What all of it comes to, with the name of the signer.
fn sentence(proof: &Proof, signer: &str, holds: bool) -> String {
    let Proof { name, version, .. } = proof;
    if holds {
        format!("{name} {version} is what {signer} signed.")
    } else {
        format!("{name} {version} could not be shown to be signed by anybody you trust for it.")
    }
}

pub(super) fn in_seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::Whose;

    #[test]
    fn another_key_than_the_trusted_ones_is_recorded_only_after_a_question() {
        let changed = Word::Changed { whose: Whose::Own, others: Vec::new(), rotation: None };
        assert!(may_be_recorded(&Word::New, true), "the first one");
        assert!(may_be_recorded(&changed, false), "it is asked for then");
        assert!(!may_be_recorded(&changed, true));
    }
}
