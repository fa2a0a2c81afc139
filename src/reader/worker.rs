//! A thread that makes PC/SC calls, and the context that it owns.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use pcsc::{Context, Scope};

use super::{Error, failure::asked};

type Job = Box<dyn FnOnce(&mut Service) + Send>;

/// How long a dropped handle waits for the context to be released.
const FAREWELL: Duration = Duration::from_millis(200);

/// A handle to the thread; when it is dropped, the thread ends after the job in hand.
#[derive(Debug)]
pub(super) struct Worker {
    jobs: Option<Sender<Job>>,
    /// `None` for a thread that nobody waits for.
    ended: Option<Receiver<()>>,
}

impl Worker {
    pub(super) fn start() -> Worker {
        let (submit, jobs) = channel::<Job>();
        let (end, ended) = channel();
        thread::spawn(move || {
            let _end: Sender<()> = end;
            let mut service = Service { context: None };
            for job in jobs {
                job(&mut service);
            }
        });
        Worker { jobs: Some(submit), ended: Some(ended) }
    }

    /// Jobs are done one after the other, after one that is blocked: never.
    pub(super) fn submit(&self, job: impl FnOnce(&mut Service) + Send + 'static) -> Result<(), Error> {
        let jobs = self.jobs.as_ref().ok_or(Error::Stopped)?;
        jobs.send(Box::new(job)).map_err(|_| Error::Stopped)
    }

    /// Leaves a thread alone whose job may be blocked. It ends by itself when the job does.
    pub(super) fn abandon(mut self) {
        self.ended = None;
    }
}

/// The context is released in order, unless a call blocks: then the daemon sees the connection end with the process.
impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(ended) = &self.ended {
            let _ = ended.recv_timeout(FAREWELL);
        }
    }
}

/// The connection to the PC/SC service.
pub(super) struct Service {
    context: Option<Context>,
}

impl Service {
    /// Connects to the service at first use.
    pub(super) fn context(&mut self) -> Result<&Context, Error> {
        match &mut self.context {
            Some(context) => Ok(context),
            none => Ok(none.insert(asked(|| Context::establish(Scope::User))?)),
        }
    }

    /// Does something with the service, and lets go of a context that has died: a service that stops when idle
    /// is started again by the next connection.
    pub(super) fn watch<T>(
        &mut self,
        act: impl FnOnce(&mut Service) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let result = act(self);
        if let Err(Error::NoService) = result {
            self.context = None;
        }
        result
    }
}
