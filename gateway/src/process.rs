//! What the process asks of the system: that its memory stays its own, that no signal ends it unasked, and that it may have as
//! many files open as its connections need.

/// The files that one connection may need at a time: itself, an upload as it is received and as it is read again, its metadata or
/// the connection to the registry behind that takes it, and another connection that waits for its place.
const FILES_PER_CONNECTION: u64 = 5;
/// Those that need no connection: the database, the log, listeners, and some to spare.
const OTHER_FILES: u64 = 64;

/// The process may not have as many files open as it could need.
#[derive(Debug, thiserror::Error)]
#[error("{connections} `connections` can need {needed} open files, and this process may have {most}")]
pub(crate) struct TooFewFiles {
    connections: usize,
    needed: u64,
    most: u64,
}

impl TooFewFiles {
    /// What to do next.
    pub(crate) fn hint(&self) -> String {
        format!(
            "set LimitNOFILE={} in the service's unit, or raise the hard limit that `ulimit -Hn` shows; or set fewer \
             `connections` in the configuration",
            self.needed
        )
    }
}

/// Sees to it that no credential ends up in a core file, and that no other process of the same user can read this one's memory
/// (Linux). Where that cannot be had, the rest works all the same.
pub(crate) fn keep_memory_to_ourselves() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// From now on the signals that ask a server for nothing do nothing; they would end it. A file that would become longer than
/// `ulimit -f` allows is an error of whoever writes it then, and a change that cannot be written down is answered. std ignores
/// SIGPIPE.
///
/// # Errors
/// If the system does not let a signal be caught.
pub(crate) fn outlive_signals() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::Signal;
        let nobody_looks = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let timers = [Signal::ALARM, Signal::VTALARM, Signal::PROF];
        for signal in [Signal::USR1, Signal::USR2, Signal::XFSZ, Signal::IO].into_iter().chain(timers) {
            signal_hook::flag::register(signal.as_raw(), nobody_looks.clone())?;
        }
    }
    Ok(())
}

/// Sees to it that the process may have as many files open as so many connections can need, where the hard limit allows it.
///
/// # Errors
/// [`TooFewFiles`].
pub(crate) fn room_for(connections: usize) -> Result<(), TooFewFiles> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let each = u64::try_from(connections).unwrap_or(u64::MAX);
        let needed = each.saturating_mul(FILES_PER_CONNECTION).saturating_add(OTHER_FILES);
        let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: maximum.or(Some(needed)), maximum };
        let has_room =
            is_enough(current) || is_enough(maximum) && setrlimit(Resource::Nofile, raised).is_ok();
        if !has_room {
            let most = maximum.filter(|most| *most < needed).or(current).unwrap_or(needed);
            return Err(TooFewFiles { connections, needed, most });
        }
    }
    Ok(())
}
