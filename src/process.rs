//! Processes: the programs that we run, and our own end.

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
