//! Signing a token with whichever of a registry's cards is plugged in.
//!
//! The registry is asked for its challenge before the person is asked for anything, and the time of the token is taken
//! when everything else is ready. The signature is verified before the token leaves the process.

use std::time::{Duration, Instant};

use asymmetric_token::{Claims, Enrollment, Footer, KeyId, Mutation, Prepared, PublicKey};
use jiff::Timestamp;
use semver::Version;

use crate::card::access::Access;
use crate::card::find;
use crate::card::key_use::KeyUse;
use crate::card::known::KnownCards;
use crate::enrollment::{ChallengeSource, Registry, Role};
use crate::error::Error;
use crate::index_url::IndexUrl;
use crate::piv::{P384, Serial};
use crate::reader::Readers;
use crate::registry::greeting;
use crate::settings::Settings;
use crate::signature::is_signed;
use crate::text::{escape, foreign_word};
use crate::ui::Ui;

mod key_file;
mod rotating;
mod signing;

pub(crate) use key_file::KeyFile;
use signing::{Signed, Signing};

/// A challenge that has grown older than this while a person was asked is fetched again: registries take them for
/// minutes only.
const CHALLENGE_KEEPS: Duration = Duration::from_secs(60);

/// Signs for enrolled registries.
pub struct Signer<'a> {
    access: Access<'a>,
    key_use: KeyUse<'a>,
}

/// What a token is to be good for.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// Reading.
    Read,
    /// One change of one crate.
    Mutation(Mutation),
    /// Seeing that the key signs. What is signed is good for nothing.
    Trial,
    /// The enrollment of keys. The signing key is one of them, or is enrolled already and vouches for them.
    Enrollment {
        /// What the registry gave to be signed.
        nonce: String,
        /// What the signing key may sign.
        role: Role,
        /// All keys that are enrolled together.
        keys: Vec<KeyId>,
    },
}

impl Purpose {
    /// Whether it takes the key for mutations.
    fn is_for_mutations(&self) -> bool {
        match self {
            Self::Read => false,
            Self::Mutation(_) | Self::Trial => true,
            Self::Enrollment { role, .. } => *role != Role::Read,
        }
    }
}

/// A token, verified with the enrolled key.
#[derive(Debug)]
pub struct SignedToken {
    /// The token, ready to send. Until the registry's window is over, whoever has it can use it for its purpose.
    pub token: String,
    /// Its `iat`.
    pub issued_at: Timestamp,
    /// The key that has signed.
    pub public: PublicKey,
}

impl<'a> Signer<'a> {
    /// A signer that asks for PINs in the documented order.
    #[must_use]
    pub fn new(readers: &'a Readers, settings: &'a Settings, ui: Ui) -> Self {
        Self::with(Access { readers, settings, ui })
    }

    pub(crate) fn with(access: Access<'a>) -> Self {
        Self { access, key_use: KeyUse::new(access) }
    }

    /// The same, for several tokens one after the other: the PIN is asked for once, however long the registry takes between them.
    pub(crate) fn keeping_power(self) -> Self {
        Self { key_use: self.key_use.keeping_power(), ..self }
    }

    /// Signs a read token, or a token for one mutation.
    ///
    /// # Errors
    /// [`Error`]: no challenge, no card, not the enrolled one, no PIN, no touch, a card that lies.
    pub fn sign(&mut self, registry: &Registry, mutation: Option<Mutation>) -> Result<SignedToken, Error> {
        self.sign_for(registry, mutation.map_or(Purpose::Read, Purpose::Mutation))
    }

    /// Signs for a purpose, with whichever of the registry's cards is plugged in.
    ///
    /// # Errors
    /// As [`sign`](Self::sign).
    pub fn sign_for(&mut self, registry: &Registry, purpose: Purpose) -> Result<SignedToken, Error> {
        let for_mutations = purpose.is_for_mutations();
        let cards: Vec<_> = registry.cards.iter().filter(|card| card.key(for_mutations).is_some()).collect();
        if cards.is_empty() {
            return Err(Error::no_key(registry, for_mutations));
        }
        let mut challenge = fetch_challenge(self.access, registry, &purpose)?;
        let keys = signing::keys(registry, &purpose);
        signing(registry, &purpose, challenge.as_ref()).is_possible(&keys)?;
        let mut attempts = self.key_use.begin(KnownCards::enrolled(cards), keys)?;
        loop {
            if challenge.as_ref().is_some_and(|challenge| challenge.is_old(Instant::now())) {
                challenge = fetch_challenge(self.access, registry, &purpose)?;
            }
            let signing = signing(registry, &purpose, challenge.as_ref());
            let signed = attempts.next(move |piv, key| signing.sign(piv, key))?;
            let Some(Signed { prepared, signature, issued_at, public }) = signed else { continue };
            match prepared.finish_with(&signature, is_signed) {
                Ok(token) => return Ok(SignedToken { token, issued_at, public }),
                Err(error) => attempts.was_wrong(Error::CardSignature(error))?,
            }
        }
    }

    /// The enrolled card that a signature would be asked of.
    ///
    /// # Errors
    /// [`Error::NoCard`], [`Error::WrongCard`], [`Error::Reader`].
    pub fn find_card(&self, registry: &Registry) -> Result<Serial, Error> {
        find::card(self.access, &KnownCards::enrolled(&registry.cards))
    }
}

fn signing(registry: &Registry, purpose: &Purpose, challenge: Option<&Challenge>) -> Signing {
    let challenge = challenge.map(|challenge| challenge.text.clone());
    Signing { registry: registry.clone(), purpose: purpose.clone(), challenge }
}

/// Whether tokens for this index URL and key subject can be made at all: better known before keys are made for them. It takes
/// a publish token with the longest crate name, and with a challenge as registries issue them.
///
/// # Errors
/// [`Error::Token`].
pub(crate) fn has_room(index: &IndexUrl, subject: Option<&str>) -> Result<(), Error> {
    const CHALLENGE: usize = 128;
    let public = PublicKey::from_uncompressed(&P384.generator())?;
    let mutation = Mutation::Publish {
        name: "n".repeat(64).parse()?,
        version: Version::new(0, 1, 0),
        checksum: "0".repeat(64).parse()?,
    };
    let claims = Claims {
        subject: subject.map(str::to_owned),
        challenge: Some("c".repeat(CHALLENGE)),
        ..Claims::mutate(Timestamp::now(), mutation)
    };
    Prepared::new(&public, &claims, &Footer::new(index.to_string(), public.id()))?;
    Ok(())
}

/// Whether a registry's nonce can be signed for so many keys at this index URL: better known before they are made.
///
/// # Errors
/// [`Error::Token`].
pub(crate) fn can_enroll(index: &IndexUrl, nonce: &str, keys: usize) -> Result<(), Error> {
    let public = PublicKey::from_uncompressed(&P384.generator())?;
    let enrollment = Enrollment {
        issued_at: Timestamp::now(),
        challenge: nonce.to_owned(),
        role: Role::Publish,
        keys: vec![public.id(); keys],
    };
    Prepared::enrollment(&public, &enrollment, &Footer::new(index.to_string(), public.id()))?;
    Ok(())
}

/// What the registry wants to see in a mutation token. A read token has none: cargo uses it more than once; an
/// enrollment has its nonce.
fn fetch_challenge(
    access: Access<'_>,
    registry: &Registry,
    purpose: &Purpose,
) -> Result<Option<Challenge>, Error> {
    let Purpose::Mutation(mutation) = purpose else { return Ok(None) };
    if registry.challenge == ChallengeSource::None {
        return Ok(None);
    }
    let name = escape(registry.display_name());
    let greeting = greeting::greet(&registry.index, mutation.name().as_str(), access.settings)
        .map_err(|source| Error::Challenge { registry: name.clone(), source })?;
    if let Some(clock) = greeting.clock {
        access.ui.warn(format_args!("{clock}; it may refuse the token"));
    }
    if greeting.challenge.is_none() {
        access.ui.note(format_args!(
            "`{name}` no longer issues challenges; if that is permanent: yk-cargo enroll {} --refresh",
            foreign_word(registry.display_name())
        ));
    }
    Ok(greeting.challenge.map(|text| Challenge { text, fetched: Instant::now() }))
}

/// A challenge and its age.
struct Challenge {
    text: String,
    fetched: Instant,
}

impl Challenge {
    fn is_old(&self, now: Instant) -> bool {
        now.duration_since(self.fetched) > CHALLENGE_KEEPS
    }
}

#[cfg(test)]
mod tests;
