//! What is sent to all processes of a server at once.

use std::fs;
use std::path::Path;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use super::Cluster;

/// The processes of a server, all of them stopped.
pub(crate) struct Frozen(Vec<u32>);

impl Cluster {
    /// SIGSTOP. Its connections stay, and nothing is said on them.
    pub(crate) fn freeze(&self) -> Frozen {
        let postmaster = self.postmaster();
        send(postmaster, Signal::STOP);
        // From now on it starts nobody who would be missed.
        let state = format!("/proc/{postmaster}/stat");
        while !fs::read_to_string(&state).unwrap().contains(") T ") {}
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap();
        let all: Vec<_> =
            children.split_whitespace().map(|pid| pid.parse().unwrap()).chain([postmaster]).collect();
        all.iter().for_each(|process| send(*process, Signal::STOP));
        Frozen(all)
    }

    /// SIGKILL: nothing is said to anybody, and nothing is written any more.
    pub(crate) fn kill(&self) {
        let Frozen(all) = self.freeze();
        all.iter().for_each(|process| send(*process, Signal::KILL));
        // What has ended and was not waited for has no folder.
        while all.iter().any(|process| Path::new(&format!("/proc/{process}/cwd")).exists()) {
            thread::yield_now();
        }
    }
}

impl Frozen {
    /// SIGCONT.
    pub(crate) fn go_on(self) {
        let Self(all) = self;
        all.iter().for_each(|process| send(*process, Signal::CONT));
    }
}

fn send(process: u32, signal: Signal) {
    // A child may have ended by itself.
    let _ = kill_process(Pid::from_raw(process.try_into().unwrap()).unwrap(), signal);
}
