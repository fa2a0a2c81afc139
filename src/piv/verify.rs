//! VERIFY and its state query (SP 800-73-4 part 2, 3.2.1).

use zeroize::Zeroizing;

use super::{
    Error, Piv, Status, Version,
    apdu::{Command, instruction},
    refusal,
};
use crate::piv::pin::Pin;

/// Key reference of the PIV application PIN.
const APPLICATION_PIN: u8 = 0x80;
/// On this firmware the state query forgets a verified PIN.
pub const QUERY_FORGETS_PIN: Version = Version::new(5, 3, 1);

/// What the card says about its PIN, at no cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinState {
    /// Some program has verified it since the card was last reset; keys with PIN policy "once" will work.
    Verified,
    /// Not verified; so many tries are left, 15 standing for 15 or more.
    Tries(u8),
    /// No tries are left.
    Blocked,
}

impl Piv<'_> {
    /// The state of the PIN. Costs no try.
    ///
    /// Firmware 5.3.1 forgets a verified PIN when asked, so there the tries are read from the metadata and
    /// [`PinState::Verified`] is never returned.
    ///
    /// # Errors
    /// [`Error::Refused`] for a status that VERIFY does not have.
    pub fn pin_state(&mut self) -> Result<PinState, Error> {
        if self.version()? == QUERY_FORGETS_PIN {
            return Ok(match self.pin_metadata()?.tries_left {
                0 => PinState::Blocked,
                tries => PinState::Tries(tries),
            });
        }
        let answer = self.exchange(&Command::new(instruction::VERIFY, 0x00, APPLICATION_PIN))?;
        match answer.status {
            Status::SuccessfulExecution => Ok(PinState::Verified),
            Status::VerificationFailed { tries: 0 } | Status::AuthenticationMethodBlocked => {
                Ok(PinState::Blocked)
            }
            Status::VerificationFailed { tries } => Ok(PinState::Tries(tries)),
            status => Err(refusal("VERIFY", status)),
        }
    }

    /// Verifies the PIN. A wrong one costs a try.
    ///
    /// # Errors
    /// [`Error::WrongPin`] with what is left, [`Error::PinBlocked`].
    pub fn verify_pin(&mut self, pin: &Pin) -> Result<(), Error> {
        let block = Zeroizing::new(pin.block().to_vec());
        let answer = self.exchange(&Command::new(instruction::VERIFY, 0x00, APPLICATION_PIN).data(block))?;
        match answer.status {
            Status::SuccessfulExecution => Ok(()),
            // The last wrong try is answered 63C0 by some firmware and 6983 by other.
            Status::VerificationFailed { tries: 0 } | Status::AuthenticationMethodBlocked => {
                Err(Error::PinBlocked)
            }
            Status::VerificationFailed { tries } => Err(Error::WrongPin { tries }),
            status => Err(refusal("VERIFY", status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piv::script::Script;

    const VERSION: (&str, &str) = ("00FD000000", "050704 9000");

    fn piv(card: &mut Script) -> Piv<'_> {
        Piv { card, version: None }
    }

    fn pin() -> Pin {
        Pin::new(Zeroizing::new("123456".to_owned())).unwrap()
    }

    #[test]
    fn asks_for_the_state_without_data() {
        for (status, state) in [
            ("9000", PinState::Verified),
            ("63C3", PinState::Tries(3)),
            ("63CF", PinState::Tries(15)),
            ("6302", PinState::Tries(2)),
            ("63C0", PinState::Blocked),
            ("6983", PinState::Blocked),
        ] {
            let mut card = Script::new(&[VERSION, ("00200080", status)]);
            assert_eq!(piv(&mut card).pin_state().unwrap(), state, "{status}");
            card.assert_finished();
        }
    }

    #[test]
    fn never_queries_firmware_5_3_1() {
        for (left, state) in [("02", PinState::Tries(2)), ("00", PinState::Blocked)] {
            let metadata = format!("0101FF 050101 060203{left} 9000");
            let mut card = Script::new(&[("00FD000000", "050301 9000"), ("00F7008000", &metadata)]);
            assert_eq!(piv(&mut card).pin_state().unwrap(), state);
            card.assert_finished();
        }
    }

    #[test]
    fn sends_the_padded_pin() {
        let verify = "0020008008313233343536FFFF";
        let mut card = Script::new(&[(verify, "9000"), (verify, "63C2"), (verify, "63C0"), (verify, "6983")]);
        assert!(piv(&mut card).verify_pin(&pin()).is_ok());
        assert!(matches!(piv(&mut card).verify_pin(&pin()), Err(Error::WrongPin { tries: 2 })));
        assert!(matches!(piv(&mut card).verify_pin(&pin()), Err(Error::PinBlocked)));
        assert!(matches!(piv(&mut card).verify_pin(&pin()), Err(Error::PinBlocked)));
        card.assert_finished();
    }

    #[test]
    fn other_statuses_are_refusals() {
        let mut card = Script::answers(&["6A80"]);
        let refused = piv(&mut card).verify_pin(&pin());
        assert!(matches!(
            refused,
            Err(Error::Refused { operation: "VERIFY", status: Status::IncorrectData })
        ));
    }
}
