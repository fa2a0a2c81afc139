//! A child, what it is told, and what it says.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

/// A child to be run.
pub(crate) struct Run {
    command: Command,
    input: String,
    keep_stdin_open: bool,
}

impl Run {
    pub(crate) fn new(command: Command) -> Self {
        Self { command, input: String::new(), keep_stdin_open: false }
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    pub(crate) fn input(mut self, input: &str) -> Self {
        self.input = input.to_owned();
        self
    }

    /// As cargo has it: until the program has answered, its input does not end.
    pub(crate) fn stays_open(mut self) -> Self {
        self.keep_stdin_open = true;
        self
    }

    #[track_caller]
    pub(crate) fn succeeds(self) -> Outcome {
        let outcome = self.ends();
        assert!(outcome.status.success(), "{outcome:#?}");
        outcome
    }

    #[track_caller]
    pub(crate) fn fails(self) -> Outcome {
        let outcome = self.ends();
        assert!(!outcome.status.success(), "{outcome:#?}");
        assert_ne!(outcome.status.code(), Some(124), "it had to be stopped: {outcome:#?}");
        outcome
    }

    /// A child whose input stays in the caller's hand.
    pub(crate) fn starts(mut self) -> Child {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        // A child that does not read its input is no failure of the test.
        let _ = child.stdin.as_mut().unwrap().write_all(self.input.as_bytes());
        child
    }

    /// A child that has said this, and goes on, with its input open. It may print no more than a pipe holds.
    #[track_caller]
    pub(crate) fn until_it_says(self, text: &str) -> Speaking {
        let mut speaking = Speaking::new(self.starts());
        while !speaking.said.contains(text) {
            let length = speaking.stderr.read_line(&mut speaking.said).unwrap();
            assert!(length > 0, "no {text:?} in {}", speaking.said);
        }
        speaking
    }

    pub(crate) fn ends(self) -> Outcome {
        let keep_stdin_open = self.keep_stdin_open;
        let mut child = self.starts();
        if !keep_stdin_open {
            child.stdin = None;
        }
        Speaking::new(child).ends()
    }
}

/// A child that goes on.
pub(crate) struct Speaking {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What it has said up to the line that was waited for.
    pub(crate) said: String,
}

impl Speaking {
    fn new(mut child: Child) -> Self {
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, said: String::new() }
    }

    #[track_caller]
    pub(crate) fn succeeds(self) {
        let outcome = self.ends();
        assert!(outcome.status.success(), "{outcome:#?}");
    }

    pub(crate) fn ends(mut self) -> Outcome {
        // Its end would close what cargo keeps open.
        let stdin = self.child.stdin.take();
        let (mut errors, mut stderr) = (self.stderr, self.said);
        let errors = std::thread::spawn(move || errors.read_to_string(&mut stderr).map(|_| stderr));
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let status = self.child.wait().unwrap();
        drop(stdin);
        Outcome { status, stdout, stderr: errors.join().unwrap().unwrap() }
    }
}

/// What a child said and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Asserts that stderr has all of these texts.
    #[track_caller]
    pub(crate) fn says(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(self.stderr.contains(text), "no {text:?} in {self:#?}");
        }
        self
    }

    /// Asserts that stderr has all of these texts, in one piece or in rows of a registry's words.
    #[track_caller]
    pub(crate) fn quotes(&self, texts: &[&str]) -> &Self {
        let words = self.stderr.replace("\n    | ", " ");
        for text in texts {
            assert!(words.contains(text), "no {text:?} in {self:#?}");
        }
        self
    }

    /// The provider's answer, the line after its hello.
    #[track_caller]
    pub(crate) fn answer(&self) -> serde_json::Value {
        let lines: Vec<_> = self.stdout.lines().collect();
        assert!(self.status.success(), "{self:#?}");
        assert_eq!((lines.len(), lines[0]), (2, r#"{"v":[1]}"#), "{self:#?}");
        serde_json::from_str(lines[1]).unwrap()
    }
}
