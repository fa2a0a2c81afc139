//! Questions whose answers are shown, and the management key, whose is not, under job control: each is stopped, continued in
//! both grounds, interrupted and hung up; the terminal echoes whenever it should, and nothing hangs.

use mock_card::settings::CardSettings;

use crate::job_control::{INTERRUPTS, READY, STOPS, Shell, Started, shells};
use crate::world::{NAME, PIN, Reads, World};

const OTHER_KEY: &str = "yk-cargo enroll my-reg --no-configure";

/// What is asked, and how one comes there.
struct Question {
    line: String,
    started: Started,
    /// Prompts that come before, and their answers.
    before: &'static [(&'static str, &'static str)],
    prompt: &'static str,
    hides: bool,
    /// What changes nothing: what is typed, and what is said then.
    answers: &'static [(&'static str, &'static str)],
}

impl Question {
    fn directly(line: &str, prompt: &'static str) -> Self {
        let answers = &[("n", "nothing was changed")];
        Self { line: line.to_owned(), started: Started::Directly, before: &[], prompt, hides: false, answers }
    }

    fn is_asked(&self, shell: &mut Shell) -> rustix::process::Pid {
        shell.types(&self.line);
        for (prompt, answer) in self.before {
            shell.expect(&[prompt]);
            shell.types(answer);
        }
        self.stands(shell);
        shell.job()
    }

    /// It is there, and shows or hides what is typed.
    fn stands(&self, shell: &mut Shell) {
        shell.expect(&[self.prompt]);
        assert_eq!(shell.hides(), self.hides, "{}", self.prompt);
    }

    fn is_answered(&self, shell: &mut Shell) {
        for (answer, said) in self.answers {
            shell.types(answer);
            shell.expect(&[said]);
        }
        shell.expect(&[READY]);
        shell.is_itself_again();
    }

    /// In each shell, in a world of its own.
    fn survives(&self, world: impl Fn() -> World) {
        for name in shells() {
            let world = world();
            let mut shell = Shell::start(&world, name);
            for stop in STOPS {
                let job = self.is_asked(&mut shell);
                shell.stops(job, stop);
                shell.is_itself_again();
                if stop == "key" {
                    shell.types("bg");
                    shell.expect(&[READY]);
                    shell.is_itself_again();
                }
                shell.types("fg");
                self.stands(&mut shell);
                self.is_answered(&mut shell);
            }
            for how in INTERRUPTS {
                let job = self.is_asked(&mut shell);
                shell.interrupts(job, how, self.started);
            }
            let job = self.is_asked(&mut shell);
            shell.hangs_up(job, name);
        }
    }
}

/// Before the last try, in both ways in which it can come to that.
#[test]
fn the_last_try() {
    for started in [Started::ByCargo, Started::Directly] {
        let question = Question {
            line: started.line(),
            started,
            before: &[],
            prompt: "Use it? Type yes to go on: ",
            hides: false,
            answers: &[("no", "it was not spent")],
        };
        question.survives(|| {
            let world = World::enrolled();
            world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
            let world = world.forgets_its_pin();
            world.card.set_pin_tries(1);
            world
        });
    }
}

#[test]
fn a_logout() {
    let line = format!("cargo -q logout --registry {NAME}");
    let question = Question::directly(&line, "Type yes to go on: ");
    Question { started: Started::ByCargo, ..question }.survives(World::enrolled);
}

#[test]
fn new_keys() {
    Question::directly(OTHER_KEY, "Make these keys? [y/N] ").survives(World::new);
}

#[test]
fn a_management_key() {
    let question = Question {
        before: &[("Make these keys? [y/N] ", "y")],
        hides: true,
        answers: &[("5a", "a management key is 32, 48 or 64 hexadecimal digits")],
        ..Question::directly(OTHER_KEY, "Management key of YubiKey 12345678 (hexadecimal): ")
    };
    question.survives(|| World::with(Reads::AuthRequired, |card| card.management_key(&[0xA5; 24])));
}

#[test]
fn a_choice_of_two_cards() {
    let question = Question {
        answers: &[("1", "Make these keys? [y/N] "), ("n", "nothing was changed")],
        ..Question::directly(OTHER_KEY, "Which YubiKey? [1-2] ")
    };
    let second = || CardSettings { serial: 22_222_222, pin: Some(PIN.to_owned()), ..CardSettings::default() };
    question.survives(|| World::with(Reads::AuthRequired, |card| card.another_card(second())));
}
