//! What there is about each package of a lock file: kept proofs first, then those of the registries that are the person's.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::elsewhere::{self, Elsewhere, Found};
use super::fetch::Remote;
use super::filled::Filled;
use super::found::{Evidence, NO_PROOF, prove, sha256};
use super::log::{Keeping, LogState, Logs, Registry};
use super::patience::{Patience, is_endless};
use super::{Source, Verify, in_log, parallel, place};
use crate::cargo_config::Configuration;
use crate::context::Context;
use crate::enrollment::Enrollments;
use crate::error::Error;
use crate::index_url::{CRATES_IO, IndexUrl};
use crate::lock_file::Package;
use crate::proof::{self, Kept, Saved};
use crate::registry::http::AT_ONCE;
use crate::text::{escape, sentence};
use crate::trust::{Trust, Whose};
use crate::ui::Ui;

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
    elsewhere: Elsewhere,
    keeping: Keeping<'a>,
    offline: bool,
}

/// What was found.
pub(super) struct Looked<'a> {
    /// About each package.
    pub(super) evidence: Vec<Evidence>,
    /// How the registries' logs stand, of those that have any, by index URL.
    pub(super) logs: Logs<'a>,
}

/// Why a registry is not asked.
enum Unasked {
    /// It gives no proofs.
    Nowhere(&'static str),
    /// It gives proofs, and none of anything now.
    NoProof(&'static str),
    Withheld(String),
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
        arguments: &'a Verify,
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
            elsewhere: Elsewhere::new(context)?,
            keeping: arguments.keeping(context),
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
    /// have put into a folder what they have signed themselves, so only a trusted key's proof spares the question to the registry. Then
    /// each registry's log is asked for all that it should have.
    ///
    /// # Errors
    /// The person's list cannot be changed, or nobody is there to be asked.
    pub(super) fn look<'p>(&self, packages: &[&'p Package], trust: &Trust) -> Result<Looked<'p>, Error> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut found = parallel::each(packages, processors, |_| (), |package| self.kept(package, trust));
        let mut registries = BTreeMap::<&'p str, Vec<usize>>::new();
        for (place, package) in packages.iter().enumerate() {
            registries.entry(&package.index).or_default().push(place);
        }
        let mut logs = Vec::new();
        for (index, places) in registries {
            let mut of_it: Vec<_> =
                places.iter().map(|place| (packages[*place], found[*place].take())).collect();
            logs.extend(self.look_at(index, &mut of_it, trust)?.map(|state| (index, state)));
            for (place, (_, evidence)) in places.into_iter().zip(of_it) {
                found[place] = evidence;
            }
        }
        let evidence = found.into_iter().map(|found| found.expect("each is kept or was asked for")).collect();
        Ok(Looked { evidence, logs })
    }

    /// The same, for the packages of one registry, some with what was kept about them. Returns how its log stands.
    fn look_at(
        &self,
        index: &str,
        packages: &mut [(&Package, Option<Evidence>)],
        trust: &Trust,
    ) -> Result<Option<LogState>, Error> {
        let (remote, patience) = (OnceCell::new(), Patience::from(Instant::now()));
        let remote = || remote.get_or_init(|| self.open(index, trust)).as_ref();
        let is_missing = |(package, found): &(&Package, Option<Evidence>)| {
            !found.as_ref().is_some_and(|found| found.is_enough(package, trust))
        };
        let missing: Vec<_> = packages.iter_mut().filter(|package| is_missing(package)).collect();
        if !missing.is_empty() {
            let wanted: Vec<_> = missing.iter().map(|(package, _)| *package).collect();
            let answers = match remote() {
                Ok(remote) => self.ask_each(remote, index, &patience, &wanted),
                Err(unasked) => wanted.iter().map(|_| unasked.evidence()).collect(),
            };
            let answers = self.elsewhere(&wanted, answers, trust);
            for ((_, found), answer) in missing.into_iter().zip(answers) {
                // Where the registry cannot be asked, what is kept is what there is.
                if found.is_none() || !matches!(answer, Evidence::Withheld(_) | Evidence::NotLookedFor(_)) {
                    *found = Some(answer);
                }
            }
        }
        let goods = packages.iter().filter_map(|(_, found)| found.as_ref()?.good());
        let size = goods.filter_map(|good| good.logged.as_ref()).map(place::end).max();
        let is_known = !matches!(trust.of_log(index), Ok(None));
        if self.offline || !is_known && !self.keeping.remember {
            return Ok((size.is_some() && !self.offline).then_some(LogState::KeyUnknown));
        }
        let state = match remote() {
            Ok(remote) => {
                let registry = Registry { index, shown: self.shown(index), remote, patience: &patience };
                let state = self.keeping.look(&registry, trust, size.unwrap_or_default())?;
                self.find_or_ask_again(&registry, state, packages, trust)
            }
            Err(_) if !is_known => LogState::KeyUnknown,
            Err(Unasked::Nowhere(why) | Unasked::NoProof(why)) => LogState::Unreachable((*why).to_owned()),
            Err(Unasked::Withheld(why)) => LogState::Unreachable(why.clone()),
        };
        if let LogState::KeyUnknown = state {
            return Ok(size.is_some().then_some(state));
        }
        for (_, found) in packages.iter_mut() {
            if let (Some(Evidence::Good(_)), Some(other)) = (&found, in_log::under(&state)) {
                *found = Some(other);
            }
        }
        Ok(Some(state))
    }

    /// Looks for the entries of good proofs in a log that is known. Whoever can write into a folder may have changed what a kept proof says
    /// of the log, so where that is not so, the registry's answer is judged instead.
    fn find_or_ask_again(
        &self,
        registry: &Registry<'_>,
        state: LogState,
        packages: &mut [(&Package, Option<Evidence>)],
        trust: &Trust,
    ) -> LogState {
        let good = |found: &Option<Evidence>| found.as_ref().and_then(Evidence::good).is_some();
        let is_kept = |found: &Evidence| found.good().is_some_and(|good| good.signer.source == Source::Kept);
        let kept: Vec<_> = packages.iter().map(|(_, found)| found.as_ref().is_some_and(is_kept)).collect();
        let state = self.find_in(registry, state, packages.iter_mut());
        let LogState::Seen(_) = state else { return state };
        let lost = packages.iter_mut().zip(kept).filter(|((_, found), kept)| *kept && !good(found));
        let mut lost: Vec<_> = lost.map(|(package, _)| package).collect();
        if lost.is_empty() {
            return state;
        }
        let wanted: Vec<_> = lost.iter().map(|(package, _)| *package).collect();
        let answers = self.ask_each(registry.remote, registry.index, registry.patience, &wanted);
        let answers = self.elsewhere(&wanted, answers, trust);
        for ((_, found), answer) in lost.iter_mut().zip(answers) {
            *found = Some(answer);
        }
        self.find_in(registry, state, lost.into_iter())
    }

    /// Looks for the entries of good proofs in a log that is known, and keeps what shows that it has them.
    fn find_in<'p: 'f, 'f>(
        &self,
        registry: &Registry<'_>,
        state: LogState,
        packages: impl Iterator<Item = &'f mut (&'p Package, Option<Evidence>)>,
    ) -> LogState {
        let LogState::Seen(seen) = state else { return state };
        let goods = packages.filter(|(_, found)| matches!(found, Some(Evidence::Good(_))));
        let (packages, mut evidence): (Vec<_>, Vec<_>) =
            goods.filter_map(|(package, found)| Some((*package, found.as_mut()?))).unzip();
        match in_log::find(&seen, registry, &mut evidence) {
            Err(state) => state,
            Ok(inclusions) => {
                for (package, (evidence, inclusion)) in packages.iter().zip(evidence.iter().zip(inclusions)) {
                    if let (Evidence::Good(good), Some(inclusion)) = (&**evidence, inclusion) {
                        let signed = &seen.checkpoint.signed;
                        let index = good.logged.as_ref().map_or(0, |logged| logged.index);
                        let in_log =
                            |proof: &str| Saved::in_log(proof, index, inclusion.clone(), signed.clone());
                        self.keep_in_log(package, &good.hash, &in_log);
                    }
                }
                LogState::Seen(seen)
            }
        }
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

    /// Keeps a proof, which is kept already, with what shows its place in the log.
    fn keep_in_log(
        &self,
        package: &Package,
        hash: &[u8; 32],
        in_log: &dyn Fn(&str) -> Result<Saved, proof::Error>,
    ) {
        let Package { index, name, version, .. } = package;
        for folder in self.saved.iter().chain([&self.cache]) {
            let kept = folder.folder.read(index, name, version).and_then(|bytes| Saved::parse(&bytes).ok());
            let of_it = kept.filter(|kept| *hash == sha256(kept.proof()));
            if let Some(Ok(saved)) = of_it.map(|kept| in_log(kept.proof())) {
                folder.keep(package, saved.to_string().as_bytes());
            }
        }
    }

    /// What is kept, if anything is: by a trusted key, or else what holds.
    fn kept(&self, package: &Package, trust: &Trust) -> Option<Evidence> {
        let mut found = None;
        for folder in &self.kept {
            let Some(bytes) = folder.read(&package.index, &package.name, &package.version) else { continue };
            let mut evidence = prove(package, &bytes, Source::Kept);
            if self.offline {
                in_log::by_what_is_kept(&mut evidence, &bytes, package, trust, self.context.cargo.home());
            }
            if evidence.is_enough(package, trust) {
                self.keep(package, &bytes);
                return Some(evidence);
            }
            if found.is_none() || matches!((&found, &evidence), (Some(Evidence::Bad(_)), Evidence::Good(_))) {
                found = Some(evidence);
            }
        }
        found
    }

    /// The registry, ready to be asked.
    fn open(&self, index: &str, trust: &Trust) -> Result<Remote<'_>, Unasked> {
        let Some(Own { url, .. }) = self.own.get(index) else {
            return Err(Unasked::Withheld("it is not in your configuration".into()));
        };
        if index == CRATES_IO {
            return Err(Unasked::Nowhere("crates.io gives no proofs"));
        }
        if url.sparse_base().is_none() {
            return Err(Unasked::Nowhere("a registry whose index is a git repository cannot be asked"));
        }
        if self.offline {
            return Err(Unasked::Withheld("no proof of it is kept, and --offline asks no registry".into()));
        }
        match Remote::open(url, self.enrollments.registry(url), self.context) {
            Ok(remote) if !remote.has_api() && self.gives_proofs(index, trust) => {
                Err(Unasked::NoProof("its index names no API to ask, although this registry gives proofs"))
            }
            Ok(remote) if !remote.has_api() => {
                Err(Unasked::Nowhere("a registry whose index names no API gives no proofs"))
            }
            Ok(remote) => Ok(remote),
            Err(error) => Err(Unasked::Withheld(escape(&sentence(&error)))),
        }
    }

    /// Whether a registry is known to give proofs, so that it cannot say otherwise by naming no API: its tokens are signed here, its log's
    /// key is known, or a proof of it is kept which is not from a place that the person's list names.
    fn gives_proofs(&self, index: &str, trust: &Trust) -> bool {
        let is_elsewhere = || trust.places(index).iter().any(|(whose, _)| *whose == Whose::Own);
        self.enrollments.signing(index).is_some()
            || !matches!(trust.of_log(index), Ok(None))
            || self.kept.iter().any(|kept| kept.has_any(index)) && !is_elsewhere()
    }

    /// A registry that is [known](Self::knows), to be asked for files. Why it cannot be is safe to show.
    pub(super) fn files_of(&self, index: &str) -> Result<Remote<'_>, String> {
        let Some(Own { url, .. }) = self.own.get(index) else {
            return Err("it is not in your configuration".into());
        };
        if url.sparse_base().is_none() && index != CRATES_IO {
            return Err("its index is a git repository, with which --deep cannot compare a file".into());
        }
        let remote = Remote::open(url, self.enrollments.registry(url), self.context);
        remote.map_err(|error| escape(&sentence(&error)))
    }

    /// Looks for the proofs of packages that their registry has none of, or that cannot be asked of it.
    fn elsewhere(&self, packages: &[&Package], answers: Vec<Evidence>, trust: &Trust) -> Vec<Evidence> {
        if self.offline {
            return answers;
        }
        let is_none = |answer: &Evidence| matches!(answer, Evidence::None(_) | Evidence::NotLookedFor(_));
        let without: Vec<_> = packages
            .iter()
            .zip(&answers)
            .filter(|(_, answer)| is_none(answer))
            .map(|(package, _)| *package)
            .collect();
        let mut progress = Ui::silent().progress("looking elsewhere for proofs".to_owned(), without.len());
        let at = |done| progress.at(done);
        let found = parallel::each(&without, AT_ONCE, at, |package| self.find_elsewhere(package, trust));
        let mut found = found.into_iter();
        let answer =
            |answer| if is_none(&answer) { found.next().flatten().unwrap_or(answer) } else { answer };
        answers.into_iter().map(answer).collect()
    }

    fn find_elsewhere(&self, package: &Package, trust: &Trust) -> Option<Evidence> {
        let Package { index, name, version, checksum } = package;
        let home = self.context.cargo.home();
        let manifest = || elsewhere::manifest_in_cache(home, name, version, (*checksum)?);
        match self.elsewhere.find(&trust.places(index), (name, version), manifest) {
            Found::Nowhere => None,
            Found::Withheld(why) => Some(Evidence::Withheld(why)),
            Found::Proof { bytes, at } => {
                let mut evidence = prove(package, &bytes, at);
                if let Evidence::Good(good) = &mut evidence {
                    // There is no registry that could say whose key it is.
                    (good.signer.user, good.logged) = (None, None);
                    self.keep(package, &bytes);
                }
                Some(evidence)
            }
        }
    }

    /// Asks a registry for the proofs of these packages of it.
    fn ask_each(
        &self,
        remote: &Remote<'_>,
        index: &str,
        patience: &Patience,
        packages: &[&Package],
    ) -> Vec<Evidence> {
        let shown = self.shown(index);
        let mut progress = Ui::silent().progress(format!("asking {shown} for proofs"), packages.len());
        parallel::each(
            packages,
            AT_ONCE,
            |done| progress.at(done),
            |package| {
                if let Some(why) = patience.is_over(Instant::now()) {
                    return Evidence::Withheld(format!("{shown} {why}, and was not asked again"));
                }
                match remote.proof(&package.name, &package.version) {
                    Ok(bytes) => {
                        let evidence = prove(package, &bytes, Source::Registry);
                        if matches!(evidence, Evidence::Good(_)) {
                            self.keep(package, &bytes);
                        }
                        evidence
                    }
                    Err(Error::NoProof { .. }) => Evidence::None(NO_PROOF),
                    Err(error) if is_endless(&error) => Evidence::Bad(escape(&sentence(&error))),
                    Err(error) => {
                        patience.failed(&error);
                        Evidence::Withheld(escape(&sentence(&error)))
                    }
                }
            },
        )
    }
}

impl Unasked {
    fn evidence(&self) -> Evidence {
        match self {
            Self::Nowhere(why) => Evidence::NotLookedFor(why),
            Self::NoProof(why) => Evidence::None(why),
            Self::Withheld(why) => Evidence::Withheld(why.clone()),
        }
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
