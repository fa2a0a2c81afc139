//! PC/SC: finding YubiKeys, waiting for one, and holding one in a single transaction. The only user of `pcsc`.
//!
//! PC/SC calls cannot be cancelled, and libpcsclite repeats some of them for ever while another program holds the
//! card (pcsc-lite, winscard_clnt.c: SCardBeginTransaction, SCardTransmit; SCardConnect waits in the daemon). So worker
//! threads make them, and the caller waits for them no longer than [`Deadlines`] allow. Each has a context of its own,
//! because a blocked call blocks its whole context. After [`Error::Timeout`] a thread may still be blocked; it is left
//! alone, the next call gets another one, and the process can simply exit.

mod discovery;
mod error;
mod failure;
mod looks;
mod session;
mod worker;

use std::{
    any::Any,
    ffi::{CStr, CString},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Mutex, PoisonError,
        mpsc::{RecvTimeoutError, Sender, SyncSender, channel, sync_channel},
    },
    time::{Duration, Instant},
};

pub(crate) use self::error::COMM_DATA_LOST;
pub use self::error::{Error, Waiting};
pub(crate) use self::looks::Looks;
use self::worker::{Service, Worker};
use crate::piv::Piv;

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For the service to answer, and for a card to be ours: connect, begin the transaction, select PIV. Longer than
    /// another cargo holds the card for a touch.
    pub connect: Duration,
    /// For a person to plug a YubiKey in.
    pub insertion: Duration,
    /// For a person to touch it; a card gives up by itself after about 15 seconds.
    pub touch: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        let [connect, insertion, touch] = [25, 30, 20].map(Duration::from_secs);
        Deadlines { connect, insertion, touch }
    }
}

/// After this time a person is told that another program is waited for.
pub(crate) const SILENCE: Duration = Duration::from_secs(1);

/// The name PC/SC gives a reader. It changes with the order of plugging and identifies no card; another
/// program may have chosen it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderName {
    name: CString,
    contactless: bool,
}

impl ReaderName {
    fn as_c_str(&self) -> &CStr {
        &self.name
    }

    /// Whether the card lies on an NFC reader, where nobody can touch it.
    pub fn is_contactless(&self) -> bool {
        self.contactless
    }
}

impl fmt::Display for ReaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.to_string_lossy().fmt(f)
    }
}

/// What to do with a card: how long, and whether twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long the work may take once the card is ours; [`Deadlines::touch`] where a person has to touch it.
    pub limit: Duration,
    /// What to do if another program resets the card during an operation.
    pub after_reset: AfterReset,
}

/// What to do if another program resets the card during an operation. A reset before the work begins is no
/// matter: the connection is made anew, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterReset {
    /// Do the work again from its beginning, once: for work that changes nothing on the card. A PIN that was
    /// accepted is verified again; a wrong PIN is the work's own error, which is never repeated.
    Repeat,
    /// Give up with [`Error::Reset`]: the work may have changed something.
    GiveUp,
}

/// A card that is kept from being powered down. The thread with the connection ends once nobody can tell it to.
#[derive(Debug)]
pub(crate) struct Powered {
    _end: Sender<()>,
    _worker: Worker,
}

/// The way to the readers of this computer.
#[derive(Debug)]
pub struct Readers {
    /// Those that have nothing to do.
    idle: Mutex<Vec<Worker>>,
    deadlines: Deadlines,
    waiting: fn(&ReaderName),
}

impl Readers {
    /// Makes no PC/SC call yet.
    pub fn start(deadlines: Deadlines) -> Readers {
        Readers { idle: Mutex::default(), deadlines, waiting: |_| {} }
    }

    /// The same, and `waiting` is called when another program has kept a card for a second.
    #[must_use]
    pub fn telling(self, waiting: fn(&ReaderName)) -> Readers {
        Readers { waiting, ..self }
    }

    /// The deadlines given at the start.
    pub fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// Readers with a YubiKey in them: by the reader's name, or by the card's historical bytes, which a
    /// YubiKey shows in somebody else's NFC reader. Nothing is sent to any card.
    ///
    /// # Errors
    /// No YubiKey is no error, but an empty list.
    pub fn yubikeys(&self) -> Result<Vec<ReaderName>, Error> {
        self.ask(self.deadlines.connect, Waiting::ForService, |service| {
            discovery::yubikeys(service.context()?)
        })
    }

    /// Waits until there is a YubiKey that is not one of `known`, and gives all that are there then. One that is
    /// pulled out and plugged in again is no longer known.
    ///
    /// # Errors
    /// [`Error::NoReader`] after [`Deadlines::insertion`].
    pub fn wait_for_insertion(&self, known: &[ReaderName]) -> Result<Vec<ReaderName>, Error> {
        let known = known.to_vec();
        let insertion = self.deadlines.insertion;
        self.ask(self.deadlines.connect + insertion, Waiting::ForService, move |service| {
            discovery::wait(service.context()?, known, Instant::now() + insertion)
        })
    }

    /// Takes the card in one transaction, selects PIV, does the work, and leaves the card as it is: connected
    /// shared, ended and disconnected without a reset, also after errors and panics.
    ///
    /// The card has [`Deadlines::connect`] to become ours, then the work has [`Terms::limit`]. Work for which the
    /// caller has stopped waiting is not begun. A panic of the work goes on in the caller.
    ///
    /// # Errors
    /// What the work returned; [`Error`] where PC/SC itself failed, also if that happened in the middle of the
    /// work, whatever the work made of it.
    pub fn with_card<T, E>(
        &self,
        reader: &ReaderName,
        terms: Terms,
        mut work: impl FnMut(&mut Piv<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let name = reader.clone();
        let patience = self.deadlines.connect;
        let worker = self.worker();
        // Without a buffer: a step counts as told only when the caller has taken it.
        let (tell, told) = sync_channel(0);
        worker.submit(move |service| {
            let outcome = caught(|| session::run(service, &name, patience, terms, &mut work, &Steps(&tell)));
            let _ = tell.send(Step::Done(outcome));
        })?;

        let mut waiting = Waiting::ForCard;
        let mut until = Instant::now() + patience;
        let mut notice = Some(Instant::now() + SILENCE);
        loop {
            let wake = notice.map_or(until, |notice| notice.min(until));
            match told.recv_timeout(wake.saturating_duration_since(Instant::now())) {
                Ok(Step::Connecting) => (waiting, until) = (Waiting::ForCard, Instant::now() + patience),
                Ok(Step::Begun) => {
                    (waiting, until) = (Waiting::ForWork, Instant::now() + terms.limit);
                    notice = None;
                }
                Ok(Step::Done(outcome)) => {
                    self.is_idle(worker);
                    return outcome.unwrap_or_else(|panic| resume_unwind(panic));
                }
                Err(RecvTimeoutError::Timeout) if wake < until => {
                    notice = None;
                    (self.waiting)(reader);
                }
                Err(RecvTimeoutError::Timeout) => {
                    worker.abandon();
                    return Err(Error::Timeout { waiting }.into());
                }
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Stopped.into()),
            }
        }
    }

    /// Keeps a card from being powered down until the answer is dropped: the service does that when nobody has been connected for
    /// some seconds, and the card forgets its PIN then. Nobody else is kept out, since no transaction is held. Where it cannot be
    /// done, the PIN is asked for again.
    pub(crate) fn keep_powered(&self, reader: &ReaderName) -> Powered {
        let (end, ended) = channel::<()>();
        let (name, patience) = (reader.clone(), self.deadlines.connect);
        let worker = self.worker();
        let _ = worker.submit(move |service| {
            let _ = service.watch(|service| {
                let _held = session::Held::connect(service.context()?, &name, patience)?;
                let _ = ended.recv();
                Ok(())
            });
        });
        Powered { _end: end, _worker: worker }
    }

    /// Takes the card as [`with_card`](Self::with_card) does, for work that changes nothing and needs no touch.
    ///
    /// # Errors
    /// Those of [`with_card`](Self::with_card).
    pub fn look<T, E>(
        &self,
        reader: &ReaderName,
        work: impl FnMut(&mut Piv<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let terms = Terms { limit: self.deadlines.connect, after_reset: AfterReset::Repeat };
        self.with_card(reader, terms, work)
    }

    /// Looks at several cards at once, each from a thread of its own: one that is busy or mute keeps nobody from the
    /// others. The work is as for [`look`](Self::look).
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub(crate) fn look_at_all<T, E>(
        &self,
        readers: &[ReaderName],
        work: impl FnMut(&mut Piv<'_>) -> Result<T, E> + Clone + Send + 'static,
    ) -> Result<Looks<'_, T, E>, Error>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        Looks::begin(self, readers, work)
    }

    fn worker(&self) -> Worker {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(Worker::start)
    }

    fn is_idle(&self, worker: Worker) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
    }

    fn ask<T: Send + 'static>(
        &self,
        deadline: Duration,
        waiting: Waiting,
        question: impl FnOnce(&mut Service) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (tell, told) = sync_channel(1);
        let worker = self.worker();
        worker.submit(move |service| {
            let _ = tell.send(caught(|| service.watch(question)));
        })?;
        match told.recv_timeout(deadline) {
            Ok(outcome) => {
                self.is_idle(worker);
                outcome.unwrap_or_else(|panic| resume_unwind(panic))
            }
            Err(RecvTimeoutError::Timeout) => {
                worker.abandon();
                Err(Error::Timeout { waiting })
            }
            Err(RecvTimeoutError::Disconnected) => Err(Error::Stopped),
        }
    }
}

type Caught<T> = Result<T, Box<dyn Any + Send>>;

/// A panic must not end the worker, which others still need; it goes on in the caller's thread.
fn caught<T>(job: impl FnOnce() -> T) -> Caught<T> {
    catch_unwind(AssertUnwindSafe(job))
}

/// How far the worker has come with a card.
enum Step<T, E> {
    Connecting,
    Begun,
    Done(Caught<Result<T, E>>),
}

struct Steps<'a, T, E>(&'a SyncSender<Step<T, E>>);

impl<T, E> session::Progress for Steps<'_, T, E> {
    fn connecting(&self) -> Result<(), Error> {
        self.0.send(Step::Connecting).map_err(|_| Error::Stopped)
    }

    fn begun(&self) -> Result<(), Error> {
        self.0.send(Step::Begun).map_err(|_| Error::Stopped)
    }
}
