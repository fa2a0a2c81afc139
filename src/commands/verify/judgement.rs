//! What the evidence about a package comes to, by what the lists say.

use asymmetric_token::Checksum;

use super::Source;
use super::evidence::{Evidence, Good, Places};
use super::verdict::Verdict;
use crate::lock_file::Package;
use crate::text::escape;
use crate::trust::{News, Rotation, Trust, Unsigned, Whose, Word};

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
        return judged(Verdict::NoChecksum, "the lock file names none, so cargo would take any file".into());
    };
    if !places.knows(&package.index) {
        return judged(Verdict::UnknownRegistry, "not one of yours, and was not asked".into());
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
        Evidence::None => match unsigned() {
            Unsigned::NotRequired(whose) => {
                plain(Verdict::UnsignedAllowed, format!("no list wants it signed{}", by(whose)))
            }
            Unsigned::Refused(whose) => {
                plain(Verdict::Unsigned, format!("every version of it is signed{}", by(whose)))
            }
            _ => plain(Verdict::Unsigned, "the registry has no proof of it".into()),
        },
        Evidence::NotLookedFor(why) => match unsigned() {
            Unsigned::Refused(whose) => {
                plain(Verdict::Withheld, format!("{why}, and every version of it is signed{}", by(whose)))
            }
            _ => plain(Verdict::NotLookedFor, why.into()),
        },
    }
}

fn signed<'a>(package: &'a Package, good: Box<Good>, trust: &Trust) -> Judgement<'a> {
    let from = &good.signer;
    // Whoever can write into a folder is not to have their key offered.
    let news = |rotation: Option<&Rotation>| {
        (from.source == Source::Registry).then(|| News {
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
            let text = format!("file and signature good; signer {signer}, not in your list for it yet");
            (Verdict::NewSigner, text, news(None))
        }
        Word::NotGiven => (
            Verdict::ChangedSigner,
            format!("signed by {signer}, which is not the key given with --key"),
            None,
        ),
        Word::Changed { whose, others, rotation } => {
            let others = escape(&others.join(", "));
            let text = format!("signed by {signer}; trusted for it is {others}{}", by(whose));
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
    Judgement { package, verdict, text, good: Some(good), news }
}

/// Said of what only a project's own list says, which may be anybody's.
fn by(whose: Whose) -> &'static str {
    match whose {
        Whose::Own => "",
        Whose::Projects => ", by this project's own list",
    }
}

impl<'a> Judgement<'a> {
    /// Whether all that could be recorded comes from a folder.
    pub(super) fn is_new_and_only_kept(&self) -> bool {
        let is_kept = self.good.as_ref().is_some_and(|good| good.signer.source == Source::Kept);
        is_kept && self.verdict == Verdict::NewSigner
    }

    fn new(package: &'a Package, verdict: Verdict, text: impl Into<String>) -> Self {
        Self { package, verdict, text: text.into(), good: None, news: None }
    }
}
