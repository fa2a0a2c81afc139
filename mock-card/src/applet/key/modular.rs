//! RSA: the private-key operation of RFC 8017, 5.1.2, without padding, which is up to the client.
//!
//! A secret is the prime `p` and then the prime `q`, each half as long as the modulus. The public exponent is always
//! 65537.

use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use rsa::{BoxedUint, RsaPrivateKey, hazmat};

use crate::applet::random::SeededRandom;
use crate::applet::status::Status;

/// The exponent 65537 in big-endian bytes.
pub(super) const EXPONENT: [u8; 3] = [1, 0, 1];
const EXPONENT_NUMBER: u64 = 65_537;

/// A new key with a modulus of `size` bytes. That takes a tenth of a second for 2048 bits, and seconds for 4096.
pub(super) fn generate(size: usize, random: &mut dyn FnMut(&mut [u8])) -> Vec<u8> {
    let mut random = SeededRandom::from_source(random);
    let key = RsaPrivateKey::new_unchecked(&mut random, size * 8).expect("the size is one of four good ones");
    primes(&key, size)
}

/// The secret of a key, if its modulus has this size and its exponent is 65537.
pub(super) fn from_key(key: &RsaPrivateKey, size: usize) -> Option<Vec<u8>> {
    let fits = key.size() == size && key.primes().len() == 2;
    checked(&fits.then(|| primes(key, size))?, size).filter(|_| *key.e() == BoxedUint::from(EXPONENT_NUMBER))
}

/// The secret of the key with these numbers: `p`, `q`, `d mod p-1`, `d mod q-1` and `1/q mod p`, each half as long as
/// the modulus. There is none if they do not belong together, or the exponent is not 65537.
pub(super) fn from_numbers(numbers: [&[u8]; 5], size: usize) -> Option<Vec<u8>> {
    if numbers.iter().any(|number| number.len() != size / 2) {
        return None;
    }
    let [p, q, dp, dq, q_inverse] = numbers;
    let secret = checked(&[p, q].concat(), size)?;
    let key = key(&secret)?;
    let equals = |number: Option<&BoxedUint>, bytes: &[u8]| {
        number.is_some_and(|number| padded(number, size / 2) == bytes)
    };
    let coefficient = key.crt_coefficient();
    (equals(key.dp(), dp) && equals(key.dq(), dq) && equals(coefficient.as_ref(), q_inverse))
        .then_some(secret)
}

/// The secret, if the product of its primes has `size` bytes and the first bit is set.
pub(super) fn checked(secret: &[u8], size: usize) -> Option<Vec<u8>> {
    let fits = secret.len() == size && key(secret)?.n().as_ref().bits() as usize == size * 8;
    fits.then(|| secret.to_vec())
}

/// The modulus, big-endian.
pub(super) fn modulus(secret: &[u8]) -> Vec<u8> {
    padded(key(secret).expect(CHECKED).n().as_ref(), secret.len())
}

/// `block ^ d mod n`. The block has to be as long as the modulus, and smaller.
pub(super) fn power(secret: &[u8], block: &[u8]) -> Result<Vec<u8>, Status> {
    if block.len() != secret.len() {
        return Err(Status::WrongData);
    }
    let number = number(block).ok_or(Status::WrongData)?;
    let key = key(secret).expect(CHECKED);
    let result = hazmat::rsa_decrypt::<SeededRandom>(None, &key, &number).map_err(|_| Status::WrongData)?;
    Ok(padded(&result, secret.len()))
}

const CHECKED: &str = "every way to a key checks its primes";

fn key(secret: &[u8]) -> Option<RsaPrivateKey> {
    let (p, q) = secret.split_at(secret.len() / 2);
    RsaPrivateKey::from_p_q(number(p)?, number(q)?, EXPONENT_NUMBER.into()).ok()
}

fn number(bytes: &[u8]) -> Option<BoxedUint> {
    BoxedUint::from_be_slice(bytes, u32::try_from(bytes.len() * 8).ok()?).ok()
}

fn primes(key: &RsaPrivateKey, size: usize) -> Vec<u8> {
    key.primes().iter().flat_map(|prime| padded(prime, size / 2)).collect()
}

/// The number in big-endian bytes, with zeros in front up to this length.
fn padded(number: &BoxedUint, length: usize) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let digits = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    [&vec![0; length.saturating_sub(digits.len())], digits].concat()
}
