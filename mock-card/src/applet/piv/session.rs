//! What the PIV application remembers until power loss, a reset, or the selection of another application.

use std::time::Duration;

use crate::applet::instruction::Authorization;
use crate::applet::policy::TouchPolicy;
use crate::applet::status::Status;

/// The security status (SP 800-73-4 part 2, 2.4).
#[derive(Default)]
pub(crate) struct Session {
    pub(super) pin_verified: bool,
    pub(super) just_verified: JustVerified,
    /// Whether a fingerprint was verified, on a YubiKey Bio.
    pub(super) fingerprint_verified: bool,
    pub(super) temporary_pin: Option<TemporaryPin>,
    pub(super) management_authenticated: bool,
    /// What the last command drew for the authentication of the management key.
    pub(super) pending: Option<Pending>,
    /// When a key of touch policy `Cached` was last touched.
    pub(super) touched_at: Option<Duration>,
}

/// A PIN that the card gives after a fingerprint, so that a program can verify again without one.
pub(super) type TemporaryPin = [u8; 16];

/// What the command before this one has verified.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JustVerified {
    pub(super) pin: bool,
    pub(super) fingerprint: bool,
}

/// What the card drew in the first step of an authentication, for comparison in the second.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    /// Mutual authentication: the client has to decrypt this.
    Witness(Vec<u8>),
    /// Single authentication: the client has to encrypt this.
    Challenge(Vec<u8>),
}

/// What a command that was accepted leads to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The data of the answer.
    Answer(Vec<u8>),
    /// An answer that waits for the touch policy.
    AfterTouch(Deferred),
}

/// An answer that is ready, and is given only once the touch policy of a key is met. It may be a refusal.
#[derive(Debug)]
pub(crate) struct Deferred {
    /// The slot of that key.
    pub(crate) slot: u8,
    pub(crate) touch: TouchPolicy,
    pub(crate) answer: Result<Vec<u8>, Status>,
    pub(crate) grant: Grant,
}

/// What is proven once a deferred answer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    Nothing,
    ManagementKey,
    Fingerprint { temporary_pin: Option<TemporaryPin> },
}

impl Session {
    /// Something has been proven.
    pub(super) fn grant(&mut self, grant: Grant) {
        match grant {
            Grant::Nothing => {}
            Grant::ManagementKey => self.management_authenticated = true,
            Grant::Fingerprint { temporary_pin } => {
                self.fingerprint_verified = true;
                self.just_verified.fingerprint = true;
                self.temporary_pin = temporary_pin;
            }
        }
    }

    /// Whether what an instruction needs has been proven.
    pub(super) fn require(&self, authorization: Authorization) -> Result<(), Status> {
        let is_met = match authorization {
            Authorization::Open => true,
            Authorization::ManagementKey => self.management_authenticated,
            Authorization::ManagementKeyAndPin => self.management_authenticated && self.pin_verified,
        };
        if is_met { Ok(()) } else { Err(Status::SecurityNotSatisfied) }
    }
}
