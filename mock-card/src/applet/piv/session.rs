//! What the PIV application remembers until power loss, a reset, or the selection of another application.

use std::time::Duration;

use crate::applet::instruction::Authorization;
use crate::applet::policy::TouchPolicy;
use crate::applet::status::Status;

/// The security status (SP 800-73-4 part 2, 2.4).
#[derive(Default)]
pub(crate) struct Session {
    pub(super) pin_verified: bool,
    /// Whether VERIFY was the command before this one.
    pub(super) pin_just_verified: bool,
    pub(super) management_authenticated: bool,
    /// What the last command drew for the authentication of the management key.
    pub(super) pending: Option<Pending>,
    /// When a key of touch policy `Cached` was last touched.
    pub(super) touched_at: Option<Duration>,
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
    /// Whether the management key counts as authenticated from then on.
    pub(crate) authenticates_management: bool,
}

impl Session {
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
