//! The controls of one card.

use crate::fault::Fault;
use crate::pcscd::{Daemon, Hold, OutsideError};

/// One of the cards of a [`MockCard`](crate::MockCard). Panics as that does.
#[derive(Clone, Copy)]
pub struct OneCard<'a> {
    daemon: &'a Daemon,
    serial: Option<u32>,
}

impl<'a> OneCard<'a> {
    pub(super) fn new(daemon: &'a Daemon, serial: Option<u32>) -> Self {
        Self { daemon, serial }
    }

    /// A finger: for the command that waits, else for the next one.
    pub fn touch(&self) {
        done(self.daemon.touch(self.serial));
    }

    /// Pulls the YubiKey: card and reader vanish together.
    pub fn unplug(&self) {
        done(self.daemon.unplug(self.serial));
    }

    /// Puts it back.
    pub fn plug(&self) {
        done(self.daemon.plug(self.serial));
    }

    /// Takes the card out of its reader.
    pub fn remove(&self) {
        done(self.daemon.remove(self.serial));
    }

    /// Puts it back in.
    pub fn insert(&self) {
        done(self.daemon.insert(self.serial));
    }

    /// Another program resets the card.
    pub fn reset(&self) {
        done(self.daemon.reset(self.serial));
    }

    /// The card loses power until somebody connects.
    pub fn power_off(&self) {
        done(self.daemon.power_off(self.serial));
    }

    /// Another program has the card for itself alone.
    pub fn hold_exclusive(&self) {
        done(self.daemon.hold(Hold::Exclusive, self.serial));
    }

    /// Another program is in a transaction.
    pub fn hold_transaction(&self) {
        done(self.daemon.hold(Hold::Transaction, self.serial));
    }

    /// The other program is done.
    pub fn release(&self) {
        done(self.daemon.release(self.serial));
    }

    /// PIN tries left.
    pub fn pin_tries(&self) -> u8 {
        done(self.daemon.pin_tries(self.serial))
    }

    /// Sets the PIN tries left; 0 blocks the PIN.
    pub fn set_pin_tries(&self, left: u8) {
        done(self.daemon.set_pin_tries(left, self.serial));
    }

    /// Lets something go wrong.
    pub fn fault(&self, fault: Fault) {
        done(self.daemon.fault(fault, self.serial));
    }
}

fn done<T>(result: Result<T, OutsideError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("mock card: {error}"),
    }
}
