//! What the evidence about a package comes to, by what the lists say.

use std::path::Path;

use asymmetric_token::Checksum;
use crate_file::index::Served;

use super::evidence::Places;
use super::found::{Evidence, Good};
use super::place;
use super::verdict::Verdict;
use crate::index_url::CRATES_IO;
use crate::lock_file::Package;
use crate::text::escape;
use crate::trust::{News, Rotation, TooFew, Trust, Unsigned, Whose, Word};

/// A package of a lock file, and how it stands.
pub(super) struct Judgement<'a> {
    pub(super) package: &'a Package,
    pub(super) verdict: Verdict,
    /// One sentence, safe to show.
    pub(super) text: String,
    /// The proof, where one holds.
    pub(super) good: Option<Box<Good>>,
    /// What can be recorded, so that it is trusted.
    pub(super) news: Option<News>,
}

/// What came of comparing a file with the index: what the index has, or how the package stands then, and why, safe to show.
pub(super) type Compared = Result<Served, (Verdict, String)>;

/// What is known of a package before anybody looks for a proof.
pub(super) enum Before<'a> {
    /// All that there is to say.
    Judged(Box<Judgement<'a>>),
    /// The file.
    Open(Checksum),
}

/// What can be told without looking for a proof. Where the registry is a stranger's, nothing that a project says of it counts.
pub(super) fn beforehand<'a>(package: &'a Package, trust: &Trust, places: &Places<'_>) -> Before<'a> {
    let judged = |verdict, text: String| Before::Judged(Box::new(Judgement::new(package, verdict, text)));
    let Some(checksum) = package.checksum else {
        return judged(
            Verdict::NoChecksum,
            "the lock file has no checksum, so cargo would accept any file".into(),
        );
    };
    if !places.knows(&package.index) {
        return judged(Verdict::UnknownRegistry, "not in your configuration, so it was not asked".into());
    }
    match trust.of_unsigned(&package.index, &package.name, &package.version, checksum) {
        Unsigned::Listed(whose) => {
            let text = format!("this file is listed as unsigned{}", by(whose));
            judged(Verdict::UnsignedAllowed, text)
        }
        Unsigned::OtherFile(whose) => {
            let text = format!("listed as unsigned{} with another checksum", by(whose));
            judged(Verdict::Bad, text)
        }
        _ => Before::Open(checksum),
    }
}

/// What the evidence comes to.
pub(super) fn judge<'a>(
    package: &'a Package,
    checksum: Checksum,
    evidence: Evidence,
    trust: &Trust,
) -> Judgement<'a> {
    let plain = |verdict, text: String| Judgement::new(package, verdict, text);
    let unsigned = || trust.of_unsigned(&package.index, &package.name, &package.version, checksum);
    match evidence {
        Evidence::Good(good) => signed(package, good, trust),
        Evidence::Bad(why) => plain(Verdict::Bad, why),
        Evidence::Withheld(why) => plain(Verdict::Withheld, why),
        Evidence::LogRefused(why) => plain(Verdict::LogRefused, why),
        Evidence::None(why) => match unsigned() {
            Unsigned::NotRequired(whose) => {
                plain(Verdict::UnsignedAllowed, format!("no list wants it signed{}", by(whose)))
            }
            Unsigned::Refused(whose) => {
                plain(Verdict::Unsigned, format!("every version of it must be signed{}", by(whose)))
            }
            _ => plain(Verdict::Unsigned, why.into()),
        },
        Evidence::NotLookedFor(why) => match unsigned() {
            Unsigned::Refused(whose) => plain(
                Verdict::Withheld,
                format!("{why}, but every version of it must be signed{}", by(whose)),
            ),
            _ => plain(Verdict::NotLookedFor, why.into()),
        },
    }
}

fn signed<'a>(package: &'a Package, good: Box<Good>, trust: &Trust) -> Judgement<'a> {
    let from = &good.signer;
    let news = |rotation: Option<&Rotation>| {
        from.source.may_be_recorded().then(|| News {
            index: package.index.clone(),
            name: package.name.clone(),
            key: from.key,
            called: from.suggested_name(),
            rotation: rotation.cloned(),
        })
    };
    let signer = from.in_words(trust);
    let (verdict, text, news) = match trust.of_key(&package.index, &package.name, &from.key) {
        Word::Trusted { whose, name } => {
            (Verdict::Trusted, format!("signed by {}{}", escape(&name), by(whose)), None)
        }
        Word::Given => (Verdict::Trusted, "signed by the key given with --key".into(), None),
        Word::New => {
            let mut text =
                format!("file and signature are good, but the signer {signer} is not in your list yet");
            if from.source.url().is_some() || package.index == CRATES_IO {
                text += "; there anybody can sign anybody's crate, so this says nothing about its author";
            }
            (Verdict::NewSigner, text, news(None))
        }
        Word::NotGiven => (
            Verdict::ChangedSigner,
            format!("signed by {signer}, which is not the key given with --key"),
            None,
        ),
        Word::Changed { whose, others, rotation } => {
            let others = escape(&others.join(", "));
            let text = format!("signed by {signer}, but trusted for this crate is {others}{}", by(whose));
            match rotation {
                None => (Verdict::ChangedSigner, text, None),
                Some(rotation) => {
                    let text = format!(
                        "{text}; both keys have signed that {} takes the place of {}, which counts once you have it remembered",
                        rotation.to.id(),
                        rotation.from.id()
                    );
                    // Only the person's own list can be added to.
                    (
                        Verdict::ChangedSigner,
                        text,
                        (whose == Whose::Own).then(|| news(Some(rotation))).flatten(),
                    )
                }
            }
        }
    };
    let too_few = trust.too_few(&package.index, &package.name, &good.signers);
    let (verdict, text) = with_approvals(verdict, text, too_few);
    let in_log = place::in_words(good.logged.as_ref(), good.place);
    let text = if in_log.is_empty() { text } else { format!("{text}; {in_log}") };
    Judgement { package, verdict, text, good: Some(good), news }
}

/// A trusted signer is not enough where a list wants more of them.
fn with_approvals(verdict: Verdict, text: String, too_few: Option<TooFew>) -> (Verdict, String) {
    match too_few.filter(|_| verdict == Verdict::Trusted) {
        Some(too_few) => {
            (Verdict::TooFewApprovals, format!("{text}; {}{}", too_few.in_words(), by(too_few.whose)))
        }
        None => (verdict, text),
    }
}

/// Said of what only a project's own list says, which may be anybody's.
fn by(whose: Whose) -> &'static str {
    match whose {
        Whose::Own => "",
        Whose::Projects => ", by this project's own list",
    }
}

impl<'a> Judgement<'a> {
    /// Why a new signer is not recorded, if that cannot be.
    pub(super) fn why_not_recorded(&self) -> Option<&'static str> {
        let good = self.good.as_ref().filter(|_| self.verdict == Verdict::NewSigner)?;
        good.signer.source.why_not_recorded()
    }

    /// Where fewer keys have signed it than a list wants.
    pub(super) fn too_few(&self, trust: &Trust) -> Option<TooFew> {
        let Package { index, name, .. } = self.package;
        trust.too_few(index, name, &self.good.as_ref()?.signers)
    }

    /// Its signer was offered to nobody, because that would not do.
    pub(super) fn is_not_recorded(&mut self, trust: &Trust) {
        self.news = None;
        if let Some(too_few) = self.too_few(trust) {
            let why = too_few.in_words();
            self.text += &format!("; the signer is not recorded, because {why}{}", by(too_few.whose));
        }
    }

    /// Its signer is recorded in a file, and this is trusted now.
    pub(super) fn is_recorded(&mut self, list: &Path, trust: &Trust) {
        let text = format!("its signer is now recorded in {}", list.display());
        (self.verdict, self.text) = with_approvals(Verdict::Trusted, text, self.too_few(trust));
    }

    /// The URL of the proof, where that is not the registry's.
    pub(super) fn proof_url(&self) -> Option<&str> {
        self.good.as_ref()?.signer.source.url()
    }

    /// What came of comparing its file with the index. Where that is not good, nothing of it is recorded.
    pub(super) fn compared(&mut self, compared: Compared) {
        match compared {
            Ok(Served { yanked }) => {
                let yanked = if yanked { ", and that it is yanked" } else { "" };
                self.text += &format!("; the index says what the file says{yanked}");
            }
            Err((verdict, why)) => {
                self.news = None;
                if verdict > self.verdict {
                    (self.verdict, self.text) = (verdict, why);
                }
            }
        }
    }

    fn new(package: &'a Package, verdict: Verdict, text: impl Into<String>) -> Self {
        Self { package, verdict, text: text.into(), good: None, news: None }
    }
}
