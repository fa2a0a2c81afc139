//! A shell that stops, continues, interrupts and hangs up the job that asks: the terminal echoes whenever the shell has it, and
//! never while something secret is typed; and nothing hangs.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rexpect::session::{PtySession, spawn_command};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp};

use crate::terminal::{LIMIT, YANK_ALONE, expect};
use crate::trace::Seen;
use crate::world::{NAME, PIN, World};

const PROMPT: &str = "PIV PIN of YubiKey 12345678 (3 tries left): ";
pub(crate) const READY: &str = "READY> ";

/// A person who types into a shell.
pub(crate) struct Shell {
    pub(crate) session: PtySession,
    terminal: File,
    /// Its name, and what happened last; for failures.
    story: [String; 2],
}

/// How the program that asks is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    ByCargo,
    Directly,
}

impl Started {
    pub(crate) fn line(self) -> String {
        match self {
            Self::ByCargo => format!("cargo -q yank alpha@0.1.0 --registry {NAME}"),
            Self::Directly => YANK_ALONE.to_owned(),
        }
    }
}

impl Shell {
    pub(crate) fn start(world: &World, shell: &str) -> Self {
        let mut words = shell.split(' ');
        let mut command = Command::new(words.next().unwrap());
        world.environment(&mut command);
        command.env_remove("YK_CARGO_PIN_COMMAND").envs([("TERM", "dumb"), ("PS1", READY)]);
        command.args(words).current_dir(world.path("work"));
        let mut session = spawn_command(command, Some(LIMIT)).unwrap();
        // An interactive shell does not end for SIGTERM.
        session.process_mut().set_kill_timeout(Some(1));
        let terminal = session.process().get_file_handle().unwrap();
        let story = [shell.to_owned(), String::new()];
        let mut shell = Self { session, terminal, story };
        // The library turns the terminal's echo off; a person's is on.
        shell.expect(&[READY]);
        shell.runs("stty echo; echo set");
        shell
    }

    pub(crate) fn expect(&mut self, texts: &[&str]) {
        expect(&mut self.session, texts);
    }

    pub(crate) fn types(&mut self, line: &str) {
        self.session.send_line(line).unwrap();
    }

    fn runs(&mut self, line: &str) -> String {
        self.types(&format!("{line}; echo EN''D"));
        let shown = self.session.exp_string("END").unwrap();
        self.expect(&[READY]);
        shown
    }

    fn asks(&mut self, started: Started) -> Pid {
        self.types(&started.line());
        self.expect(&[PROMPT]);
        assert!(self.hides(), "{started:?}");
        self.job()
    }

    /// What is in the foreground.
    pub(crate) fn job(&self) -> Pid {
        tcgetpgrp(&self.terminal).unwrap()
    }

    pub(crate) fn hides(&self) -> bool {
        !tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// What a program of the shell's finds.
    pub(crate) fn is_itself_again(&mut self) {
        self.finds(&MODES);
    }

    fn finds(&mut self, modes: &[&str]) {
        let shown = self.runs("stty -a");
        for mode in modes {
            let shown = shown.replace(['\r', '\n'], " ");
            assert!(shown.contains(mode), "{:?}: no {mode:?} in {shown}", self.story);
        }
    }

    /// Stops the job, by the key in the middle of an answer or by a signal.
    pub(crate) fn stops(&mut self, job: Pid, how: &str) {
        self.story[1] = format!("stopped by {how}");
        match how {
            "key" => self.session.send("65\x1a").and_then(|_| self.session.flush()).unwrap(),
            "whole job" => kill_process_group(job, Signal::TSTP).unwrap(),
            _ => kill_process(job, Signal::TSTP).unwrap(),
        }
        self.expect(&[READY]);
    }

    /// Interrupts the job in one of [`INTERRUPTS`] until none of it is left.
    pub(crate) fn interrupts(&mut self, job: Pid, how: &str, started: Started) {
        self.story[1] = format!("interrupted by {how}, {started:?}");
        match how {
            "^C" => self.session.send_control('c').unwrap(),
            "^\\" => self.session.send("\x1c").and_then(|_| self.session.flush()).unwrap(),
            "whole job" => kill_process_group(job, Signal::INT).unwrap(),
            "hang-up" => kill_process_group(job, Signal::HUP).unwrap(),
            "last program" => kill_process(*members(job).last().unwrap(), Signal::TERM).unwrap(),
            // With SIGKILL, where somebody is left who can put the terminal right.
            _ if started == Started::ByCargo => kill_process(job, Signal::KILL).unwrap(),
            _ => kill_process(job, Signal::TERM).unwrap(),
        }
        self.expect(&[READY]);
        ends(job, how);
        if self.story[0].starts_with("zsh")
            && started == Started::ByCargo
            && matches!(how, "whole job" | "hang-up" | "first program")
        {
            // It takes the modes over as they are when cargo has ended, and mends those of a line only.
            self.finds(&MODES[..2]);
            self.runs("stty isig iexten");
        }
        self.is_itself_again();
    }

    /// The terminal goes, and with it the job.
    pub(crate) fn hangs_up(&mut self, job: Pid, what: &str) {
        self.session.process_mut().kill(rexpect::process::Signal::SIGKILL).unwrap();
        ends(job, what);
    }

    /// The question is there again, hides what is typed, and goes on.
    fn goes_on(&mut self, what: &str) {
        self.expect(&[PROMPT]);
        assert!(self.hides(), "{what}");
        self.types("12345");
        let shown = self.session.exp_string("a PIN has 6 to 8 characters, and this one is shorter").unwrap();
        assert!(!shown.contains("12345\r"), "{what}: {shown}");
        self.expect(&[PROMPT]);
        self.types(PIN);
        self.expect(&["touch YubiKey 12345678 now", READY]);
        let status = self.runs("echo status $?");
        assert!(status.contains("status 0"), "{what}: {status}");
        self.is_itself_again();
    }
}

/// What a shell's programs find on a terminal.
const MODES: [&str; 3] = [" echo ", " icanon ", " isig "];

pub(crate) const STOPS: [&str; 3] = ["key", "whole job", "first program"];
pub(crate) const INTERRUPTS: [&str; 6] =
    ["^C", "^\\", "whole job", "hang-up", "last program", "first program"];

/// The processes of a job that still run.
fn members(job: Pid) -> Vec<Pid> {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    // proc(5): the name in parentheses may hold anything; behind it are state, parent, process group.
    let ids = stats.filter_map(|stat| {
        let (id, fields) = (stat.split(' ').next()?.parse().ok()?, stat.rsplit_once(')')?.1);
        let fields: Vec<_> = fields.split_whitespace().collect();
        (fields[0] != "Z" && fields[2].parse() == Ok(job.as_raw_nonzero().get())).then_some(id)
    });
    ids.filter_map(Pid::from_raw).collect()
}

fn ends(job: Pid, what: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    while !members(job).is_empty() {
        assert!(Instant::now() < until, "{what}: still there");
        std::thread::yield_now();
    }
}

/// The shells that are there; with zsh wherever it is installed.
pub(crate) fn shells() -> Vec<&'static str> {
    let shells = ["bash --norc -i", "dash -i", "zsh -f -i"];
    let is_there = |shell: &&str| {
        let name = shell.split(' ').next().unwrap_or_default();
        let there = Path::new("/usr/bin").join(name).exists() || Path::new("/bin").join(name).exists();
        if !there {
            let _ = writeln!(std::io::stderr(), "skipped: {name} is not installed");
        }
        there
    };
    shells.into_iter().filter(is_there).collect()
}

fn each(test: impl Fn(&World, &mut Shell, Started, &str)) {
    for shell in shells() {
        for started in [Started::ByCargo, Started::Directly] {
            let world = World::enrolled();
            // So that cargo asks for nothing but the change.
            world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
            let world = world.forgets_its_pin();
            test(&world, &mut Shell::start(&world, shell), started, &format!("{shell}, {started:?}"));
        }
    }
}

/// Whoever stops whichever part of the job, in the middle of a PIN.
#[test]
fn a_question_is_stopped_and_goes_on() {
    each(|_, shell, started, name| {
        for stop in STOPS {
            let job = shell.asks(started);
            shell.stops(job, stop);
            if stop != "key" && started == Started::ByCargo {
                // The shell waits for cargo, which stops at once, and not for us; nor does it ask for anything that we would hide.
                let until = Instant::now() + Duration::from_secs(60);
                while name.starts_with("dash") && shell.hides() && Instant::now() < until {}
            }
            shell.is_itself_again();
            shell.types("fg");
            shell.expect(&[PROMPT]);
            assert!(shell.hides(), "{name}, {stop}");
            shell.types("");
            shell.expect(&["nothing was entered", READY]);
            shell.is_itself_again();
        }
        shell.asks(started);
        shell.session.send_control('z').unwrap();
        shell.expect(&[READY]);
        shell.types("fg");
        shell.goes_on(name);
    });
}

/// Continued in the background, it stops again for want of the terminal, as every program does that reads there.
#[test]
fn a_question_in_the_background_waits() {
    each(|_, shell, started, name| {
        shell.asks(started);
        shell.session.send_control('z').unwrap();
        shell.expect(&[READY]);
        shell.types("bg");
        shell.expect(&[READY]);
        shell.is_itself_again();
        shell.types("fg");
        shell.goes_on(name);
    });
}

/// A stop that nobody can notice, and a continuation without a stop.
#[test]
fn a_question_that_was_stopped_from_outside_goes_on() {
    each(|_, shell, started, name| {
        let job = shell.asks(started);
        kill_process_group(job, Signal::STOP).unwrap();
        shell.expect(&[READY]);
        shell.types("fg");
        shell.expect(&[PROMPT]);
        assert!(shell.hides(), "{name}");
        kill_process_group(job, Signal::CONT).unwrap();
        shell.goes_on(name);
    });
}

#[test]
fn an_interrupted_question_leaves_an_echoing_terminal() {
    each(|world, shell, started, _| {
        for how in INTERRUPTS {
            let job = shell.asks(started);
            shell.interrupts(job, how, started);
        }
        assert_eq!(Seen::on(&world.card).pins(), 0);
    });
}

#[test]
fn a_question_ends_with_its_terminal() {
    each(|world, shell, started, name| {
        let job = shell.asks(started);
        shell.hangs_up(job, name);
        assert_eq!(Seen::on(&world.card).pins(), 0);
    });
}

/// Keys that edit a line do so at a hidden prompt too.
#[test]
fn a_hidden_line_can_be_edited() {
    each(|_, shell, started, name| {
        shell.asks(started);
        shell.types(&format!("wrong\x15x\x7f{PIN}\u{e9}\x7f"));
        shell.expect(&["touch YubiKey 12345678 now", READY]);
        let status = shell.runs("echo status $?");
        assert!(status.contains("status 0"), "{name}: {status}");
    });
}
