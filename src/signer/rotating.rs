//! Having the keys of two cards sign that the second takes the place of the first.
//!
//! What they sign is the statement of [`crate::trust::statement`], which begins with a purpose of its own: no token's bytes are one.

use sha2::{Digest as _, Sha384};

use super::Signer;
use super::signing::private_key;
use crate::card::announcement::Announcement;
use crate::card::find;
use crate::card::key_use::KeyUse;
use crate::card::known::KnownCards;
use crate::enrollment::{Card, Key, Registry};
use crate::error::Error;
use crate::signature::is_signed;
use crate::text::escape;
use crate::trust::{Rotation, Scope, statement};

impl Signer<'_> {
    /// Has the publish keys of both cards sign that the second one counts as the first one does, for the crates as they are written.
    /// The cards may be plugged in at once, or one after the other where somebody is there to do it.
    ///
    /// # Errors
    /// [`Error::NoKeyForRole`]; [`Error::Usage`] if both cards have one key; as [`sign`](Self::sign).
    pub(crate) fn rotate(
        &self,
        registry: &Registry,
        crates: (Scope, String),
        [from, to]: [&Card; 2],
    ) -> Result<Rotation, Error> {
        let key = |card: &Card| card.key(true).copied().ok_or_else(|| Error::no_key(registry, true));
        let (old, new) = (key(from)?, key(to)?);
        if old.public == new.public {
            return Err(Error::Usage("--from and --to must be two cards with a key each"));
        }
        let keys = [old.public, new.public];
        let signed = statement(&registry.index, &crates.1, &keys[0], &keys[1]);
        let what = format!(
            "signing that the key of {} replaces the key of {} for the crate {} at `{}`",
            to.display_name(),
            from.display_name(),
            escape(&crates.1),
            escape(registry.display_name()),
        );
        let sign = |card: &Card, key| {
            let text = format!("{what}, with YubiKey {}", card.serial);
            let (registry, card_name) = (escape(registry.display_name()), card.label.clone());
            let announcement = Announcement { text, registry, card: card_name, mutation: None };
            self.state(card, key, &signed, announcement)
        };
        let signatures = [sign(from, old)?, sign(to, new)?];
        Ok(Rotation::new(registry.index.to_string(), crates, keys, signatures))
    }

    /// Has one card sign it.
    fn state(
        &self,
        card: &Card,
        key: Key,
        signed: &[u8],
        announcement: Announcement,
    ) -> Result<[u8; 96], Error> {
        let cards = KnownCards::enrolled([card]);
        find::wait_for(self.access, &cards)?;
        let digest: [u8; 48] = Sha384::digest(signed).into();
        // The PIN command is asked for one PIN of each card.
        let mut key_use = KeyUse::new(self.access);
        let mut attempts = key_use.begin(cards, vec![private_key(card, key, Some(announcement))])?;
        loop {
            let signature = attempts.next(move |piv, key| Ok(piv.sign_p384(key.slot, &digest)?))?;
            let Some(signature) = signature else { continue };
            if is_signed(key.public.as_bytes(), signed, &signature) {
                return Ok(signature);
            }
            attempts.was_wrong(Error::CardSignature(asymmetric_token::Error::BadSignature))?;
        }
    }
}
