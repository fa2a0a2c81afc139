//! What was found about one package of a lock file, and what has to hold of a proof.

use asymmetric_token::PublicKey;
use sha2::{Digest as _, Sha256};

use super::place::Place;
use super::{Signer, Source};
use crate::lock_file::Package;
use crate::proof::{Logged, Proof, Saved, Signed};
use crate::text::{escape, sentence};
use crate::trust::{Trust, Word};

/// What a registry says that answers.
pub(super) const NO_PROOF: &str = "the registry has no proof of it";

/// What there is about a package.
pub(in crate::commands) enum Evidence {
    /// A key has signed this very file as this version of this registry.
    Good(Box<Good>),
    /// The registry has no proof. How that is known.
    None(&'static str),
    /// There is a proof, which does not hold. Why is safe to show.
    Bad(String),
    /// There may be one, which cannot be had.
    Withheld(String),
    /// There is nowhere to look.
    NotLookedFor(&'static str),
    /// There is a proof that holds, and the registry's log is not the one that is known. Why is safe to show.
    LogRefused(String),
}

/// What a proof says that holds. The proof itself can have a mebibyte, and is not held on to.
pub(in crate::commands) struct Good {
    pub(super) signer: Signer,
    pub(super) signed: Signed,
    /// All keys that have signed.
    pub(super) signers: Vec<PublicKey>,
    /// Where the registry's log has it, as far as the proof says.
    pub(super) logged: Option<Logged>,
    /// Whether the log has it there.
    pub(super) place: Place,
    /// The SHA-256 of the proof.
    pub(super) hash: [u8; 32],
}

impl Evidence {
    /// Why it is not good; safe to show.
    pub(in crate::commands) fn why(&self) -> &str {
        match self {
            Self::Bad(why) | Self::Withheld(why) | Self::LogRefused(why) => why,
            Self::NotLookedFor(why) | Self::None(why) => why,
            Self::Good(_) => "",
        }
    }

    pub(super) fn good(&self) -> Option<&Good> {
        match self {
            Self::Good(good) => Some(good),
            _ => None,
        }
    }

    /// Whether a key has signed that is trusted for it, and it says where the log has it if that is known.
    pub(super) fn is_enough(&self, package: &Package, trust: &Trust) -> bool {
        let Self::Good(good) = self else { return false };
        let word = trust.of_key(&package.index, &package.name, &good.signer.key);
        matches!(word, Word::Trusted { .. } | Word::Given)
            && trust.too_few(&package.index, &package.name, &good.signers).is_none()
            && (good.logged.is_some() || matches!(trust.of_log(&package.index), Ok(None)))
    }
}

/// Whether a proof shows that somebody has signed this very file. Its place in the registry's log, where it says one, has to hold as
/// well: this is where that is asked.
pub(super) fn prove(package: &Package, bytes: &[u8], source: Source) -> Evidence {
    let bad = |error: &dyn std::error::Error| Evidence::Bad(sentence(error));
    let read = Saved::parse(bytes)
        .and_then(|saved| Ok((Proof::parse(saved.proof().as_bytes())?, sha256(saved.proof()))));
    let (proof, hash) = match read {
        Ok(read) => read,
        Err(error) => return bad(&error),
    };
    if !proof.is_about(&package.index, &package.name, &package.version) {
        let of = format!("{} {} of {}", proof.name, proof.version, proof.index);
        return Evidence::Bad(format!("the proof is for {}", escape(&of)));
    }
    if Some(proof.checksum) != package.checksum {
        return Evidence::Bad(format!("the proof is for a file with the checksum {}", proof.checksum));
    }
    let (signed, signers) = match proof.signed().and_then(|signed| Ok((signed, proof.signers()?))) {
        Ok(signed) => signed,
        Err(error) => return bad(&error),
    };
    match proof.logged().transpose() {
        Ok(logged) => {
            let user = logged.as_ref().map(|logged| logged.user.clone());
            let signer = Signer::of(&proof, user, source);
            let place = Place::KeyUnknown;
            Evidence::Good(Box::new(Good { signer, signed, signers, logged, place, hash }))
        }
        Err(error) => bad(&error),
    }
}

/// The SHA-256 of a proof.
pub(super) fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}
