//! One connection, one transaction, one selected application; and the card left as it was found.

use std::{
    mem, thread,
    time::{Duration, Instant},
};

use pcsc::{Card, Context, Disposition, Protocols, ShareMode, Transaction};
use zeroize::Zeroizing;

use super::{
    AfterReset, Error, ReaderName, Terms,
    failure::{Failure, asked},
    worker::Service,
};
use crate::piv::{self, Piv, Transmit, TransportError};

/// Other programs often hold a card exclusively for a moment only.
const BUSY_FOR_A_MOMENT: Duration = Duration::from_secs(2);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Tells the waiting caller how far things are.
///
/// # Errors
/// [`Error::Stopped`] if nobody waits any more; then nothing more is done.
pub(super) trait Progress {
    fn connecting(&self) -> Result<(), Error>;
    fn begun(&self) -> Result<(), Error>;
}

/// Does the work on a card; after a reset by another program once more, if the terms allow it.
pub(super) fn run<T, E: From<Error>>(
    service: &mut Service,
    reader: &ReaderName,
    patience: Duration,
    terms: Terms,
    work: &mut dyn FnMut(&mut Piv<'_>) -> Result<T, E>,
    progress: &dyn Progress,
) -> Result<T, E> {
    let mut repeated = false;
    loop {
        let mut begun = false;
        let attempt = service.watch(|service| {
            progress.connecting()?;
            let mut held = Held::connect(service.context()?, reader, patience)?;
            let transaction = held.begin()?;
            on_card(&transaction, reader.is_contactless(), work, || {
                progress.begun()?;
                begun = true;
                Ok(())
            })
        });
        match attempt {
            Ok(result) => return result,
            Err(Error::Reset) if !repeated && (!begun || terms.after_reset == AfterReset::Repeat) => {
                repeated = true
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The outer error is that of the transport, whatever the work made of it.
fn on_card<T, E>(
    transaction: &Transaction<'_>,
    contactless: bool,
    work: &mut dyn FnMut(&mut Piv<'_>) -> Result<T, E>,
    begin: impl FnOnce() -> Result<(), Error>,
) -> Result<Result<T, E>, Error> {
    let mut wire = Wire { transaction, failure: None };
    let mut piv = match Piv::select(&mut wire) {
        Ok(piv) => piv,
        Err(piv::Error::NotAvailable) => return Err(Error::PivDisabled { contactless }),
        Err(error) => return Err(wire.failure.map_or(Error::Select(error), Error::from)),
    };
    begin()?;
    let result = work(&mut piv);
    match (result, wire.failure) {
        (Err(_), Some(failure)) => Err(failure.into()),
        (result, _) => Ok(result),
    }
}

/// A connected card. `pcsc` resets a card that is dropped, which would forget the PIN for every program.
pub(super) struct Held(Option<Card>);

impl Held {
    pub(super) fn connect(context: &Context, reader: &ReaderName, patience: Duration) -> Result<Held, Error> {
        // Within half of the patience: the rest is for the transaction.
        let until = Instant::now() + BUSY_FOR_A_MOMENT.min(patience / 2);
        loop {
            let protocols = Protocols::T0 | Protocols::T1;
            match asked(|| context.connect(reader.as_c_str(), ShareMode::Shared, protocols)) {
                Ok(card) => return Ok(Held(Some(card))),
                Err(Failure::Pcsc(pcsc::Error::SharingViolation)) if Instant::now() < until => {
                    thread::sleep(TRY_AGAIN_AFTER)
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The transaction ends with LEAVE when it is dropped.
    fn begin(&mut self) -> Result<Transaction<'_>, Error> {
        let card = self.0.as_mut().expect("a card is held until it is dropped");
        Ok(asked(|| card.transaction())?)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(card) = self.0.take() else { return };
        // The drop of one that is still there would try again with RESET. The handle is dead anyway.
        let _ = asked(|| {
            card.disconnect(Disposition::LeaveCard).map_err(|(card, error)| {
                mem::forget(card);
                error
            })
        });
    }
}

/// Carries APDUs, and remembers what PC/SC said when it failed.
struct Wire<'a> {
    transaction: &'a Transaction<'a>,
    failure: Option<Failure>,
}

impl Transmit for Wire<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let mut buffer = Zeroizing::new([0; pcsc::MAX_BUFFER_SIZE]);
        let answer = asked(|| self.transaction.transmit(command, &mut *buffer));
        answer.map(<[u8]>::to_vec).map_err(|failure| {
            self.failure = Some(failure.clone());
            TransportError::new(Error::from(failure))
        })
    }
}
