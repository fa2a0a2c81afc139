//! What there is about each package of a lock file: kept proofs first, then those of the registries that are the person's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

use super::Verify;
use super::fetch::Remote;
use super::parallel;
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
use crate::ui::Ui;

/// After so many questions without any answer a registry is asked no more.
const PATIENCE: u32 = 3;

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

/// A proof that holds.
pub(super) struct Good {
    pub(super) proof: Proof,
    pub(super) signed: Signed,
    /// Where the registry's log has it, as far as the proof says.
    pub(super) logged: Option<Logged>,
    /// As it was handed out.
    bytes: Vec<u8>,
}

/// Where proofs are looked for.
pub(super) struct Places<'a> {
    context: &'a Context,
    enrollments: Enrollments,
    /// By index URL, as the lock file has it.
    own: BTreeMap<&'a str, Own>,
    /// In this order.
    kept: Vec<Kept>,
    cache: Kept,
    saved: Option<Kept>,
    offline: bool,
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
            cache,
            saved: arguments.save_proofs.as_deref().map(Kept::at),
            offline: arguments.offline,
        })
    }

    /// Whether a registry is one that the person has enrolled or configured. crates.io is everybody's.
    pub(super) fn knows(&self, index: &str) -> bool {
        self.own.contains_key(index)
    }

    /// What the person calls a registry; safe to show.
    pub(super) fn shown(&self, index: &str) -> String {
        self.own.get(index).map_or_else(|| escape(index), |own| own.shown.clone())
    }

    /// Looks for the proofs of these packages, all of registries that are [known](Self::knows).
    pub(super) fn look(&self, packages: &[&Package]) -> Vec<Evidence> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut found = parallel::each(packages, processors, |_| (), |package| self.kept(package));
        let mut missing = BTreeMap::<&str, Vec<usize>>::new();
        for (place, package) in packages.iter().enumerate() {
            if !matches!(found[place], Some(Evidence::Good(_))) {
                missing.entry(&package.index).or_default().push(place);
            }
        }
        for (index, places) in missing {
            let wanted: Vec<_> = places.iter().map(|place| packages[*place]).collect();
            for (place, evidence) in places.into_iter().zip(self.ask(index, &wanted)) {
                let found = &mut found[place];
                // Where nobody else has a proof, the one that does not hold is what there is.
                if found.is_none() || !matches!(evidence, Evidence::Withheld(_) | Evidence::NotLookedFor(_)) {
                    *found = Some(evidence);
                }
            }
        }
        found.into_iter().map(|found| found.expect("each is kept or was asked for")).collect()
    }

    /// Keeps the proofs that hold, where they are not yet. That there is no cache costs questions, and nothing else.
    pub(super) fn keep<'e>(&self, found: impl Iterator<Item = (&'e Package, &'e Good)>) -> Result<(), Error> {
        let keep = |folder: &Kept, package: &Package, good: &Good| {
            let Package { index, name, version, .. } = package;
            if folder.read(index, name, version).as_ref() == Some(&good.bytes) {
                return Ok(());
            }
            folder.write(index, name, version, &good.bytes)
        };
        let mut caches = true;
        for (package, good) in found {
            if let Some(saved) = &self.saved {
                keep(saved, package, good)
                    .map_err(|source| Error::WriteFile { file: saved.folder().to_owned(), source })?;
            }
            if caches && let Err(error) = keep(&self.cache, package, good) {
                let folder = self.cache.folder().display();
                Ui::silent().note(format_args!("no proofs are kept in {folder}: {error}"));
                caches = false;
            }
        }
        Ok(())
    }

    /// What is kept, if anything is about this very file.
    fn kept(&self, package: &Package) -> Option<Evidence> {
        let mut found = None;
        for folder in &self.kept {
            let Some(bytes) = folder.read(&package.index, &package.name, &package.version) else { continue };
            match prove(package, bytes) {
                good @ Evidence::Good(_) => return Some(good),
                bad => found = found.or(Some(bad)),
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
        let silent = AtomicU32::new(0);
        parallel::each(
            packages,
            AT_ONCE,
            |done| progress.at(done),
            |package| {
                if silent.load(Ordering::Relaxed) >= PATIENCE {
                    return Evidence::Withheld(format!("{shown} did not answer, and was asked no more"));
                }
                match remote.proof(&package.name, &package.version) {
                    Ok(bytes) => prove(package, bytes),
                    Err(Error::NoProof { .. }) => Evidence::None,
                    Err(error) if is_endless(&error) => Evidence::Bad(escape(&sentence(&error))),
                    Err(error) => {
                        if is_silence(&error) {
                            silent.fetch_add(1, Ordering::Relaxed);
                        }
                        Evidence::Withheld(escape(&sentence(&error)))
                    }
                }
            },
        )
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
fn prove(package: &Package, bytes: Vec<u8>) -> Evidence {
    let bad = |error: &dyn std::error::Error| Evidence::Bad(sentence(error));
    let proof = match Proof::parse(&bytes) {
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
        Ok(logged) => Evidence::Good(Box::new(Good { proof, signed, logged, bytes })),
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
