//! The use of a private key: GENERAL AUTHENTICATE (SP 800-73-4 part 2, 3.2.4).

use super::session::{Deferred, Grant, JustVerified, Outcome};
use super::{Operation, Piv};
use crate::applet::key::Algorithm;
use crate::applet::policy::{PinPolicy, TouchPolicy};
use crate::applet::status::Status;
use crate::applet::tlv::{self, tag};

impl Piv {
    /// Signs, decrypts, or agrees on a secret, once the key's policies are met.
    pub(super) fn use_key(
        &mut self,
        slot: u8,
        algorithm: Algorithm,
        operation: &Operation<'_>,
        just_verified: JustVerified,
    ) -> Result<Outcome, Status> {
        let key = self.key(slot).ok_or(Status::WrongData)?;
        if algorithm != key.private.algorithm() {
            return Err(Status::WrongData);
        }
        let has_pin = match key.pin {
            PinPolicy::Never => true,
            PinPolicy::Once => self.session.pin_verified,
            PinPolicy::Always => just_verified.pin,
            PinPolicy::MatchOnce => self.session.pin_verified || self.session.fingerprint_verified,
            PinPolicy::MatchAlways => just_verified.pin || just_verified.fingerprint,
        };
        let needs_touch = key.touch != TouchPolicy::Never;
        if !has_pin && !self.profile.touch_comes_first() || needs_touch && !self.profile.can_be_touched() {
            return Err(Status::SecurityNotSatisfied);
        }
        let result = match *operation {
            Operation::Sign(challenge) => key.private.sign(challenge)?,
            Operation::Agree(point) => key.private.agree(point)?,
        };
        let response =
            tlv::element(&[tag::AUTHENTICATION_TEMPLATE], &tlv::element(&[tag::RESPONSE], &result));
        let answer = if has_pin { Ok(response) } else { Err(Status::SecurityNotSatisfied) };
        Ok(Outcome::AfterTouch(Deferred { slot, touch: key.touch, answer, grant: Grant::Nothing }))
    }
}
