//! `registry-gateway witness`: what it cosigns, and what it never cosigns, whatever happens to it.
#![cfg(unix)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use transparency_log::witness::MAX_REQUEST_BYTES;

use crate::common::moments::Dice;
use crate::common::witnessed::{MemoryLog, NAME, ServedWitness, WitnessFolder, copied, head, witness};

const ORIGIN: &str = "crates.example.org/index";

/// That the answer is a cosignature of the log's newest checkpoint.
#[track_caller]
fn is_cosigned(folder: &WitnessFolder, log: &MemoryLog, answer: &crate::common::Response) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut checkpoint = log.checkpoint();
    checkpoint.add_cosignature(&answer.text(), &folder.key).unwrap();
    let origin = log.origin.parse().unwrap();
    let verified = checkpoint.verify(&origin, &log.key(), std::slice::from_ref(&folder.key)).unwrap();
    assert!(verified.cosignatures[0].time > 1_700_000_000);
    assert_eq!(answer.text().lines().count(), 1);
}

#[track_caller]
fn is_behind(answer: &crate::common::Response, size: usize) {
    assert_eq!((answer.status, answer.text()), (409, format!("{size}\n")));
    assert_eq!(answer.field("content-type"), Some("text/x.tlog.size"));
}

#[test]
fn every_status_of_the_text() {
    let folder = WitnessFolder::new();
    let log = MemoryLog::new(ORIGIN, 9);
    let served = folder.serve(&log);
    let refused = |request: &str, status: u16| {
        let answer = served.add(request);
        assert_eq!(answer.status, status, "{request} {}", answer.text());
    };
    assert_eq!(served.get(&path(&log)).status, 404);
    is_behind(&served.add(&log.request(3)), 0);
    is_cosigned(&folder, &log.cut(5), &served.add(&log.cut(5).request(0)));
    is_cosigned(&folder, &log, &served.add(&log.request(5)));
    // Once more, and with what somebody else has signed.
    is_cosigned(&folder, &log, &served.add(&log.request(9)));
    is_cosigned(&folder, &log, &served.add(&(log.request(9) + "— somebody.else AAAAAAAA\n")));
    // An old request that is sent again.
    is_behind(&served.add(&log.request(5)), 9);
    is_behind(&served.add(&log.cut(5).request(0)), 9);
    is_behind(&served.add(&log.request(0)), 9);
    // Two checkpoints of one size.
    let mut fork = log.cut(8);
    fork.grow(1, "fork");
    refused(&fork.request(9), 422);
    // A tree that does not continue.
    fork.grow(4, "fork");
    refused(&fork.request(9), 422);
    let grown = {
        let mut grown = log.clone();
        grown.grow(3, "more");
        grown
    };
    let (first, rest) =
        grown.request(9).split_once('\n').map(|(one, two)| (one.to_owned(), two.to_owned())).unwrap();
    let (_, without_one) = rest.split_once('\n').unwrap();
    refused(&format!("{first}\n{without_one}"), 422);
    // Smaller than it says it was.
    refused(&log.cut(5).request(0).replace("old 0", "old 6"), 400);
    // Other keys, other logs.
    refused(&MemoryLog { seed: 8, ..grown.clone() }.request(9), 403);
    refused(&grown.request(9).replace(ORIGIN, "other.example.org/index"), 404);
    refused(&MemoryLog { origin: "other.example.org".to_owned(), ..grown.clone() }.request(9), 404);
    let (text, _) =
        grown.request(9).rsplit_once("— ").map(|(text, line)| (text.to_owned(), line.to_owned())).unwrap();
    refused(&format!("{text}— {ORIGIN} AAAAAAAA\n"), 403);
    // No requests.
    for no in
        ["", "old 9\n", "old 09\n\n", "old -1\n\nx", "\n\n", &grown.request(9).replace("old 9", "old 9 ")]
    {
        refused(no, 400);
    }
    refused(grown.request(9).trim_end(), 400);
    assert_eq!(served.get("/add-checkpoint").status, 405);
    assert_eq!(served.get("/").status, 404);
    // What monitors get.
    let monitored = served.get(&path(&log)).text();
    let note: transparency_log::SignedCheckpoint = monitored.parse().unwrap();
    let verified =
        note.verify(&ORIGIN.parse().unwrap(), &log.key(), std::slice::from_ref(&folder.key)).unwrap();
    assert_eq!((verified.head, verified.cosignatures.len()), (log.head(), 1));
    assert_eq!(note.note().signatures().len(), 2, "only what was verified: {monitored}");
    is_cosigned(&folder, &grown, &served.add(&grown.request(9)));
}

/// `/ORIGIN/checkpoint`, of [`ORIGIN`].
fn path(log: &MemoryLog) -> String {
    use sha2::{Digest as _, Sha256};
    let hash: String = Sha256::digest(&log.origin).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("/{hash}/checkpoint")
}

#[test]
fn a_body_of_a_gigabyte_is_not_read() {
    let folder = WitnessFolder::new();
    let log = MemoryLog::new(ORIGIN, 1);
    let served = folder.serve(&log);
    let status = |stream: &mut TcpStream| {
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        String::from_utf8(status.to_vec()).unwrap()
    };
    let announced = head(1 << 30);
    let mut stream = served.connect().unwrap();
    stream.write_all(announced.as_bytes()).unwrap();
    assert_eq!(status(&mut stream), "HTTP/1.1 413");

    // Unannounced, it is refused as soon as it is too long, and what comes then is forgotten.
    let mut stream = served.connect().unwrap();
    let chunked = announced.replace("Content-Length: 1073741824", "Transfer-Encoding: chunked");
    stream.write_all(chunked.as_bytes()).unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
    for _ in 0..=MAX_REQUEST_BYTES / 0x10000 {
        stream.write_all(&chunk).unwrap();
    }
    assert_eq!(status(&mut stream), "HTTP/1.1 413");
    let _ = (0..1000).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    #[cfg(target_os = "linux")]
    {
        let memory = fs::read_to_string(format!("/proc/{}/status", served.child.id())).unwrap();
        let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < 60_000, "{peak} KiB");
    }
    is_cosigned(&folder, &log, &served.add(&log.request(0)));
}

/// At every step the witness is offered a fork too: of what it has cosigned, and of what it was about to cosign when it was killed.
#[test]
fn killed_at_any_moment_it_cosigns_no_fork() {
    const STEPS: usize = 120;
    let folder = WitnessFolder::new();
    let mut dice = Dice::new();
    let mut log = MemoryLog::new(ORIGIN, 0);
    let mut served = folder.serve(&log);
    let (mut lost, mut kept) = (0, 0);
    for step in 0..STEPS {
        let mut next = log.clone();
        next.grow(1, &format!("step {step}"));
        let request = next.request(log.size());
        let mut stream = served.connect().unwrap();
        stream.write_all(head(request.len()).as_bytes()).unwrap();
        let (one, other) = request.split_at(request.len() / 2);
        stream.write_all(one.as_bytes()).unwrap();
        let kill = |served: &mut ServedWitness| {
            served.child.kill().unwrap();
            served.child.wait().unwrap();
        };
        let mut answer = String::new();
        match dice.roll() % 4 {
            0 => kill(&mut served),
            1 => {
                stream.write_all(other.as_bytes()).unwrap();
                for _ in 0..dice.roll() % 2_000 {
                    std::hint::spin_loop();
                }
                kill(&mut served);
                let _ = stream.read_to_string(&mut answer);
            }
            _ => {
                stream.write_all(other.as_bytes()).unwrap();
                stream.read_to_string(&mut answer).unwrap();
                kill(&mut served);
            }
        }
        let is_answered = answer.starts_with("HTTP/1.1 200 ");
        served = folder.serve(&log);
        let mut fork = log.clone();
        fork.grow(1, &format!("fork at {step}"));
        let answer = served.add(&fork.request(log.size()));
        match answer.status {
            200 => {
                assert!(!is_answered, "it has cosigned a fork");
                lost += 1;
                log = fork.clone();
            }
            _ => {
                is_behind(&answer, next.size());
                kept += 1;
                log = next.clone();
            }
        }
        // Now it is one of the two for good, and no smaller tree.
        let other = if log.head() == next.head() { fork } else { next };
        assert_eq!(served.add(&other.request(log.size())).status, 422);
        if log.size() > 1 {
            is_behind(&served.add(&log.cut(log.size() - 1).request(log.size() - 2)), log.size());
        }
        is_cosigned(&folder, &log, &served.add(&log.request(log.size())));
    }
    assert!(lost > 0 && kept > STEPS / 4, "{lost} lost, {kept} kept");
}

#[test]
fn what_cannot_be_written_is_not_cosigned() {
    let folder = WitnessFolder::new();
    let log = MemoryLog::new(ORIGIN, 2);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 0; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_registry-gateway")]);
    command.args(folder.arguments(&log)).stderr(std::process::Stdio::null());
    let served = ServedWitness::of(command);
    let answer = served.add(&log.request(0));
    assert_eq!((answer.status, answer.text().as_str()), (500, "the checkpoint cannot be stored\n"));
    assert_eq!(fs::read_dir(folder.trees()).unwrap().count(), 0);
    drop(served);
    is_cosigned(&folder, &log, &folder.serve(&log).add(&log.request(0)));
}

/// Many who send half a request keep nobody out.
#[test]
fn who_sends_nothing_keeps_no_log_out() {
    let folder = WitnessFolder::new();
    let log = MemoryLog::new(ORIGIN, 2);
    let served = folder.serve(&log);
    let idle: Vec<_> = (0..200)
        .map(|number| {
            let mut stream = served.connect().unwrap();
            let half = if number % 2 == 0 { "POST /add-che".to_owned() } else { head(1000) };
            let _ = stream.write_all(half.as_bytes());
            stream
        })
        .collect();
    is_cosigned(&folder, &log, &served.add(&log.request(0)));
    drop(idle);
}

#[test]
fn its_folder_and_its_key() {
    let folder = WitnessFolder::new();
    let path = folder.path().to_str().unwrap().to_owned();
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&format!("{path}/witness.key"))), (0o700, 0o600));
    let again = witness(&["init", "--name", NAME, &path]);
    assert_eq!(String::from_utf8(again.stdout).unwrap(), format!("{}\n", folder.key));
    let says = |arguments: &[&str], text: &str| {
        let output = witness(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(text), "{said}");
    };
    says(&["init", "--name", "other.example.org", &path], "the witness in ");
    let log = MemoryLog::new(ORIGIN, 3);
    let (key, cosigner) = (log.key().to_string(), folder.key.to_string());
    let serve = |more: &[&str], text: &str| {
        says(&[&["serve", "--listen", "127.0.0.1:0", &path], more].concat(), text);
    };
    serve(&[], "--log <VKEY>");
    serve(&["--log", &cosigner], "is not the key of a log");
    serve(&["--log", &key, "--log", &key], "there are two keys for the log crates.example.org/index");
    says(&["serve", "--listen", "127.0.0.1:0", "--log", &key, "/nowhere"], "there is no witness in /nowhere");

    let served = folder.serve(&log);
    is_cosigned(&folder, &log, &served.add(&log.request(0)));
    serve(&["--log", &key], "another process serves the witness in ");
    drop(served);
    // What was cosigned is the witness's memory: without it, it would cosign anything.
    let kept = folder.trees().join(crate::witness::path(&log).split('/').nth(1).unwrap());
    let note = fs::read_to_string(&kept).unwrap();
    let unsigned = note.split_inclusive('\n').filter(|line| !line.contains(NAME)).collect::<String>();
    for damaged in ["", "x", &note.replace("\n3\n", "\n2\n"), &unsigned] {
        fs::write(&kept, damaged).unwrap();
        serve(
            &["--log", &key],
            "is not a checkpoint of crates.example.org/index that this witness has cosigned",
        );
    }
    fs::write(&kept, &note).unwrap();
    let other = MemoryLog { seed: 9, ..log.clone() }.key().to_string();
    serve(&["--log", &other], "is not a checkpoint of crates.example.org/index");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    serve(&["--log", &key], "is open to other users");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::rename(folder.trees(), folder.path().join("away")).unwrap();
    serve(&["--log", &key], "there is no witness in ");
    // Nor does `init` make it forget.
    assert!(witness(&["init", "--name", NAME, &path]).status.success());
    serve(&["--log", &key], "there is no witness in ");
    fs::write(folder.path().join("witness.key"), "PRIVATE+KEY+x+y+AAAA\n").unwrap();
    fs::rename(folder.path().join("away"), folder.trees()).unwrap();
    serve(&["--log", &key], "is not the key of a witness");
}

/// The one thing that it cannot see. Whoever has a checkpoint of the newer tree sees it: `verify_log_attacks` of the client.
#[test]
fn a_folder_that_was_put_back_is_not_noticed() {
    let folder = WitnessFolder::new();
    let log = MemoryLog::new(ORIGIN, 9);
    is_cosigned(&folder, &log.cut(5), &folder.serve(&log).add(&log.cut(5).request(0)));
    let backup = folder.path().with_extension("backup");
    copied(&folder.path(), &backup);
    is_cosigned(&folder, &log, &folder.serve(&log).add(&log.request(5)));
    fs::remove_dir_all(folder.path()).unwrap();
    copied(&backup, &folder.path());
    let mut fork = log.cut(6);
    fork.grow(3, "fork");
    is_cosigned(&folder, &fork, &folder.serve(&log).add(&fork.request(5)));
}
