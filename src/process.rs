//! Processes: the programs that we run, and our own end.

pub(crate) mod bounded;
pub(crate) mod child;
pub mod secret_program;

/// Ends the process at once, without the exit handlers of C libraries: libpcsclite's takes apart lists that a blocked
/// call in another thread still walks (seen as a segmentation fault after a good answer). Nothing of ours is buffered.
pub fn leave(status: i32) -> ! {
    #[cfg(unix)]
    signal_hook::low_level::exit(status);
    #[cfg(not(unix))]
    std::process::exit(status)
}

/// Sees to it that no PIN and no token ends up in a core file, and that no other process of the same user can read this one's
/// memory (Linux). If the system refuses, the program goes on without.
pub fn keep_memory_to_ourselves() {
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
