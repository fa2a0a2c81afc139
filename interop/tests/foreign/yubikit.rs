//! Yubico's own library for Rust (crates.io: yubikit 1.0.0-alpha.0). It takes anything that answers APDUs, so it talks
//! to the applet without PC/SC between.

use mock_card::{Card, Firmware, MockCard, hex};
use yubikit::core::{Connection, Transport};
use yubikit::keys::PublicKey;
use yubikit::piv::{
    DEFAULT_MANAGEMENT_KEY, KeyType, ManagementKey, ManagementKeyType, PinPolicy, PivError, PivPin,
    PivSession, Slot, TouchPolicy,
};
use yubikit::smartcard::{SmartCardConnection, SmartCardError};

use crate::desk::{Desk, SERIAL};
use crate::openssl;

struct Applet(Card);

impl Connection for Applet {
    type Error = SmartCardError;

    fn close(&mut self) {}
}

impl SmartCardConnection for Applet {
    fn send_and_receive(&mut self, apdu: &[u8]) -> Result<(Vec<u8>, u16), SmartCardError> {
        let mut answer = self.0.transmit(apdu);
        // Shown where a test fails.
        println!("{} {}", hex::encode(apdu), hex::encode(&answer));
        let status = answer.split_off(answer.len() - 2);
        Ok((answer, u16::from_be_bytes([status[0], status[1]])))
    }

    fn transport(&self) -> Transport {
        Transport::Usb
    }
}

fn session(firmware: Firmware) -> PivSession<Applet> {
    let card = Card::new(firmware, SERIAL).unwrap();
    PivSession::new(Applet(card)).map_err(|(error, _)| error).unwrap()
}

/// With the management key from the factory.
fn managed(firmware: Firmware) -> PivSession<Applet> {
    let mut session = session(firmware);
    let key = ManagementKey::new(session.management_key_type(), DEFAULT_MANAGEMENT_KEY).unwrap();
    session.authenticate(&key).unwrap();
    session
}

fn pin(text: &str) -> PivPin {
    PivPin::new(text).unwrap()
}

#[test]
fn makes_attests_and_uses_keys() {
    let desk = Desk::with(MockCard::builder());
    let old = [KeyType::EccP256, KeyType::EccP384, KeyType::Rsa2048];
    let new = [KeyType::EccP256, KeyType::EccP384, KeyType::Ed25519];
    for (firmware, kind, algorithms) in [
        (Firmware::new(5, 4, 3), ManagementKeyType::Tdes, old),
        (Firmware::new(5, 7, 4), ManagementKeyType::Aes192, new),
    ] {
        let mut session = managed(firmware);
        assert_eq!((session.get_serial().unwrap(), session.management_key_type()), (SERIAL, kind));
        for algorithm in algorithms {
            let key = session
                .generate_key(Slot::Retired1, algorithm, PinPolicy::Once, TouchPolicy::Cached)
                .unwrap();
            let metadata = session.get_slot_metadata(Slot::Retired1).unwrap();
            assert_eq!((metadata.key_type, metadata.generated), (algorithm, true));
            assert_eq!((metadata.pin_policy, metadata.touch_policy), (PinPolicy::Once, TouchPolicy::Cached));
            assert_eq!(metadata.public_key.to_spki().unwrap(), key.to_spki().unwrap());

            let attestation = session.attest_key(Slot::Retired1).unwrap();
            desk.write("attestation", &attestation);
            desk.write("attesting", session.get_certificate(Slot::Attestation).unwrap());
            openssl::chain_is_good(&desk, "attestation", "attesting");
            for compressed in [false, true] {
                session.put_certificate(Slot::Retired1, &attestation, compressed).unwrap();
                assert_eq!(session.get_certificate(Slot::Retired1).unwrap(), attestation);
            }
            signs(&desk, &mut session, algorithm, &key);
        }
    }
}

/// With an elliptic curve: the card is given a digest, or with Ed25519 the message itself.
fn signs(desk: &Desk, session: &mut PivSession<Applet>, algorithm: KeyType, key: &PublicKey) {
    let (digest, length) = match algorithm {
        KeyType::EccP256 => ("-sha256", 32),
        KeyType::EccP384 => ("-sha384", 48),
        _ => return,
    };
    desk.write("message", "what is signed");
    desk.write("public", key.to_spki().unwrap());
    let hashed = desk.run("openssl", &["dgst", digest, "-binary", "message"]).succeeds();
    assert_eq!(hashed.stdout().len(), length);
    session.verify_pin(&pin("123456")).unwrap();
    desk.write("signature", session.sign(Slot::Retired1, algorithm, hashed.stdout()).unwrap());
    openssl::signature_is_good(desk, digest, "public", "signature", "message");
}

#[test]
fn agrees_on_secrets_with_itself() {
    let mut session = managed(Firmware::new(5, 7, 4));
    for algorithm in [KeyType::EccP256, KeyType::EccP384, KeyType::X25519] {
        let mut make =
            |slot| session.generate_key(slot, algorithm, PinPolicy::Never, TouchPolicy::Never).unwrap();
        let (one, other) = (point(&make(Slot::Retired1)), point(&make(Slot::Retired2)));
        let first = session.calculate_secret(Slot::Retired1, algorithm, &other).unwrap();
        let second = session.calculate_secret(Slot::Retired2, algorithm, &one).unwrap();
        assert_eq!(first, second, "{algorithm:?}");
    }
}

/// The last part of a SubjectPublicKeyInfo, after the octet that counts unused bits.
fn point(key: &PublicKey) -> Vec<u8> {
    let info = key.to_spki().unwrap();
    let length = match info.len() {
        ..60 => 32,
        60..100 => 65,
        _ => 97,
    };
    info[info.len() - length..].to_vec()
}

#[test]
fn moves_deletes_and_resets() {
    let mut session = managed(Firmware::new(5, 7, 4));
    session.generate_key(Slot::Retired1, KeyType::EccP384, PinPolicy::Once, TouchPolicy::Always).unwrap();
    session.move_key(Slot::Retired1, Slot::Retired20).unwrap();
    session.get_slot_metadata(Slot::Retired1).unwrap_err();
    assert_eq!(session.get_slot_metadata(Slot::Retired20).unwrap().touch_policy, TouchPolicy::Always);
    session.delete_key(Slot::Retired20).unwrap();
    session.get_slot_metadata(Slot::Retired20).unwrap_err();

    assert!(matches!(session.verify_pin(&pin("999999")), Err(PivError::InvalidPin(2))));
    session.change_pin(&pin("123456"), &pin("135790")).unwrap();
    session.change_puk(&pin("12345678"), &pin("87651234")).unwrap();
    session.unblock_pin(&pin("87651234"), &pin("246802")).unwrap();
    session.verify_pin(&pin("246802")).unwrap();
    session.set_pin_attempts(4, 5).unwrap();
    let metadata = session.get_pin_metadata().unwrap();
    assert_eq!((metadata.default_value, metadata.attempts_remaining), (true, 4));

    let key = ManagementKey::new(ManagementKeyType::Aes256, &[7; 32]).unwrap();
    session.set_management_key(&key, false).unwrap();
    assert!(!session.get_management_key_metadata().unwrap().default_value);
    session.reset().unwrap();
    assert_eq!(session.management_key_type(), ManagementKeyType::Aes192);
    assert!(session.get_puk_metadata().unwrap().default_value);
}
