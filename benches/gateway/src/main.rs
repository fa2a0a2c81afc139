//! How fast the gateway is, each number beside one that it is to be compared with, taken in turns in one run.

mod front;
mod publish;
mod reads;
mod verify;

fn main() {
    verify::measure();
    reads::measure();
    publish::measure();
}
