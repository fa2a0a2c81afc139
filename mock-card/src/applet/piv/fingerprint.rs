//! VERIFY with a fingerprint (Yubico, "YubiKey Bio Multi-protocol Edition"). Every touch is taken for a finger that
//! matches.

use super::Piv;
use super::session::{Deferred, Grant, Outcome, TemporaryPin};
use crate::applet::policy::TouchPolicy;
use crate::applet::slot;
use crate::applet::status::Status;

/// The number of fingerprints that may fail to match.
pub(super) const TRIES: u8 = 3;

impl Piv {
    /// The number of tries that are left.
    pub(super) fn query_fingerprint(&self) -> Result<(), Status> {
        self.require_fingerprints()?;
        Err(Status::TriesLeft(TRIES))
    }

    /// Waits for a finger. If a temporary PIN is wanted, it is the answer.
    pub(super) fn verify_fingerprint(&mut self, wants_temporary_pin: bool) -> Result<Outcome, Status> {
        self.require_fingerprints()?;
        let mut temporary_pin = None;
        if wants_temporary_pin {
            let mut pin = TemporaryPin::default();
            (self.random())(&mut pin);
            temporary_pin = Some(pin);
        }
        Ok(Outcome::AfterTouch(Deferred {
            slot: slot::FINGERPRINT,
            touch: TouchPolicy::Always,
            answer: Ok(temporary_pin.map_or(Vec::new(), |pin| pin.to_vec())),
            grant: Grant::Fingerprint { temporary_pin },
        }))
    }

    /// Compares with the temporary PIN. A wrong one makes it invalid.
    pub(super) fn verify_temporary_pin(&mut self, pin: &TemporaryPin) -> Result<(), Status> {
        self.require_fingerprints()?;
        if self.session.temporary_pin != Some(*pin) {
            self.session.temporary_pin = None;
            return Err(Status::TriesLeft(TRIES));
        }
        self.session.fingerprint_verified = true;
        self.session.just_verified.fingerprint = true;
        Ok(())
    }

    fn require_fingerprints(&self) -> Result<(), Status> {
        if self.profile.is_bio() { Ok(()) } else { Err(Status::ReferenceNotFound) }
    }
}
