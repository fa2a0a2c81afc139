//! A PIN from pinentry, where there is no terminal: a fake one that writes down what it is told, and Debian's.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use crate::terminal::expect;
use crate::trace::Seen;
use crate::world::{NAME, Outcome, PIN, Reads, Run, World};

impl World {
    /// A program that speaks Assuan and answers GETPIN with the next of these lines, then with its last. It is the
    /// `pinentry` of the settings.
    fn with_pinentry(self, answers: &[&str]) -> Self {
        let cases: String = answers
            .iter()
            .enumerate()
            .map(|(n, answer)| format!("        {}) printf '%b' '{answer}';;\n", n + 1))
            .collect();
        let program = self.path("pinentry.sh");
        let log = self.path("pinentry.log");
        let count = self.path("pinentry.count");
        let script = format!(
            r#"#!/bin/sh
echo "env $DISPLAY|$WAYLAND_DISPLAY|$GPG_TTY|$XAUTHORITY|$LANG" >>{log}
echo 'OK Pleased to meet you'
while IFS= read -r line; do
    echo "$line" >>{log}
    case "$line" in
    GETPIN)
        echo x >>{count}
        case $(wc -l <{count}) in
{cases}
        *) echo 'ERR 83886179 Operation cancelled <Pinentry>';;
        esac;;
    SETTIMEOUT*) echo 'ERR 536871187 Unknown IPC command <User defined source 1>';;
    *) echo OK;;
    esac
done
"#,
            log = log.display(),
            count = count.display()
        );
        self.script("pinentry.sh", &script);
        self.write("home/yk-cargo/config.toml", &format!("pinentry = \"{}\"\n", program.display()));
        self.forgets_its_pin()
    }

    fn yank_without_a_terminal(&self) -> Run {
        let yank = ["token", NAME, "--yank", "alpha@0.1.0"];
        self.yk_cargo(yank).without("YK_CARGO_PIN_COMMAND")
    }

    fn pinentry_was_told(&self) -> String {
        fs::read_to_string(self.path("pinentry.log")).unwrap_or_default()
    }
}

#[test]
fn a_pin_from_pinentry() {
    let world = World::enrolled().with_pinentry(&[&format!("S BUTTON_INFO x\\n# note\\nD {PIN}\\nOK\\n")]);
    let yank = world.yank_without_a_terminal();
    let variables = [
        ("DISPLAY", ":7"),
        ("WAYLAND_DISPLAY", "wayland-7"),
        ("GPG_TTY", "/dev/pts/77"),
        ("XAUTHORITY", "/x/auth"),
        ("LANG", "de_DE.UTF-8"),
    ];
    let yank = variables.into_iter().fold(yank, |yank, (name, value)| yank.env(name, value));
    let outcome = yank.succeeds();
    assert!(!format!("{}{}", outcome.stdout, outcome.stderr).contains(PIN));
    let told = world.pinentry_was_told();
    for line in [
        "env :7|wayland-7|/dev/pts/77|/x/auth|de_DE.UTF-8\n",
        "OPTION ttyname=/dev/pts/77\n",
        "OPTION ttytype=xterm\n",
        "OPTION lc-ctype=de_DE.UTF-8\n",
        "OPTION display=:7\n",
        "SETDESC yk-cargo: the PIV PIN of YubiKey 12345678 (3 tries left), for%0Asigning yank of `alpha 0.1.0` for `my-reg` with YubiKey 12345678 (laptop key)\n",
        "SETPROMPT PIV PIN:\nGETPIN\n",
    ] {
        assert!(told.contains(line), "no {line:?} in {told}");
    }
    assert_eq!(Seen::on(&world.card).pins(), 1);
}

#[test]
fn a_mistake_in_pinentry() {
    let right = format!("D {}\\nOK\\n", PIN.replace('6', "%36"));
    let world = World::enrolled().with_pinentry(&["D 12345\\nOK\\n", "D 111222\\nOK\\n", &right]);
    world.yank_without_a_terminal().succeeds().says(&["wrong PIN, 2 tries left"]);
    let told = world.pinentry_was_told();
    for line in [
        "SETERROR a PIN has 6 to 8 characters, and this one is shorter",
        "SETERROR wrong PIN, 2 tries left\n",
    ] {
        assert!(told.contains(line), "no {line:?} in {told}");
    }
    assert_eq!(Seen::on(&world.card).pins(), 2, "what is no PIN is not sent");
}

/// A script in pinentry's place says the same each time.
#[test]
fn a_pinentry_that_never_gives_a_pin_is_not_asked_for_ever() {
    let world = World::enrolled().with_pinentry(&["D 12345\\nOK\\n"; 9]);
    world
        .yank_without_a_terminal()
        .fails()
        .says(&["error: a PIN has 6 to 8 characters, and this one is shorter"]);
    assert_eq!(world.pinentry_was_told().matches("GETPIN").count(), 5);
    assert_eq!(Seen::on(&world.card).pins(), 0);
}

#[test]
fn a_pinentry_that_gives_no_pin() {
    let fails = |answer: &str| -> Outcome {
        let world = World::enrolled().with_pinentry(&[answer]);
        let config = fs::read_to_string(world.path("home/yk-cargo/config.toml")).unwrap();
        world.write("home/yk-cargo/config.toml", &format!("{config}[wait]\npin-command = 1\n"));
        let outcome = world.yank_without_a_terminal().fails();
        assert_eq!(Seen::on(&world.card).pins(), 0);
        outcome
    };
    fails("ERR 83886179 Operation cancelled <Pinentry>\\n").says(&["pinentry was cancelled"]);
    fails("ERR 83886142 Timeout <Pinentry>\\n").says(&["nobody entered the PIN within 1 seconds"]);
    fails("").says(&["nobody entered the PIN within 1 seconds"]);
    fails("ERR 83918950 Inappropriate ioctl \\033[2J<Pinentry>\\n").says(&[
        "pinentry cannot ask: 83918950 Inappropriate ioctl \\u{1b}[2J<Pinentry>",
        "hint: run the command in a terminal",
    ]);
    fails("BANANA\\n").says(&["pinentry does not speak its protocol"]);
    fails("D 12%zz\\nOK\\n").says(&["pinentry does not speak its protocol"]);
    let world = World::enrolled().forgets_its_pin();
    for (program, says) in
        [("/no/such/pinentry", "cannot run pinentry"), ("/bin/true", "ended without an answer")]
    {
        world.write("home/yk-cargo/config.toml", &format!("pinentry = \"{program}\"\n"));
        world.yank_without_a_terminal().fails().says(&[says]);
    }
}

/// Where no yes can be typed, the last try stays.
#[test]
fn the_last_try_is_not_for_pinentry() {
    let world = World::enrolled().with_pinentry(&[&format!("D {PIN}\\nOK\\n")]);
    world.card.set_pin_tries(1);
    world.yank_without_a_terminal().fails().says(&["it was not spent"]);
    assert_eq!(world.pinentry_was_told(), "");
}

/// Without a display, and without a setting, there is nothing it could appear on; and an empty setting is for none.
#[test]
fn pinentry_is_not_started_in_vain() {
    let world = World::enrolled().forgets_its_pin();
    let program = world.script("bin/pinentry", "#!/bin/sh\ntouch started\n");
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let yank = || world.yank_without_a_terminal().env("PATH", &path);
    yank().fails().says(&["there is no terminal to ask for it"]);
    world.write("home/yk-cargo/config.toml", "pinentry = \"\"\n");
    yank().env("DISPLAY", ":7").fails().says(&["there is no terminal to ask for it"]);
    assert!(!world.path("work/started").exists());
    fs::remove_file(world.path("home/yk-cargo/config.toml")).unwrap();
    yank().env("DISPLAY", ":7").fails().says(&["pinentry ended without an answer"]);
    assert!(world.path("work/started").exists());
}

/// Debian's, on a terminal that is not ours: GnuPG's variable tells which.
#[test]
fn debians_pinentry_curses() {
    let world = World::enrolled().forgets_its_pin();
    world.write("home/yk-cargo/config.toml", "pinentry = \"pinentry-curses\"\n");
    let mut session = world.at_a_terminal(
        "GPG_TTY=$(tty) setsid --wait yk-cargo token my-reg --yank alpha@0.1.0 2>err >token && echo DONE || cat err",
    );
    expect(&mut session, &["YubiKey 12345678", "<Cancel>"]);
    session.send(&format!("{PIN}\r")).unwrap();
    session.flush().unwrap();
    expect(&mut session, &["DONE"]);
    assert_eq!(Seen::on(&world.card).pins(), 1);
}

/// While the touch is waited for, the PIN is in memory once: the card may be reset, and would need it again.
#[test]
fn the_pin_is_in_memory_once() {
    let world = World::with(Reads::AuthRequired, |card| {
        card.touch(mock_card::Touch::Manual).touch_timeout(Duration::from_secs(60))
    })
    .enroll_with(&[])
    .with_pinentry(&[&format!("D {PIN}\\nOK\\n")]);
    let by_command = world.script(
        "pin-and-child.sh",
        &format!("#!/bin/sh\necho {PIN}\nsleep 60 2>/dev/null &\necho $! >child\n"),
    );
    for command in [None, Some(by_command)] {
        world.card.power_off();
        let yank = world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]);
        let yank = match &command {
            None => yank.without("YK_CARGO_PIN_COMMAND"),
            Some(command) => yank.env("YK_CARGO_PIN_COMMAND", command),
        };
        let child = yank.starts();
        assert!(world.card.wait_touch(Duration::from_secs(60)));
        let copies = copies_in_memory(child.id(), PIN.as_bytes());
        world.card.touch();
        assert!(child.wait_with_output().unwrap().status.success());
        match copies {
            Some(copies) => assert_eq!(copies, 1, "{command:?}"),
            None => {
                let why = "skipped: the memory of another process can be read by root alone";
                let _ = writeln!(std::io::stderr(), "{why}");
            }
        }
    }
    let left = fs::read_to_string(world.path("work/child")).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(left).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
}

/// How often this is in the memory of the program that `timeout` and `setsid` run for us; `None` if it cannot be read.
fn copies_in_memory(timeout: u32, secret: &[u8]) -> Option<usize> {
    let child_of = |parent: u32| {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
        children.split_whitespace().next()?.parse::<u32>().ok()
    };
    let mut program = child_of(timeout)?;
    while fs::read_to_string(format!("/proc/{program}/comm")).ok()?.trim() != "yk-cargo" {
        program = child_of(program)?;
    }
    let maps = fs::read_to_string(format!("/proc/{program}/maps")).ok()?;
    let memory = fs::File::open(format!("/proc/{program}/mem")).ok()?;
    let mut copies = 0;
    for map in maps.lines().filter(|map| map.contains(" rw")) {
        let (from, to) = map.split(' ').next()?.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        let mut bytes = vec![0; (to - from) as usize];
        // Some special regions cannot be read.
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            copies += bytes.windows(secret.len()).filter(|window| *window == secret).count();
        }
    }
    Some(copies)
}
