//! What there is about each package of a lock file: kept proofs first, then those of the registries that are the person's.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::fetch::Remote;
use super::{Signer, Source, Verify, parallel};
use crate::cargo_config::Configuration;
use crate::context::Context;
use crate::enrollment::Enrollments;
use crate::error::Error;
use crate::index_url::{CRATES_IO, IndexUrl};
use crate::lock_file::Package;
use crate::proof::{Kept, Logged, Proof, Signed};
use crate::registry::greeting;
use crate::registry::http::{self, AT_ONCE};
use crate::text::{escape, sentence};
use crate::trust::{Trust, Word};
use crate::ui::Ui;

/// After so many questions without any answer a registry is asked no more.
const PATIENCE: u32 = 3;

/// And after so long, however well it answers. What it has given until then is kept, so that the next run goes on from there.
const BUDGET: Duration = Duration::from_mins(10);

/// What there is about a package.
pub(super) enum Evidence {
    /// A key has signed this very file as this version of this registry.
    Good(Box<Good>),
    /// The registry has no proof.
    None,
    /// There is a proof, which does not hold. Why is safe to show.
    Bad(String),
    /// There may be one, which cannot be had.
    Withheld(String),
    /// There is nowhere to look.
    NotLookedFor(&'static str),
}

/// What a proof says that holds. The proof itself can have a mebibyte, and is not held on to.
pub(super) struct Good {
    pub(super) signer: Signer,
    pub(super) signed: Signed,
    /// Where the registry's log has it, as far as the proof says.
    pub(super) logged: Option<Logged>,
}

/// Where proofs are looked for.
pub(super) struct Places<'a> {
    context: &'a Context,
    enrollments: Enrollments,
    /// By index URL, as the lock file has it.
    own: BTreeMap<&'a str, Own>,
    /// In this order.
    kept: Vec<Kept>,
    cache: Filled,
    saved: Option<Filled>,
    offline: bool,
}

/// A folder into which good proofs are put, until that fails.
struct Filled {
    folder: Kept,
    failed: OnceLock<io::Error>,
}

/// A registry of the person's.
struct Own {
    url: IndexUrl,
    /// What it is called, safe to show.
    shown: String,
}

impl<'a> Places<'a> {
    /// For the packages of a lock file: those that the arguments and the person's own configuration name. A project's configuration is
    /// not read.
    pub(super) fn new(
        packages: &'a [Package],
        arguments: &Verify,
        context: &'a Context,
    ) -> Result<Self, Error> {
        let home = context.cargo.home();
        let cache = Kept::in_cargo_home(home);
        let enrollments = Enrollments::load(home)?;
        Ok(Self {
            context,
            own: own(packages, &enrollments, &context.cargo.read_own()?)?,
            enrollments,
            kept: arguments.proofs.iter().map(|folder| Kept::at(folder)).chain([cache.clone()]).collect(),
            cache: Filled::new(cache),
            saved: arguments.save_proofs.as_deref().map(|folder| Filled::new(Kept::at(folder))),
            offline: arguments.offline,
        })
    }

    /// Whether a registry is one that the person has enrolled or configured. crates.io is everybody's.
    pub(super) fn knows(&self, index: &str) -> bool {
        self.own.contains_key(index)
    }

    /// Those of the lock file's registries that are [known](Self::knows).
    pub(super) fn registries(&self) -> Vec<&IndexUrl> {
        self.own.values().map(|own| &own.url).collect()
    }

    /// What the person calls a registry; safe to show.
    pub(super) fn shown(&self, index: &str) -> String {
        self.own.get(index).map_or_else(|| escape(index), |own| own.shown.clone())
    }

    /// Looks for the proofs of these packages, all of registries that are [known](Self::knows), and keeps those that count. Anybody can
    /// have put into a folder what they have signed themselves, so only a trusted key's proof spares the question to the registry.
    pub(super) fn look(&self, packages: &[&Package], trust: &Trust) -> Vec<Evidence> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut found = parallel::each(packages, processors, |_| (), |package| self.kept(package, trust));
        let mut missing = BTreeMap::<&str, Vec<usize>>::new();
        for (place, package) in packages.iter().enumerate() {
            if !found[place].as_ref().is_some_and(|found| found.is_trusted(package, trust)) {
                missing.entry(&package.index).or_default().push(place);
            }
        }
        for (index, places) in missing {
            let wanted: Vec<_> = places.iter().map(|place| packages[*place]).collect();
            for (place, evidence) in places.into_iter().zip(self.ask(index, &wanted)) {
                let found = &mut found[place];
                // Where the registry cannot be asked, what is kept is what there is.
                if found.is_none() || !matches!(evidence, Evidence::Withheld(_) | Evidence::NotLookedFor(_)) {
                    *found = Some(evidence);
                }
            }
        }
        found.into_iter().map(|found| found.expect("each is kept or was asked for")).collect()
    }

    /// Whether all was kept. That there is no cache costs questions, and nothing else.
    pub(super) fn kept_all(&mut self) -> Result<(), Error> {
        if let Some(error) = self.cache.failed.take() {
            let folder = self.cache.folder.folder().display();
            Ui::silent().note(format_args!("no proofs are kept in {folder}: {error}"));
        }
        match self.saved.as_mut().and_then(|saved| Some((saved.failed.take()?, saved.folder.folder()))) {
            Some((source, folder)) => Err(Error::WriteFile { file: folder.to_owned(), source }),
            None => Ok(()),
        }
    }

    fn keep(&self, package: &Package, proof: &[u8]) {
        for folder in self.saved.iter().chain([&self.cache]) {
            folder.keep(package, proof);
        }
    }

    /// What is kept, if anything is: by a trusted key, or else what holds.
    fn kept(&self, package: &Package, trust: &Trust) -> Option<Evidence> {
        let mut found = None;
        for folder in &self.kept {
            let Some(bytes) = folder.read(&package.index, &package.name, &package.version) else { continue };
            let evidence = prove(package, &bytes, Source::Kept);
            if evidence.is_trusted(package, trust) {
                self.keep(package, &bytes);
                return Some(evidence);
            }
            if found.is_none() || matches!((&found, &evidence), (Some(Evidence::Bad(_)), Evidence::Good(_))) {
                found = Some(evidence);
            }
        }
        found
    }

    /// Asks a registry for the proofs of these packages of it.
    fn ask(&self, index: &str, packages: &[&Package]) -> Vec<Evidence> {
        let all = |evidence: &dyn Fn() -> Evidence| packages.iter().map(|_| evidence()).collect();
        let Some(Own { url, .. }) = self.own.get(index) else { return all(&|| Evidence::None) };
        if index == CRATES_IO {
            return all(&|| Evidence::NotLookedFor("crates.io gives no proofs"));
        }
        if url.sparse_base().is_none() {
            let why = "a registry whose index is a git repository cannot be asked";
            return all(&|| Evidence::NotLookedFor(why));
        }
        if self.offline {
            return all(&|| Evidence::Withheld("no proof of it is kept, and --offline asks nobody".into()));
        }
        match Remote::open(url, self.enrollments.registry(url), self.context) {
            Ok(remote) if !remote.has_api() => {
                all(&|| Evidence::NotLookedFor("a registry whose index names no API gives no proofs"))
            }
            Ok(remote) => self.ask_each(&remote, index, packages),
            Err(error) => {
                let why = escape(&sentence(&error));
                all(&|| Evidence::Withheld(why.clone()))
            }
        }
    }

    fn ask_each(&self, remote: &Remote<'_>, index: &str, packages: &[&Package]) -> Vec<Evidence> {
        let shown = self.shown(index);
        let mut progress = Ui::silent().progress(format!("asking {shown} for proofs"), packages.len());
        let patience = Patience::from(Instant::now());
        parallel::each(
            packages,
            AT_ONCE,
            |done| progress.at(done),
            |package| {
                if let Some(why) = patience.is_over(Instant::now()) {
                    return Evidence::Withheld(format!("{shown} {why}, and was asked no more"));
                }
                match remote.proof(&package.name, &package.version) {
                    Ok(bytes) => {
                        let evidence = prove(package, &bytes, Source::Registry);
                        if matches!(evidence, Evidence::Good(_)) {
                            self.keep(package, &bytes);
                        }
                        evidence
                    }
                    Err(Error::NoProof { .. }) => Evidence::None,
                    Err(error) if is_endless(&error) => Evidence::Bad(escape(&sentence(&error))),
                    Err(error) => {
                        if is_silence(&error) {
                            patience.silent.fetch_add(1, Ordering::Relaxed);
                        }
                        Evidence::Withheld(escape(&sentence(&error)))
                    }
                }
            },
        )
    }
}

impl Evidence {
    /// Whether a key has signed that is trusted for it.
    fn is_trusted(&self, package: &Package, trust: &Trust) -> bool {
        let Self::Good(good) = self else { return false };
        let word = trust.of_key(&package.index, &package.name, &good.signer.key);
        matches!(word, Word::Trusted { .. } | Word::Given)
    }
}

impl Filled {
    fn new(folder: Kept) -> Self {
        Self { folder, failed: OnceLock::new() }
    }

    fn keep(&self, Package { index, name, version, .. }: &Package, proof: &[u8]) {
        let is_there = || self.folder.read(index, name, version).as_deref() == Some(proof);
        if self.failed.get().is_none()
            && !is_there()
            && let Err(error) = self.folder.write(index, name, version, proof)
        {
            // Of several threads the first one's error is as good as any.
            let _ = self.failed.set(error);
        }
    }
}

/// How long a registry is asked.
struct Patience {
    silent: AtomicU32,
    until: Instant,
}

impl From<Instant> for Patience {
    fn from(now: Instant) -> Self {
        Self { silent: AtomicU32::new(0), until: now + BUDGET }
    }
}

impl Patience {
    /// Why it is asked no more.
    fn is_over(&self, now: Instant) -> Option<&'static str> {
        if self.silent.load(Ordering::Relaxed) >= PATIENCE {
            return Some("did not answer");
        }
        (now >= self.until).then_some("was too slow")
    }
}

/// The registries among these that are the person's, spelled as they are there. A registry is contacted for no other reason, and the
/// lists have their entries under no other text. crates.io is the one URL that cargo writes for it (cargo 1.95, `CRATES_IO_INDEX`).
fn own<'p>(
    packages: &'p [Package],
    enrollments: &Enrollments,
    configuration: &Configuration,
) -> Result<BTreeMap<&'p str, Own>, Error> {
    let mut own = BTreeMap::new();
    let indexes: BTreeSet<_> = packages.iter().map(|package| package.index.as_str()).collect();
    for index in indexes {
        // Cargo writes none that it would not pass on as it is.
        let Some(url) = index.parse().ok().filter(|url: &IndexUrl| *url == index) else { continue };
        let names = configuration.own_names_of_exactly(index)?;
        if index == CRATES_IO || enrollments.know(index) || !names.is_empty() {
            let enrolled = enrollments.registry(index).and_then(|registry| registry.name.clone());
            let name = enrolled.or_else(|| names.into_iter().next());
            let name = if index == CRATES_IO { Some("crates.io".to_owned()) } else { name };
            own.insert(index, Own { shown: escape(&name.unwrap_or_else(|| url.to_string())), url });
        }
    }
    Ok(own)
}

/// Whether a proof shows that somebody has signed this very file. Its place in the registry's log, where it says one, has to hold as
/// well: this is where that is asked.
fn prove(package: &Package, bytes: &[u8], source: Source) -> Evidence {
    let bad = |error: &dyn std::error::Error| Evidence::Bad(sentence(error));
    let proof = match Proof::parse(bytes) {
        Ok(proof) => proof,
        Err(error) => return bad(&error),
    };
    if !proof.is_about(&package.index, &package.name, &package.version) {
        let of = format!("{} {} of {}", proof.name, proof.version, proof.index);
        return Evidence::Bad(format!("the proof is one for {}", escape(&of)));
    }
    if Some(proof.checksum) != package.checksum {
        return Evidence::Bad(format!("the proof is one for a file with the checksum {}", proof.checksum));
    }
    let signed = match proof.signed() {
        Ok(signed) => signed,
        Err(error) => return bad(&error),
    };
    match proof.logged().transpose() {
        Ok(logged) => {
            let signer = Signer::of(&proof, logged.as_ref(), source);
            Evidence::Good(Box::new(Good { signer, signed, logged }))
        }
        Err(error) => bad(&error),
    }
}

/// Whether what was answered is longer than any proof.
fn is_endless(error: &Error) -> bool {
    matches!(http(error), Some(http::Error::TooLong { .. }))
}

/// Whether nothing answered at all.
fn is_silence(error: &Error) -> bool {
    http(error).is_some()
}

fn http(error: &Error) -> Option<&http::Error> {
    match error {
        Error::Fetch { source, .. } => match &**source {
            greeting::Error::Http(error) => Some(error),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_answers_slowly_is_given_up_too() {
        let start = Instant::now();
        let patience = Patience::from(start);
        assert_eq!(patience.is_over(start + BUDGET - Duration::from_secs(1)), None);
        assert_eq!(patience.is_over(start + BUDGET), Some("was too slow"));
        patience.silent.store(PATIENCE, Ordering::Relaxed);
        assert_eq!(patience.is_over(start), Some("did not answer"));
    }
}
