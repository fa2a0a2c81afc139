//! The proof of a publish at a registry that gives none: signed right before the registry's token is opened.
//!
//! It is the ordinary publish token, for the index URL that cargo passes on. Whether the publish comes to anything is not known here, so
//! the proof is pending until the index has this very file.

use asymmetric_token::Mutation;

use super::Provider;
use crate::card::access;
use crate::card::asks::Asks;
use crate::enrollment::{Enrollments, Registry};
use crate::error::Error;
use crate::piv::PinState;
use crate::proof::{Pending, Proof};
use crate::settings::Settings;
use crate::signer::Signer;
use crate::text::escape;

impl Provider<'_> {
    /// Signs and keeps it. Whatever stops that stops the publish: the token is not opened then.
    pub(super) fn prove(
        &self,
        registry: &Registry,
        enrollments: &Enrollments,
        mutation: &Mutation,
    ) -> Result<(), Error> {
        let pending = Pending::in_cargo_home(self.cargo_home);
        pending.make()?;
        let takes = takes(registry, enrollments).map(|asks| format!(": it takes {asks}")).unwrap_or_default();
        self.ui.aloud().say(format_args!(
            "signing a proof of this publish, then opening the token of `{}`{takes}",
            escape(registry.display_name())
        ));
        let settings = Settings::load(self.cargo_home)?;
        let readers = access::readers(&settings.wait);
        let signed = Signer::new(&readers, &settings, self.ui).sign(registry, Some(mutation.clone()))?;
        let bytes = Proof::unlogged(&registry.index, mutation, &signed.token, &signed.public);
        let proof = Proof::parse(&bytes)?;
        pending.add(&proof, &bytes)?;
        self.ui.note(format_args!(
            "after it is published, this saves its proof: {}",
            proof.save_command(registry)
        ));
        Ok(())
    }
}

/// Where one card has both keys, what they ask for together.
fn takes(registry: &Registry, enrollments: &Enrollments) -> Option<Asks> {
    registry.cards.iter().find_map(|card| {
        let token = enrollments.sealing_keys.iter().find(|key| key.serial == card.serial)?;
        Some(Asks::proving(card.key(true)?, token, PinState::Tries(u8::MAX)))
    })
}
