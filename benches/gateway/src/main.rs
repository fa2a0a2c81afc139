//! How fast the gateway is, each number beside one that it is to be compared with, taken in turns in one run. Arguments
//! choose parts of it: `verify`, `reads`, `fetch`, `publish`, `engines`. Another measurement by itself: `lock`, with the path of the
//! program `yk-cargo`.

mod engines;
mod fetch;
mod front;
mod lock;
mod package;
mod postgres;
mod publish;
mod reads;
mod verify;

fn main() {
    let chosen: Vec<_> = std::env::args().skip(1).collect();
    if let [name, program] = &chosen[..]
        && name == "lock"
    {
        return lock::measure(program.as_ref());
    }
    let parts: [(&str, fn()); 5] = [
        ("verify", verify::measure),
        ("reads", reads::measure),
        ("fetch", fetch::measure),
        ("publish", publish::measure),
        ("engines", engines::measure),
    ];
    for (name, measure) in parts {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            measure();
        }
    }
}
