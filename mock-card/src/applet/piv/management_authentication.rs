//! The management key: how a client proves that it has it (SP 800-73-4 part 2, 3.2.4 and appendix A.1), and Yubico's
//! SET MANAGEMENT KEY.

use super::session::{Deferred, Grant, Outcome, Pending};
use super::{Authentication, Piv};
use crate::applet::management_key::{ManagementAlgorithm, ManagementKey};
use crate::applet::policy::TouchPolicy;
use crate::applet::slot;
use crate::applet::status::Status;
use crate::applet::tlv::{self, tag};

impl Piv {
    /// GENERAL AUTHENTICATE with slot 9B. Mutual authentication asks for a witness first, single authentication for a
    /// challenge. What was drawn is `pending` in the next call, and in that one only.
    pub(super) fn authenticate_management(
        &mut self,
        algorithm: ManagementAlgorithm,
        step: &Authentication<'_>,
        pending: Option<Pending>,
    ) -> Result<Outcome, Status> {
        let key = self.memory().management.clone();
        if algorithm != key.algorithm {
            return Err(Status::WrongData);
        }
        match *step {
            Authentication::RequestWitness => {
                let witness = self.draw(key.algorithm.block_length());
                let encrypted = key.encrypt(&witness);
                self.session.pending = Some(Pending::Witness(witness));
                Ok(Outcome::Answer(template(tag::WITNESS, &encrypted)))
            }
            Authentication::RequestChallenge => {
                let challenge = self.draw(key.algorithm.block_length());
                self.session.pending = Some(Pending::Challenge(challenge.clone()));
                Ok(Outcome::Answer(template(tag::CHALLENGE, &challenge)))
            }
            Authentication::Mutual { witness: decrypted, challenge } => {
                let Some(Pending::Witness(witness)) = pending else {
                    return Err(Status::ConditionsNotSatisfied);
                };
                if challenge.len() != key.algorithm.block_length() {
                    return Err(Status::WrongData);
                }
                let answer = template(tag::RESPONSE, &key.encrypt(challenge));
                authenticated(&key, decrypted == witness, answer)
            }
            Authentication::Single { response } => {
                let Some(Pending::Challenge(challenge)) = pending else {
                    return Err(Status::ConditionsNotSatisfied);
                };
                authenticated(&key, response == key.encrypt(&challenge), Vec::new())
            }
        }
    }

    /// SET MANAGEMENT KEY.
    pub(super) fn set_management_key(
        &mut self,
        algorithm: ManagementAlgorithm,
        value: &[u8],
        touch: TouchPolicy,
    ) -> Result<(), Status> {
        if !self.profile.has_management_algorithm(algorithm) {
            return Err(Status::WrongData);
        }
        let key = ManagementKey::new(algorithm, value, touch).ok_or(Status::WrongData)?;
        self.memory_mut().management = key;
        Ok(())
    }
}

/// The authentication holds once the key's touch policy is met, too.
fn authenticated(key: &ManagementKey, is_proven: bool, answer: Vec<u8>) -> Result<Outcome, Status> {
    if !is_proven {
        return Err(Status::SecurityNotSatisfied);
    }
    Ok(Outcome::AfterTouch(Deferred {
        slot: slot::MANAGEMENT,
        touch: key.touch,
        answer: Ok(answer),
        grant: Grant::ManagementKey,
    }))
}

/// A dynamic authentication template with one element.
fn template(element: u8, value: &[u8]) -> Vec<u8> {
    tlv::element(&[tag::AUTHENTICATION_TEMPLATE], &tlv::element(&[element], value))
}
