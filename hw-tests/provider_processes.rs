//! How often cargo starts the provider: every command that talks to a registry, cold and warm, with reads open and reads
//! behind a token. A command that asked more often would cost time, one that asked for something else a PIN or a touch.

use crate::trace::Seen;
use crate::world::{NAME, Reads, World};

/// What is in the registry, and somebody who uses it.
fn prepared(reads: Reads) -> World {
    let world = World::with(reads, |card| card).enroll();
    world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
    let tool = world.package("tool", "0.1.0", "");
    world.write("work/tool/src/main.rs", "fn main() {}\n");
    world.publish(&tool).succeeds();
    world.package("user", "0.1.0", "[dependencies]\nalpha = { version = \"0.1\", registry = \"my-reg\" }\n");
    world.package("new", "0.1.0", "");
    world
}

/// A command in a folder of `work`, and how many tokens it takes: cold and warm where reads need one, and where they do not.
type Row = (&'static str, &'static [&'static str], [usize; 3]);

/// The reads. Warm, those that find everything in the lock file and the cache ask for nothing.
const READS: [Row; 12] = [
    ("user", &["fetch"], [1, 0, 0]),
    ("user", &["build"], [1, 0, 0]),
    ("user", &["tree"], [1, 0, 0]),
    ("user", &["metadata", "--format-version=1"], [1, 0, 0]),
    ("user", &["update"], [1, 1, 0]),
    ("user", &["package"], [1, 1, 0]),
    ("user", &["publish", "--dry-run", "--registry", NAME], [1, 1, 0]),
    ("new", &["add", "alpha", "--registry", NAME], [1, 1, 0]),
    ("", &["info", "alpha", "--registry", NAME], [1, 1, 0]),
    ("", &["search", "alph", "--registry", NAME], [1, 1, 0]),
    ("", &["install", "tool", "--registry", NAME, "--root", "tools"], [1, 1, 0]),
    ("", &["login", "--registry", NAME], [2, 2, 1]),
];

/// The changes. Each begins with a read where reads need a token; a publish does so always.
const CHANGES: [Row; 4] = [
    ("", &["yank", "alpha@0.1.0", "--registry", NAME], [2, 2, 1]),
    ("", &["yank", "--undo", "alpha@0.1.0", "--registry", NAME], [2, 2, 1]),
    ("", &["owner", "--list", "alpha", "--registry", NAME], [2, 2, 1]),
    ("user", &["publish", "--registry", NAME], [2, 2, 2]),
];

#[test]
fn reads_cost_nobody_anything() {
    each_row(&READS, 0);
}

#[test]
fn changes_cost_one_touch() {
    each_row(&CHANGES, 1);
}

#[track_caller]
fn each_row(rows: &[Row], touches: usize) {
    for reads in [Reads::AuthRequired, Reads::Open] {
        let world = prepared(reads);
        for (folder, arguments, [cold, warm, open]) in rows {
            for (is_warm, needed) in [(false, *cold), (true, *warm)] {
                let expected = if reads == Reads::Open { *open } else { needed };
                if !is_warm {
                    world.make_cold();
                }
                if arguments[0] == "publish" && is_warm {
                    let manifest = world.path("work/user/Cargo.toml");
                    let text = std::fs::read_to_string(&manifest).unwrap();
                    std::fs::write(&manifest, text.replace("version = \"0.1.0\"", "version = \"0.2.0\""))
                        .unwrap();
                }
                world.card.clear_trace();
                let outcome = world.cargo(&world.path("work").join(folder), arguments).succeeds();
                let seen = Seen::on(&world.card);
                let what = format!("{arguments:?}, {reads:?}, warm: {is_warm}: {outcome:#?}");
                assert_eq!((seen.contexts(), seen.touches()), (expected, touches), "{what}");
            }
        }
    }
}
