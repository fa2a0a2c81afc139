//! One PC/SC call, and what it came to if not to an answer.
//!
//! The service's numbers are foreign bytes, and `pcsc` panics at those that it does not know: at a protocol always, at an
//! error code where it is built with assertions, as Cargo.toml has it. Without them it would not tell the number.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Once,
};

use super::Error;

/// Why a call gave no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// An error of PC/SC's.
    Pcsc(pcsc::Error),
    /// A number that `pcsc` does not know, in its words.
    Senseless(String),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Pcsc(error) => error.into(),
            Failure::Senseless(text) => Error::Senseless { text },
        }
    }
}

/// Makes one call of `pcsc`, and nothing else: a panic in it is an answer that it does not know.
pub(super) fn asked<T>(call: impl FnOnce() -> Result<T, pcsc::Error>) -> Result<T, Failure> {
    keep_quiet();
    ASKING.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    ASKING.set(false);
    match outcome {
        Ok(answer) => answer.map_err(Failure::Pcsc),
        Err(panic) => match panic.downcast::<String>() {
            Ok(text) => Err(Failure::Senseless(*text)),
            Err(panic) => resume_unwind(panic),
        },
    }
}

thread_local! {
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// Such a panic is no bug of ours, and is not reported as one.
fn keep_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !ASKING.get() {
                report(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pcsc_does_not_know_is_an_error() {
        let protocol = 7;
        let error = asked::<()>(|| panic!("impossible protocol: {protocol:#x}")).unwrap_err();
        let text = Error::from(error).to_string();
        assert_eq!(
            text,
            "the smart card service gave an answer that makes no sense (impossible protocol: 0x7)"
        );
        assert!(matches!(asked(|| Ok(1)), Ok(1)));
        let busy = asked::<()>(|| Err(pcsc::Error::SharingViolation)).unwrap_err();
        assert!(matches!(busy.into(), Error::Busy));
    }
}
