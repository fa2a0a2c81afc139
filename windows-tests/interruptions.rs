//! Ctrl-C, and a cargo that is killed, at everything that is waited for: nobody is left behind, nothing is signed or changed, and the
//! card is free.

use std::io::Read as _;
use std::process::{Child, Stdio};
use std::sync::mpsc;

use mock_card::Touch;
use rexpect::process::Signal;
use serde_json::{Value, json};

use crate::console::expect;
use crate::loopback::{bind, each_connection};
use crate::sealed::Sealed;
use crate::trace::Seen;
use crate::world::{AT_MOST, Holder, World};

/// Something that is waited for.
struct Wait {
    what: &'static str,
    world: World,
    request: String,
    /// What is said when it is come to. Nothing is said of the network.
    says: &'static str,
    /// What has to be so by then.
    is_there: Box<dyn Fn(&World) -> bool>,
    /// Whether another program has the card.
    is_held: bool,
    /// Another program that has to go on.
    _holder: Option<Holder>,
}

impl Wait {
    fn new(what: &'static str, world: World, says: &'static str) -> Self {
        let request = world.request(&json!({"operation": "owners", "name": "alpha"}));
        Self { what, world, request, says, is_there: Box::new(|_| true), is_held: false, _holder: None }
    }

    fn until(self, is_there: impl Fn(&World) -> bool + 'static) -> Self {
        Self { is_there: Box::new(is_there), ..self }
    }
}

fn for_a_pin() -> Wait {
    let mut world = World::enrolled().forgets_its_pin();
    world.tell_nothing_of("YK_CARGO_PIN_COMMAND");
    Wait::new("a PIN", world, "PIN of YubiKey 12345678")
}

fn for_a_pin_command() -> Wait {
    let mut world = World::enrolled().forgets_its_pin();
    let program = format!("{} --for-ever", world.to_windows(&world.like_cargo_program()));
    world.tell("YK_CARGO_PIN_COMMAND", program);
    Wait::new("a PIN command", world, "asking for ever")
}

fn for_a_touch() -> Wait {
    let world = World::with(|card| card.touch(Touch::Manual)).enroll(&[]);
    Wait::new("a touch", world, "touch YubiKey 12345678 now").until(|world| world.card.wait_touch(AT_MOST))
}

fn for_another_program() -> Wait {
    let world = World::enrolled();
    world.card.hold_transaction();
    let wait = Wait::new("another program", world, "another program");
    Wait { is_held: true, ..wait.until(|world| world.card.wait_blocked(1, AT_MOST)) }
}

fn for_a_card() -> Wait {
    let world = World::enrolled();
    world.card.unplug();
    Wait::new("a card", world, "plug in YubiKey 12345678")
}

/// The index takes connections and says nothing.
fn for_the_network() -> Wait {
    let (listener, base) = bind(false);
    let (asked, is_asked) = mpsc::channel();
    each_connection(listener, move |mut stream| {
        let _ = asked.send(());
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let world = World::enrolled();
    let enrolled = world.read("home/yk-cargo/enrollments.toml");
    let index = format!("sparse+{base}/");
    world.write("home/yk-cargo/enrollments.toml", &enrolled.replace(world.gateway.index_url(), &index));
    let request = json!({
        "v": 1, "registry": {"index-url": index}, "kind": "get",
        "operation": "yank", "name": "alpha", "vers": "0.1.0",
    });
    let wait = Wait::new("the network", world, "").until(move |_| is_asked.recv_timeout(AT_MOST).is_ok());
    Wait { request: request.to_string(), ..wait }
}

fn for_the_lock() -> Wait {
    let sealed = Sealed::new();
    sealed.seal().succeeds();
    let request = sealed.request(&json!({"kind": "logout"}));
    let holder = sealed.world.hold("home/yk-cargo/enrollments.lock");
    let wait = Wait::new("the lock of the enrollments", sealed.world, "waiting for another yk-cargo");
    Wait { request, _holder: Some(holder), ..wait }
}

const WITHOUT_A_CONSOLE: [fn() -> Wait; 5] =
    [for_a_pin_command, for_a_touch, for_another_program, for_the_network, for_the_lock];
/// Where there is a console, somebody is there to be asked for these.
const AT_A_CONSOLE: [fn() -> Wait; 2] = [for_a_pin, for_a_card];

impl Wait {
    /// Nothing came of it, and the card is free.
    #[track_caller]
    fn was_in_vain(&self, enrollments: &str) {
        assert_eq!(Seen::on(&self.world.card).all_signatures(), 0, "{}", self.what);
        assert_eq!(self.world.read("home/yk-cargo/enrollments.toml"), enrollments, "{}", self.what);
        if self.is_held {
            self.world.card.release();
        }
        assert!(self.world.card.wait_idle(AT_MOST), "{}", self.what);
    }

    fn enrollments(&self) -> String {
        self.world.card.clear_trace();
        self.world.read("home/yk-cargo/enrollments.toml")
    }
}

/// Everything on the console ends.
#[track_caller]
fn at_a_console(wait: &Wait, interrupt: impl FnOnce(&mut rexpect::session::PtySession)) {
    let Wait { what, world, says, .. } = wait;
    let enrollments = wait.enrollments();
    let mut session = world.on_a_console(world.like_cargo(&wait.request));
    if !says.is_empty() {
        expect(&mut session, &[says]);
    }
    assert!((wait.is_there)(world), "{what}");
    interrupt(&mut session);
    let rest = session.exp_eof().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(!rest.contains("v3.public."), "{what}: {rest}");
    wait.was_in_vain(&enrollments);
}

#[test]
#[ignore = "cargo xtask windows runs it"]
fn control_c_ends_each_wait() {
    for wait in AT_A_CONSOLE.into_iter().chain(WITHOUT_A_CONSOLE) {
        at_a_console(&wait(), |session| session.send_control('c').unwrap());
    }
}

#[test]
#[ignore = "cargo xtask windows runs it"]
fn a_cargo_that_is_killed_at_a_console_leaves_nobody_behind() {
    for wait in AT_A_CONSOLE {
        at_a_console(&wait(), |session| session.process_mut().signal(Signal::SIGKILL).unwrap());
    }
}

/// Killed as the Task Manager does it. All that is left closes the pipe that it says things on.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn a_killed_cargo_leaves_nobody_behind() {
    for wait in WITHOUT_A_CONSOLE {
        let wait = wait();
        let Wait { what, world, says, .. } = &wait;
        let enrollments = wait.enrollments();
        let mut cargo = world.like_cargo(&wait.request);
        cargo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut cargo = cargo.spawn().unwrap();
        let pieces = pieces(&mut cargo);
        let mut said = String::new();
        while !said.contains(says) {
            let piece = pieces.recv_timeout(AT_MOST);
            said +=
                &String::from_utf8_lossy(&piece.unwrap_or_else(|_| panic!("{what}: no {says:?} in {said}")));
        }
        assert!((wait.is_there)(world), "{what}");
        cargo.kill().unwrap();
        cargo.wait().unwrap();
        let end = loop {
            if let Err(error) = pieces.recv_timeout(AT_MOST) {
                break error;
            }
        };
        assert_eq!(end, mpsc::RecvTimeoutError::Disconnected, "{what}: somebody still runs");
        wait.was_in_vain(&enrollments);
    }
}

/// What a program says, until nobody is left who could say more.
fn pieces(program: &mut Child) -> mpsc::Receiver<Vec<u8>> {
    let mut stderr = program.stderr.take().unwrap();
    let (piece, pieces) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(more @ 1..) = stderr.read(&mut bytes) {
            let _ = piece.send(bytes[..more].to_vec());
        }
    });
    pieces
}

/// A lock ends with the program that has it, however that ends.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn who_waits_for_a_lock_gets_it_when_its_holder_is_killed() {
    let Wait { world, request, says, _holder: holder, .. } = for_the_lock();
    let waiting = world.provider(&request).until_it_says(says);
    drop(holder);
    let answer: Value = waiting.ends().answer();
    assert_eq!(answer, json!({"Ok": {"kind": "logout"}}));
    assert!(world.enrollments().sealed.is_empty());
}
