//! How fast the gateway is, each number beside one that it is to be compared with, taken in turns in one run. Arguments
//! choose parts of it: `verify`, `reads`, `publish`.

mod front;
mod publish;
mod reads;
mod verify;

fn main() {
    let chosen: Vec<_> = std::env::args().skip(1).collect();
    for (name, measure) in
        [("verify", verify::measure as fn()), ("reads", reads::measure), ("publish", publish::measure)]
    {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            measure();
        }
    }
}
