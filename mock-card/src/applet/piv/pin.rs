//! PIN and PUK: VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER (SP 800-73-4 part 2, 3.2.1 to 3.2.3), and Yubico's
//! SET PIN RETRIES.

use super::Piv;
use crate::applet::reference_data::{PaddedValue, ReferenceData, is_acceptable_pin, is_acceptable_puk};
use crate::applet::status::Status;

impl Piv {
    /// VERIFY. A wrong PIN ends an earlier verification.
    pub(super) fn verify_pin(&mut self, pin: &PaddedValue) -> Result<(), Status> {
        let last_try = self.profile.traits.last_try;
        self.session.pin_verified = false;
        self.memory_mut().pin.verify(pin, last_try)?;
        self.session.pin_verified = true;
        self.session.just_verified.pin = true;
        Ok(())
    }

    /// VERIFY without data: success while the PIN is verified, else the number of tries that are left.
    pub(super) fn query_pin(&mut self) -> Result<(), Status> {
        let was_verified = self.session.pin_verified;
        if self.profile.query_forgets_pin() {
            self.session.pin_verified = false;
        }
        match self.memory().pin.left {
            _ if was_verified && self.profile.query_tells_verified() => Ok(()),
            0 => Err(Status::Blocked),
            left => Err(Status::TriesLeft(left)),
        }
    }

    /// VERIFY with P1 = FF.
    pub(super) fn log_out(&mut self) -> Result<(), Status> {
        if !self.profile.has_logout() {
            return Err(Status::WrongParameters);
        }
        self.session.pin_verified = false;
        Ok(())
    }

    /// CHANGE REFERENCE DATA for the PIN. A wrong old PIN ends an earlier verification.
    pub(super) fn change_pin(&mut self, old: &PaddedValue, new: &PaddedValue) -> Result<(), Status> {
        let last_try = self.profile.traits.last_try;
        let verified = self.memory_mut().pin.verify(old, last_try);
        self.session.pin_verified &= verified.is_ok();
        verified?;
        self.replace_pin(new)
    }

    /// CHANGE REFERENCE DATA for the PUK.
    pub(super) fn change_puk(&mut self, old: &PaddedValue, new: &PaddedValue) -> Result<(), Status> {
        let last_try = self.profile.traits.last_try;
        self.memory_mut().puk.verify(old, last_try)?;
        if !is_acceptable_puk(new, self.profile) {
            return Err(Status::ConditionsNotSatisfied);
        }
        self.memory_mut().puk.replace(*new);
        Ok(())
    }

    /// RESET RETRY COUNTER: a new PIN by means of the PUK. The new PIN does not count as verified.
    pub(super) fn unblock_pin(&mut self, puk: &PaddedValue, pin: &PaddedValue) -> Result<(), Status> {
        let last_try = self.profile.traits.last_try;
        self.memory_mut().puk.verify(puk, last_try)?;
        self.replace_pin(pin)?;
        self.session.pin_verified = false;
        Ok(())
    }

    /// SET PIN RETRIES: both values go back to their defaults. Where there is no PUK, there is none afterwards.
    pub(super) fn set_pin_retries(&mut self, pin: u8, puk: u8) {
        let has_puk = self.profile.has_puk();
        let memory = self.memory_mut();
        memory.pin = ReferenceData::default_pin(pin);
        if has_puk {
            memory.puk = ReferenceData::default_puk(puk);
        }
        self.session.pin_verified = false;
    }

    fn replace_pin(&mut self, new: &PaddedValue) -> Result<(), Status> {
        if !is_acceptable_pin(new, self.profile) {
            return Err(Status::ConditionsNotSatisfied);
        }
        self.memory_mut().pin.replace(*new);
        Ok(())
    }
}
