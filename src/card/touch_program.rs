//! The person's own program that is told of a touch: a notification on the desktop, a light, a sound.
//!
//! It is started once for each use of a key, and never waited for: a notice that hangs must not keep a publish. The sentence is its
//! last argument, and the parts of it are in its environment. No shell is between, and nothing of it is secret.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::announcement::Announcement;
use crate::piv::Serial;
use crate::text::escape;
use crate::ui::Ui;

/// The program, for one use of a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct TouchProgram {
    command: Arc<[String]>,
    started: Arc<AtomicBool>,
}

impl TouchProgram {
    /// The program and its arguments; nothing for none.
    pub(super) fn new(command: &[String]) -> Self {
        Self { command: command.into(), started: Arc::default() }
    }

    /// Starts it, if there is one and it was not started before.
    pub(super) fn start(&self, ui: Ui, serial: Serial, announcement: &Announcement) {
        let Some((program, arguments)) = self.command.split_first() else { return };
        if self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        let Announcement { text, registry, card, mutation } = announcement;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(format!("Touch YubiKey {serial}: {text}"))
            .env("YK_CARGO_SERIAL", serial.to_string())
            .env("YK_CARGO_CARD", card)
            .env("YK_CARGO_REGISTRY", registry);
        let name = mutation.as_ref().map(|mutation| mutation.name().to_string());
        let version = mutation.as_ref().and_then(|mutation| mutation.version()).map(ToString::to_string);
        let kind = mutation.as_ref().map(|mutation| mutation.kind().to_owned());
        for (variable, value) in [("OPERATION", kind), ("CRATE", name), ("VERSION", version)] {
            let variable = format!("YK_CARGO_{variable}");
            match value {
                Some(value) => command.env(variable, value),
                None => command.env_remove(variable),
            };
        }
        let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Err(error) = silent.spawn() {
            ui.warn(format_args!("the touch notice program {} cannot be started: {error}", escape(program)));
        }
    }
}
