//! Any bytes in place of a sealed token's file.
//!
//! The first byte says which: odd, and the rest is the file; even, and the rest is how a good file is changed, three
//! bytes for each change: a position (the high byte first) and a new value. The key's secret is 1, so that what a card
//! would answer is the x coordinate of the very point it is asked about. Nothing may come out but the token that is in
//! the good file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yk_cargo::piv::P256Point;
use yk_cargo::sealed::{AgeFile, Recipient, SharedSecret};

/// Made by age 1.1.1 with age-plugin-yubikey 0.5.1.
const GOOD: &[u8] = include_bytes!("sealed_token.age");
const TOKEN: &str = "cioPretendToBeSecret";
const INDEX: &str = "sparse+https://registry.example/index/";

/// The generator of P-256.
const RECIPIENT: &str = "age1yubikey1qd43050juykyy3lchnnw2caygre8wqmasyk7kvaq7jsnj3wcnrpfvpkgk82";

fuzz_target!(|input: &[u8]| {
    let Some((how, input)) = input.split_first() else { return };
    let bytes = if how % 2 == 1 { input.to_vec() } else { changed(input) };
    let Ok(file) = AgeFile::parse(bytes.clone()) else { return };
    assert_eq!(file.as_bytes(), bytes, "what is read is kept as it is");
    let recipient: Recipient = RECIPIENT.parse().expect("a point on the curve");
    if let Ok(token) = file.open_with(INDEX, &recipient, agree) {
        assert_eq!(token.expose(), TOKEN);
        assert_eq!(bytes, GOOD, "every change is noticed");
    }
    assert!(file.open_with("sparse+https://evil.example/", &recipient, agree).is_err());
});

fn agree(point: &P256Point) -> SharedSecret {
    let mut x = SharedSecret::default();
    x.copy_from_slice(&point[1..33]);
    x
}

fn changed(input: &[u8]) -> Vec<u8> {
    let mut bytes = GOOD.to_vec();
    for change in input.chunks_exact(3) {
        let position = usize::from(u16::from_be_bytes([change[0], change[1]])) % bytes.len();
        bytes[position] = change[2];
    }
    bytes
}
