//! Ctrl-C, and a cargo that is killed, at everything that is waited for: nobody is left behind, nothing is signed, and the card is
//! free.

use std::io::Read as _;
use std::process::Stdio;
use std::sync::mpsc;

use mock_card::Touch;
use serde_json::json;

use crate::trace::Seen;
use crate::world::{AT_MOST, World};

/// Something that is waited for.
struct Wait {
    world: World,
    /// What is said when it is come to.
    says: &'static str,
    /// What has to be so by then.
    is_there: fn(&World) -> bool,
}

fn each_wait() -> Vec<Wait> {
    let mut asks = World::enrolled().forgets_its_pin();
    let program = format!("{} --for-ever", asks.to_windows(&asks.like_cargo_program()));
    asks.tell("YK_CARGO_PIN_COMMAND", program);
    let touch = World::with(|card| card.touch(Touch::Manual)).enroll(&[]);
    let held = World::enrolled();
    held.card.hold_transaction();
    vec![
        Wait { world: asks, says: "asking for ever", is_there: |_| true },
        Wait { world: touch, says: "touch YubiKey", is_there: |world| world.card.wait_touch(AT_MOST) },
        Wait { world: held, says: "wait", is_there: |world| world.card.wait_blocked(1, AT_MOST) },
    ]
}

/// Killed as the Task Manager does it. All that is left closes the pipe that it says things on.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn a_killed_cargo_leaves_nobody_behind() {
    for Wait { world, says, is_there } in each_wait() {
        let request = world.request(&json!({"operation": "owners", "name": "alpha"}));
        let mut cargo = world.like_cargo(&request);
        cargo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut cargo = cargo.spawn().unwrap();
        let mut stderr = cargo.stderr.take().unwrap();
        let (piece, pieces) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(more @ 1..) = stderr.read(&mut bytes) {
                let _ = piece.send(bytes[..more].to_vec());
            }
        });
        let mut said = String::new();
        while !said.contains(says) {
            let piece = pieces.recv_timeout(AT_MOST);
            said += &String::from_utf8_lossy(&piece.unwrap_or_else(|_| panic!("no {says:?} in {said}")));
        }
        assert!(is_there(&world), "{says}");
        cargo.kill().unwrap();
        cargo.wait().unwrap();
        let end = loop {
            if let Err(error) = pieces.recv_timeout(AT_MOST) {
                break error;
            }
        };
        assert_eq!(end, mpsc::RecvTimeoutError::Disconnected, "{says}: somebody still runs");
        assert_eq!(Seen::on(&world.card).signatures("83"), 0, "{says}");
        assert!(says == "wait" || world.card.wait_idle(AT_MOST), "{says}");
    }
}
