//! The encrypted blocks were computed with `openssl enc -des-ede3` and `-aes-*-ecb`.

use super::*;
use crate::piv::script::{Script, hex};

const KEY: &str = "101112131415161718191A1B1C1D1E1F202122232425262728292A2B2C2D2E2F";
const WITNESS: &str = "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF";
const CHALLENGE: &str = "C0C1C2C3C4C5C6C7C8C9CACBCCCDCECF";
const AES_192_METADATA: (&str, &str) = ("00F7009B00", "01010A 02020001 050100 9000");
const ENCRYPTED_WITNESS: &str = "7C12 8010 E5DDF28ECE6AFD1E5160AC21369378AC 9000";

struct Vector {
    algorithm: &'static str,
    key_digits: usize,
    encrypted_witness: &'static str,
    encrypted_challenge: &'static str,
}

const VECTORS: [Vector; 4] = [
    Vector {
        algorithm: "03",
        key_digits: 48,
        encrypted_witness: "EED1DCC8DCEFA122",
        encrypted_challenge: "118B22855E5EC84E",
    },
    Vector {
        algorithm: "08",
        key_digits: 32,
        encrypted_witness: "C911A312EC749CAFCBF2958EE455122B",
        encrypted_challenge: "AACAB863C7D17219DE7C98E9EA60A331",
    },
    Vector {
        algorithm: "0A",
        key_digits: 48,
        encrypted_witness: "E5DDF28ECE6AFD1E5160AC21369378AC",
        encrypted_challenge: "EF3753FBD511086E219106D06DAB07F2",
    },
    Vector {
        algorithm: "0C",
        key_digits: 64,
        encrypted_witness: "CE738B06EDF2AC5FB1E82DE524522CEC",
        encrypted_challenge: "16A178FBD47040E748D49AE1DECC0DBD",
    },
];

fn piv(card: &mut Script) -> Piv<'_> {
    Piv { card, version: None }
}

fn key(digits: &str) -> ManagementKey {
    ManagementKey::new(Zeroizing::new(hex(digits))).unwrap()
}

fn authenticate(card: &mut Script, key: &ManagementKey) -> Result<(), Error> {
    piv(card).authenticate_management_with(key, hex(CHALLENGE).try_into().unwrap())
}

/// The two steps of a mutual authentication as the card sees and answers them.
fn steps(vector: &Vector) -> [(String, String); 2] {
    let Vector { algorithm, encrypted_witness, encrypted_challenge, .. } = vector;
    let digits = encrypted_witness.len();
    let (n, inner) = (digits / 2, digits / 2 + 2);
    let (witness, challenge) = (&WITNESS[..digits], &CHALLENGE[..digits]);
    [
        (
            format!("0087{algorithm}9B04 7C028000 00"),
            format!("7C{inner:02X} 80{n:02X}{encrypted_witness} 9000"),
        ),
        (
            format!(
                "0087{algorithm}9B{:02X} 7C{:02X} 80{n:02X}{witness} 81{n:02X}{challenge} 00",
                2 * inner + 2,
                2 * inner
            ),
            format!("7C{inner:02X} 82{n:02X}{encrypted_challenge} 9000"),
        ),
    ]
}

#[test]
fn authenticates_with_every_algorithm() {
    for vector in &VECTORS {
        let metadata = format!("0101{} 02020001 050100 9000", vector.algorithm);
        let steps = steps(vector);
        let mut card =
            Script::new(&[("00F7009B00", &metadata), (&steps[0].0, &steps[0].1), (&steps[1].0, &steps[1].1)]);
        authenticate(&mut card, &key(&KEY[..vector.key_digits])).unwrap();
        card.assert_finished();
    }
}

#[test]
fn takes_3des_where_there_is_no_metadata() {
    let steps = steps(&VECTORS[0]);
    let mut card =
        Script::new(&[("00F7009B00", "6D00"), (&steps[0].0, &steps[0].1), (&steps[1].0, &steps[1].1)]);
    authenticate(&mut card, &key(&KEY[..48])).unwrap();
    card.assert_finished();
}

#[test]
fn the_factory_key_is_24_bytes() {
    let factory = ManagementKey::factory_default();
    assert_eq!(*factory.0, hex("010203040506070801020304050607080102030405060708"));
    let encrypted = Direction::Encrypt.apply(ManagementAlgorithm::Aes192, &factory, &hex(WITNESS));
    assert_eq!(encrypted, hex("7DE098C98CCF1AE80BD8107B4339E067"));
}

#[test]
fn a_key_of_another_length_is_not_tried() {
    let mut card = Script::new(&[AES_192_METADATA]);
    let refused = authenticate(&mut card, &key(&KEY[..32]));
    assert!(matches!(
        refused,
        Err(Error::ManagementKeyLength { algorithm: ManagementAlgorithm::Aes192, expected: 24, given: 16 })
    ));
    card.assert_finished();
}

#[test]
fn a_wrong_key_has_its_own_error() {
    let mut card = Script::answers(&[AES_192_METADATA.1, ENCRYPTED_WITNESS, "6982"]);
    assert!(matches!(authenticate(&mut card, &key(&KEY[..48])), Err(Error::WrongManagementKey)));
}

#[test]
fn a_card_that_does_not_know_the_key_is_not_believed() {
    let wrong = "7C12 8210 EF3753FBD511086E219106D06DAB07F3 9000";
    let echo = format!("7C12 8210 {CHALLENGE} 9000");
    for lie in [wrong, &echo] {
        let mut card = Script::answers(&[AES_192_METADATA.1, ENCRYPTED_WITNESS, lie]);
        assert!(matches!(authenticate(&mut card, &key(&KEY[..48])), Err(Error::CardNotGenuine)));
    }
}

#[test]
fn blocks_of_other_lengths_are_lies() {
    for witness in
        ["9000", "7C00 9000", "7C02 8000 9000", "7C0A 8008 0001020304050607 9000", "7C03 810100 9000"]
    {
        let mut card = Script::answers(&[AES_192_METADATA.1, witness]);
        let refused = authenticate(&mut card, &key(&KEY[..48]));
        assert!(matches!(refused, Err(Error::Malformed { .. })), "{witness}");
    }
    for answer in ["9000", "7C02 8200 9000", "7C03 820100 9000"] {
        let mut card = Script::answers(&[AES_192_METADATA.1, ENCRYPTED_WITNESS, answer]);
        let refused = authenticate(&mut card, &key(&KEY[..48]));
        assert!(matches!(refused, Err(Error::Malformed { .. })), "{answer}");
    }
}

#[test]
fn every_authentication_has_a_new_challenge() {
    struct Recorder(Vec<Vec<u8>>);
    impl crate::piv::Transmit for Recorder {
        fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, crate::piv::TransportError> {
            self.0.push(command.to_vec());
            let answers = [hex(AES_192_METADATA.1), hex(ENCRYPTED_WITNESS), hex("6982")];
            Ok(answers[(self.0.len() - 1) % 3].clone())
        }
    }
    let mut card = Recorder(Vec::new());
    for _ in 0..2 {
        let mut piv = Piv { card: &mut card, version: None };
        assert!(piv.authenticate_management(&key(&KEY[..48])).is_err());
    }
    assert_ne!(card.0[2], card.0[5]);
}

#[test]
fn keys_have_three_lengths_and_never_show_themselves() {
    for length in [0, 8, 23, 25, 33] {
        let refused = ManagementKey::new(Zeroizing::new(vec![0; length]));
        assert_eq!(refused.unwrap_err(), WrongKeyLength(length));
    }
    assert_eq!(format!("{:?}", ManagementKey::factory_default()), "ManagementKey(redacted)");
}

const GET_FLAGS: &str = "00CB3FFF055C035FFF0000";
const GET_PRINTED: &str = "00CB3FFF055C035FC10900";

fn protected(transcript: &[(&str, &str)]) -> Result<Option<ManagementKey>, Error> {
    let mut card = Script::new(transcript);
    let key = piv(&mut card).protected_management_key();
    card.assert_finished();
    key
}

#[test]
fn finds_the_key_behind_the_pin() {
    let printed = format!("531C 881A 8918 {} 9000", &KEY[..48]);
    let found = protected(&[(GET_FLAGS, "5305 8003 810103 9000"), (GET_PRINTED, &printed)]);
    assert_eq!(*found.unwrap().unwrap().0, hex(&KEY[..48]));
}

#[test]
fn there_may_be_no_key_behind_the_pin() {
    for flags in ["6A82", "5302 8000 9000", "5305 8003 810101 9000"] {
        assert!(protected(&[(GET_FLAGS, flags)]).unwrap().is_none(), "{flags}");
    }
    for printed in ["6A82", "5302 8800 9000"] {
        let found = protected(&[(GET_FLAGS, "5305 8003 810102 9000"), (GET_PRINTED, printed)]);
        assert!(found.unwrap().is_none(), "{printed}");
    }
}

#[test]
fn the_key_behind_the_pin_needs_the_pin() {
    let found = protected(&[(GET_FLAGS, "5305 8003 810102 9000"), (GET_PRINTED, "6982")]);
    assert!(matches!(found, Err(Error::NotAuthenticated)));
}

#[test]
fn what_is_no_key_is_a_lie() {
    for flags in ["5306 8004 81020202 9000", "5303 810102 9000", "5305 8004 810102 9000"] {
        assert!(matches!(protected(&[(GET_FLAGS, flags)]), Err(Error::Malformed { .. })), "{flags}");
    }
    for printed in ["5305 8803 8901FF 9000", "5303 010203 9000"] {
        let found = protected(&[(GET_FLAGS, "5305 8003 810102 9000"), (GET_PRINTED, printed)]);
        assert!(matches!(found, Err(Error::Malformed { .. })), "{printed}");
    }
}
