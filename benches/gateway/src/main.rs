//! How fast the gateway is, each number beside one that it is to be compared with, taken in turns in one run. Arguments
//! choose parts of it: `verify`, `reads`,
//! `fetch`, `publish`.

mod fetch;
mod front;
mod package;
mod publish;
mod reads;
mod verify;

fn main() {
    let chosen: Vec<_> = std::env::args().skip(1).collect();
    let parts: [(&str, fn()); 4] = [
        ("verify", verify::measure),
        ("reads", reads::measure),
        ("fetch", fetch::measure),
        ("publish", publish::measure),
    ];
    for (name, measure) in parts {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            measure();
        }
    }
}
