//! Every algorithm: a key is made on the card or imported, it is used, and the result is checked with the public key.

use mock_card::{Card, Firmware, ImportedKey, PinPolicy, PublicKey, TouchPolicy, hex};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use rsa::pkcs8::EncodePrivateKey as _;
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use rsa::{BoxedUint, Pkcs1v15Encrypt, Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};
use sha2::{Digest as _, Sha256};

use crate::cards::{Random, authenticate, bytes, card, known_key};

/// An extended command with any amount of data.
pub(crate) fn command(header: [u8; 4], data: &[u8]) -> Vec<u8> {
    [&header[..], &[0], &(data.len() as u16).to_be_bytes(), data].concat()
}

/// The same as a chain of short commands. The answer is that of the last one, with all its parts.
fn transmit_chained(card: &mut Card, header: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut parts = data.chunks(255).peekable();
    let mut answer = Vec::new();
    while let Some(part) = parts.next() {
        let class = if parts.peek().is_some() { 0x10 } else { 0 };
        answer = card.transmit(&[&[class, header[1], header[2], header[3], part.len() as u8], part].concat());
        assert!(parts.peek().is_none() || answer == [0x90, 0]);
    }
    while let [.., 0x61, _] = answer[..] {
        answer.truncate(answer.len() - 2);
        answer.extend(card.transmit(&bytes("00C00000")));
    }
    answer
}

/// An element with a tag of one byte, and its length in as few bytes as possible.
fn element(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = match value.len() {
        short @ ..0x80 => vec![short as u8],
        long @ ..0x100 => vec![0x81, long as u8],
        longer => [&[0x82], &(longer as u16).to_be_bytes()[..]].concat(),
    };
    [&[tag], &length[..], value].concat()
}

/// The value of the first element, and the bytes after it.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, start) = match bytes[1] {
        0x81 => (usize::from(bytes[2]), 3),
        0x82 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
        short => (usize::from(short), 2),
    };
    bytes[start..].split_at(length)
}

/// What GENERAL AUTHENTICATE answers to tag 81 or 85, without the template around it.
fn use_key(card: &mut Card, algorithm: u8, slot: u8, tag: u8, data: &[u8]) -> Result<Vec<u8>, String> {
    let template = element(0x7C, &[&[0x82, 0], &element(tag, data)[..]].concat());
    let answer = transmit_chained(card, [0, 0x87, algorithm, slot], &template);
    let Some(answer) = answer.strip_suffix(&[0x90, 0]) else { return Err(hex::encode(&answer)) };
    assert_eq!(answer[0], 0x7C);
    let (inner, after) = split(answer);
    assert_eq!((inner[0], after), (0x82, &[][..]));
    let (result, after) = split(inner);
    assert!(after.is_empty());
    Ok(result.to_vec())
}

/// Makes a key that needs no PIN. The result is its public half, as the card answers it.
fn generate(card: &mut Card, algorithm: u8, slot: u8) -> Vec<u8> {
    authenticate(card);
    let data = [0xAC, 6, 0x80, 1, algorithm, 0xAA, 1, 1];
    let answer = card.transmit(&command([0, 0x47, 0, slot], &data));
    let public = answer.strip_suffix(&[0x90, 0]).unwrap_or_else(|| panic!("{}", hex::encode(&answer)));
    assert_eq!(public[..2], [0x7F, 0x49]);
    split(&public[1..]).0.to_vec()
}

/// The modulus in `81 n 82 03 010001`.
fn rsa_public(template: &[u8]) -> RsaPublicKey {
    let (modulus, exponent) = split(template);
    assert_eq!((template[0], exponent), (0x81, &[0x82, 3, 1, 0, 1][..]));
    let modulus = BoxedUint::from_be_slice(modulus, modulus.len() as u32 * 8).unwrap();
    RsaPublicKey::new_unchecked(modulus, 65_537_u64.into())
}

/// The padding of PKCS#1 v1.5 (RFC 8017, 9.2), which a client makes before it asks the card.
fn padded(digest: &[u8], size: usize) -> Vec<u8> {
    let info = [&bytes("3031300D060960864801650304020105000420")[..], digest].concat();
    [&[0, 1][..], &vec![0xFF; size - info.len() - 3], &[0], &info].concat()
}

fn rsa_signs_and_decrypts(card: &mut Card, algorithm: u8, slot: u8, public: &RsaPublicKey) {
    let digest = Sha256::digest(b"message");
    let signature = use_key(card, algorithm, slot, 0x81, &padded(&digest, public.size())).unwrap();
    public.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, &signature).unwrap();

    let ciphertext = public.encrypt(&mut Random(7), Pkcs1v15Encrypt, b"a secret").unwrap();
    let block = use_key(card, algorithm, slot, 0x81, &ciphertext).unwrap();
    assert_eq!(block.len(), public.size());
    assert!(block.starts_with(&[0, 2]) && block.ends_with(b"\0a secret"));

    assert_eq!(use_key(card, algorithm, slot, 0x81, &vec![1; public.size() - 1]), Err("6A80".to_owned()));
    assert_eq!(use_key(card, algorithm, slot, 0x81, &vec![0xFF; public.size()]), Err("6A80".to_owned()));
    assert_eq!(use_key(card, algorithm, slot, 0x85, &vec![1; public.size()]), Err("6A80".to_owned()));
}

#[test]
fn rsa_keys_made_on_the_card() {
    let mut card = card(Firmware::default());
    for (algorithm, size) in [(0x06, 128), (0x07, 256), (0x05, 384)] {
        let template = generate(&mut card, algorithm, 0x9A);
        let public = rsa_public(&template);
        assert_eq!((public.size(), public.n().bits()), (size, size as u32 * 8));
        rsa_signs_and_decrypts(&mut card, algorithm, 0x9A, &public);
        let metadata = card.transmit(&bytes("00F7009A 000000"));
        assert!(metadata.starts_with(&[1, 1, algorithm, 2, 2, 1, 1, 3, 1, 1, 4]));
        assert!(metadata.ends_with(&[&template[..], &[0x90, 0]].concat()));
    }
}

/// The data of IMPORT: `01 p 02 q 03 dP 04 dQ 05 qInv` and a PIN policy. Each number is half as long as the modulus.
fn numbers(key: &RsaPrivateKey) -> [Vec<u8>; 5] {
    let fixed = |number: &BoxedUint| {
        let bytes = number.to_be_bytes();
        let half = key.size() / 2;
        [&vec![0; half.saturating_sub(bytes.len())], &bytes[bytes.len().saturating_sub(half)..]].concat()
    };
    let [p, q] = key.primes() else { panic!("two primes") };
    [p, q, key.dp().unwrap(), key.dq().unwrap(), &key.crt_coefficient().unwrap()].map(fixed)
}

fn import_template(numbers: &[Vec<u8>]) -> Vec<u8> {
    let elements = (1..).zip(numbers).flat_map(|(tag, number)| element(tag, number));
    elements.chain(bytes("AA0101")).collect()
}

#[test]
fn rsa_keys_brought_to_the_card() {
    let mut card = card(Firmware::default());
    authenticate(&mut card);
    for (algorithm, bits) in [(0x06, 1024), (0x07, 2048), (0x16, 4096)] {
        let key = RsaPrivateKey::new_unchecked(&mut Random(3), bits).unwrap();
        let template = import_template(&numbers(&key));
        let answer = transmit_chained(&mut card, [0, 0xFE, algorithm, 0x9A], &template);
        assert_eq!(answer, [0x90, 0], "{bits}");
        rsa_signs_and_decrypts(&mut card, algorithm, 0x9A, &key.to_public_key());
        let metadata = card.transmit(&bytes("00F7009A 000000"));
        assert!(metadata.starts_with(&[1, 1, algorithm, 2, 2, 1, 1, 3, 1, 2]), "{bits}");
    }
}

#[test]
fn rsa_numbers_that_do_not_belong_together() {
    let mut card = card(Firmware::default());
    authenticate(&mut card);
    let good = numbers(&RsaPrivateKey::new_unchecked(&mut Random(3), 1024).unwrap());
    for broken in 0..5 {
        let mut numbers = good.clone();
        numbers[broken][40] ^= 4;
        let answer = card.transmit(&command([0, 0xFE, 6, 0x9A], &import_template(&numbers)));
        assert_eq!(answer, [0x6A, 0x80], "{broken}");
    }
    assert_eq!(card.transmit(&command([0, 0xFE, 6, 0x9A], &import_template(&good[..4]))), [0x6A, 0x80]);
    // The same bytes, divided differently.
    let mut divided = good.clone();
    let moved = divided[1].remove(0);
    divided[0].push(moved);
    assert_eq!(card.transmit(&command([0, 0xFE, 6, 0x9A], &import_template(&divided))), [0x6A, 0x80]);
    // The right numbers with the wrong algorithm.
    assert_eq!(card.transmit(&command([0, 0xFE, 7, 0x9A], &import_template(&good))), [0x6A, 0x80]);
    assert_eq!(card.transmit(&bytes("00F7009A")), [0x6A, 0x88]);
}

#[test]
fn the_curves_of_the_standard() {
    let mut card = card(Firmware::default());
    for (algorithm, size) in [(0x11, 32), (0x14, 48)] {
        let public = generate(&mut card, algorithm, 0x9A);
        let (point, _) = split(&public);
        for length in [size, 20] {
            let digest = vec![0x77; length];
            let padded = [vec![0; size - length], digest.clone()].concat();
            let signature = use_key(&mut card, algorithm, 0x9A, 0x81, &digest).unwrap();
            if algorithm == 0x11 {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).unwrap();
                key.verify_prehash(&padded, &p256::ecdsa::Signature::from_der(&signature).unwrap()).unwrap();
            } else {
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).unwrap();
                key.verify_prehash(&padded, &p384::ecdsa::Signature::from_der(&signature).unwrap()).unwrap();
            }
        }
    }
    let public = generate(&mut card, 0x11, 0x9D);
    let ours = p256::SecretKey::from_slice(&[0x42; 32]).unwrap();
    let theirs = p256::PublicKey::from_sec1_bytes(split(&public).0).unwrap();
    let point = p256::Sec1Point::from(ours.public_key());
    let shared = use_key(&mut card, 0x11, 0x9D, 0x85, point.as_bytes()).unwrap();
    assert_eq!(shared, ours.diffie_hellman(&theirs).raw_secret_bytes().to_vec());
}

/// Test 2 of RFC 8032, 7.1, and a message in several parts.
#[test]
fn ed25519_signs_the_message_itself() {
    let mut card = card(Firmware::default());
    authenticate(&mut card);
    let seed = "4CCD089B28FF96DA9DB6C346EC114E0F5B8A319F35ABA624DA8CF6ED4FB8A6FB";
    let public = "3D4017C3E843895A92B70AA74D1B7EBC9C982CCF2EC4968CC0CD55F12AF4660C";
    assert_eq!(card.transmit(&bytes(&format!("00FEE09A25 0720 {seed} AA0101"))), [0x90, 0]);
    let metadata = card.transmit(&bytes("00F7009A"));
    assert_eq!(metadata, bytes(&format!("0101E0 02020101 030102 0422 8620 {public} 9000")));
    let signature = use_key(&mut card, 0xE0, 0x9A, 0x81, &[0x72]).unwrap();
    assert_eq!(
        hex::encode(&signature),
        "92A009A9F0D4CAB8720E820B5F642540A2B27B5416503F8FB3762223EBDB69DA\
         085AC1E43E15996E458F3613D0F11D8C387B2EAEB4302AEEB00D291612BB0C00"
    );
    let message = vec![0x33; 1_000];
    let signature = use_key(&mut card, 0xE0, 0x9A, 0x81, &message).unwrap();
    let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes(public).try_into().unwrap()).unwrap();
    key.verify_strict(&message, &ed25519_dalek::Signature::from_slice(&signature).unwrap()).unwrap();
    assert_eq!(use_key(&mut card, 0xE0, 0x9A, 0x85, &[9; 32]), Err("6A80".to_owned()));
    assert_eq!(generate(&mut card, 0xE0, 0x9C)[..2], [0x86, 32]);
}

/// The first test vector of RFC 7748, 5.2.
#[test]
fn x25519_agrees_on_a_secret() {
    let mut card = card(Firmware::default());
    authenticate(&mut card);
    let scalar = "A546E36BF0527C9D3B16154B82465EDD62144C0AC1FC5A18506A2244BA449AC4";
    let peer = bytes("E6DB6867583030DB3594C1A424B15F7C726624EC26B3353B10A903A6D0AB1C4C");
    assert_eq!(card.transmit(&bytes(&format!("00FEE19D25 0820 {scalar} AA0101"))), [0x90, 0]);
    let shared = use_key(&mut card, 0xE1, 0x9D, 0x85, &peer).unwrap();
    assert_eq!(hex::encode(&shared), "C3DA55379DE9C6908E94EA4DF28D084F32ECCF03491C71F754B4075577A28552");
    assert_eq!(use_key(&mut card, 0xE1, 0x9D, 0x85, &peer[1..]), Err("6A80".to_owned()));
    assert_eq!(use_key(&mut card, 0xE1, 0x9D, 0x81, &peer), Err("6A80".to_owned()));

    let public = generate(&mut card, 0xE1, 0x9C);
    let theirs: [u8; 32] = split(&public).0.try_into().unwrap();
    let ours = x25519_dalek::StaticSecret::from([0x42; 32]);
    let point = x25519_dalek::PublicKey::from(&ours);
    let shared = use_key(&mut card, 0xE1, 0x9C, 0x85, point.as_bytes()).unwrap();
    assert_eq!(shared, ours.diffie_hellman(&theirs.into()).as_bytes());
}

#[test]
fn keys_from_files() {
    let mut card = card(Firmware::default());
    for (name, identifier) in
        [("p256", 0x11), ("p384", 0x14), ("ed25519", 0xE0), ("x25519", 0xE1), ("rsa1024", 6)]
    {
        let key = known_key(name);
        assert_eq!((key.algorithm().identifier(), key.algorithm().name()), (identifier, name));
        card.import(0x82, key.clone(), PinPolicy::Never, TouchPolicy::Never).unwrap();
        card.transmit(&bytes("00A4040005A000000308"));
        let metadata = card.transmit(&bytes("00F70082"));
        assert_eq!(metadata[..3], [1, 1, identifier]);
        let public = key.public_key();
        assert!(
            metadata.windows(public.as_bytes().len()).any(|window| window == public.as_bytes()),
            "{name}"
        );
        assert_eq!(matches!(public, PublicKey::Modulus(_)), name.starts_with("rsa"));
    }
    let odd = RsaPrivateKey::new_unchecked(&mut Random(5), 1536).unwrap();
    assert!(ImportedKey::from_pkcs8(odd.to_pkcs8_der().unwrap().as_bytes()).is_err());
}
