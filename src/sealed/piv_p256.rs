//! The `piv-p256` recipient of age-plugin-yubikey 0.5: how a file key is wrapped for a P-256 key on a card.
//!
//! `-> piv-p256 TAG EPHEMERAL`, then the wrapped file key; all three in base64 without padding. TAG is the first 4 bytes
//! of SHA-256 over the recipient's compressed point, EPHEMERAL the compressed point of a key made for this file. The file
//! key (16 bytes) is encrypted with ChaCha20-Poly1305 under a zero nonce, with the key HKDF-SHA-256(salt = EPHEMERAL ‖
//! recipient, info = `piv-p256`, input = the x coordinate on which the two keys agree). Any other age program with that
//! plugin opens what is sealed here, and the other way round.

use std::fmt;
use std::str::FromStr;

use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::primitives::{aead_decrypt, aead_encrypt, bech32_decode, bech32_encode, hkdf};
use age_core::secrecy::ExposeSecret as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD as BASE64;
use bech32::Hrp;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::piv::{P256Point, Serial, Slot};

const NAME: &str = "piv-p256";
const RECIPIENT: Hrp = Hrp::parse_unchecked("age1yubikey");
const IDENTITY: Hrp = Hrp::parse_unchecked("age-plugin-yubikey-");

/// The x coordinate on which two keys agree. Wiped when dropped.
pub type SharedSecret = Zeroizing<[u8; 32]>;

/// A P-256 key on a card to which tokens are sealed: its compressed point. Written as `age1yubikey1…`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Recipient([u8; 33]);

/// A text that is no recipient of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a recipient like age1yubikey1…")]
pub struct NoRecipient;

/// The first bytes of a recipient's hash, by which a stanza names it.
type Tag = [u8; 4];

impl Recipient {
    /// The recipient with this point, if that is on the curve.
    ///
    /// # Errors
    /// [`NoRecipient`].
    pub fn from_point(point: &P256Point) -> Result<Self, NoRecipient> {
        Self::from_sec1(point)
    }

    fn from_sec1(bytes: &[u8]) -> Result<Self, NoRecipient> {
        let key = p256::PublicKey::from_sec1_bytes(bytes).map_err(|_| NoRecipient)?;
        Ok(Self(compressed(&key)))
    }

    /// What age-plugin-yubikey needs to find this key on its card, `AGE-PLUGIN-YUBIKEY-1…`: serial number (4 bytes, the
    /// low one first), slot, tag. It is no secret.
    #[must_use]
    pub fn identity(&self, serial: Serial, slot: Slot) -> String {
        let mut stub = serial.0.to_le_bytes().to_vec();
        stub.push(slot.reference());
        stub.extend(self.tag());
        bech32_encode(IDENTITY, &stub).to_uppercase()
    }

    pub(crate) fn tag(&self) -> Tag {
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(self.0));
        [a, b, c, d]
    }

    fn key(&self) -> p256::PublicKey {
        p256::PublicKey::from_sec1_bytes(&self.0).expect("was a point on the curve when it was made")
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&bech32_encode(RECIPIENT, &self.0))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

impl FromStr for Recipient {
    type Err = NoRecipient;

    fn from_str(text: &str) -> Result<Self, NoRecipient> {
        let ours = |hrp| if hrp == RECIPIENT { Ok(()) } else { Err(NoRecipient) };
        bech32_decode(
            text,
            |_| NoRecipient,
            ours,
            |_, bytes| {
                let bytes: [u8; 33] = bytes.collect::<Vec<_>>().try_into().map_err(|_| NoRecipient)?;
                Self::from_sec1(&bytes)
            },
        )
    }
}

/// Wraps for this recipient; age calls it when it encrypts.
impl age::Recipient for Recipient {
    fn wrap_file_key(
        &self,
        file_key: &FileKey,
    ) -> Result<(Vec<Stanza>, std::collections::HashSet<String>), age::EncryptError> {
        let stanza = WrappedKey::wrap(file_key, self).map_err(std::io::Error::other)?;
        Ok((vec![stanza.to_stanza()], std::collections::HashSet::new()))
    }
}

/// A file key, wrapped for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrappedKey {
    tag: Tag,
    /// A compressed point, known to be on the curve.
    ephemeral: [u8; 33],
    body: [u8; FILE_KEY_BYTES + 16],
}

/// A stanza of this name that is not of this form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Malformed;

impl WrappedKey {
    /// `None` for a stanza of another kind.
    pub(crate) fn from_stanza(stanza: &Stanza) -> Option<Result<Self, Malformed>> {
        (stanza.tag == NAME).then(|| {
            let [tag, ephemeral] = &stanza.args[..] else { return Err(Malformed) };
            let ephemeral = decoded::<33>(ephemeral)?;
            let point = p256::PublicKey::from_sec1_bytes(&ephemeral).map_err(|_| Malformed)?;
            // SEC 1 knows a third way to write a point in 33 bytes, which the plugin does not take.
            if compressed(&point) != ephemeral {
                return Err(Malformed);
            }
            let body = stanza.body.as_slice().try_into().map_err(|_| Malformed)?;
            Ok(Self { tag: decoded(tag)?, ephemeral, body })
        })
    }

    fn to_stanza(&self) -> Stanza {
        Stanza {
            tag: NAME.to_owned(),
            args: vec![BASE64.encode(self.tag), BASE64.encode(self.ephemeral)],
            body: self.body.to_vec(),
        }
    }

    fn wrap(file_key: &FileKey, recipient: &Recipient) -> Result<Self, getrandom::Error> {
        let ephemeral = ephemeral_key()?;
        let agreed = p256::ecdh::diffie_hellman(ephemeral.to_nonzero_scalar(), recipient.key().as_affine());
        let secret = Zeroizing::new((*agreed.raw_secret_bytes()).into());
        let ephemeral = compressed(&ephemeral.public_key());
        let key = wrapping_key(&ephemeral, recipient, &secret);
        let body = aead_encrypt(&key, file_key.expose_secret());
        let body = body.try_into().expect("16 bytes and their tag");
        Ok(Self { tag: recipient.tag(), ephemeral, body })
    }

    /// Whether it says that it is for this recipient.
    pub(crate) fn is_for(&self, recipient: &Recipient) -> bool {
        self.tag == recipient.tag()
    }

    /// What the card has to agree with.
    pub(crate) fn ephemeral_point(&self) -> P256Point {
        let key = p256::PublicKey::from_sec1_bytes(&self.ephemeral).expect("was checked when it was read");
        key.to_sec1_point(false).as_bytes().try_into().expect("an uncompressed point has 65 bytes")
    }

    /// `None` if the secret is not the one on which the recipient's key agrees, or the stanza was changed.
    pub(crate) fn unwrap(&self, recipient: &Recipient, secret: &SharedSecret) -> Option<FileKey> {
        let key = wrapping_key(&self.ephemeral, recipient, secret);
        let file_key = Zeroizing::new(aead_decrypt(&key, FILE_KEY_BYTES, &self.body).ok()?);
        FileKey::try_init_with_mut(|bytes| {
            let file_key: &[u8; FILE_KEY_BYTES] = file_key.as_slice().try_into()?;
            bytes.copy_from_slice(file_key);
            Ok::<_, std::array::TryFromSliceError>(())
        })
        .ok()
    }
}

fn wrapping_key(ephemeral: &[u8; 33], recipient: &Recipient, secret: &SharedSecret) -> Zeroizing<[u8; 32]> {
    let salt = [&ephemeral[..], &recipient.0].concat();
    Zeroizing::new(hkdf(&salt, NAME.as_bytes(), &secret[..]))
}

fn ephemeral_key() -> Result<p256::SecretKey, getrandom::Error> {
    let mut secret = Zeroizing::new([0; 32]);
    loop {
        getrandom::fill(&mut *secret)?;
        // Not a valid secret once in 2^32 tries.
        if let Ok(key) = p256::SecretKey::from_slice(&*secret) {
            return Ok(key);
        }
    }
}

fn compressed(key: &p256::PublicKey) -> [u8; 33] {
    key.to_sec1_point(true).as_bytes().try_into().expect("a compressed point has 33 bytes")
}

fn decoded<const LENGTH: usize>(text: &str) -> Result<[u8; LENGTH], Malformed> {
    let bytes = BASE64.decode(text).map_err(|_| Malformed)?;
    bytes.try_into().map_err(|_| Malformed)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A key that is in no card.
    pub(crate) fn secret(seed: u8) -> p256::SecretKey {
        p256::SecretKey::from_slice(&[seed; 32]).unwrap()
    }

    pub(crate) fn recipient(seed: u8) -> Recipient {
        Recipient(compressed(&secret(seed).public_key()))
    }

    /// What a card with this key answers.
    pub(crate) fn agree(seed: u8, point: &P256Point) -> SharedSecret {
        let point = p256::PublicKey::from_sec1_bytes(point).unwrap();
        let agreed = p256::ecdh::diffie_hellman(secret(seed).to_nonzero_scalar(), point.as_affine());
        Zeroizing::new((*agreed.raw_secret_bytes()).into())
    }

    #[test]
    fn a_recipient_is_written_as_the_plugin_writes_it() {
        let text = recipient(7).to_string();
        assert!(text.starts_with("age1yubikey1"), "{text}");
        assert_eq!(text.parse(), Ok(recipient(7)));
        for wrong in [
            text.to_uppercase() + "q",
            text.replace("yubikey1", "yubikey2"),
            text[..40].to_owned(),
            String::new(),
        ] {
            assert_eq!(wrong.parse::<Recipient>(), Err(NoRecipient), "{wrong}");
        }
    }

    /// Made with age-plugin-yubikey's own encoding of serial number 1, slot 82 and a tag.
    #[test]
    fn an_identity_names_card_slot_and_tag() {
        let identity = recipient(7).identity(Serial(0x0403_0201), "95".parse().unwrap());
        assert!(identity.starts_with("AGE-PLUGIN-YUBIKEY-1"), "{identity}");
        let bytes = bech32_decode(
            &identity.to_lowercase(),
            |_| (),
            |hrp| if hrp == IDENTITY { Ok(()) } else { Err(()) },
            |_, bytes| Ok(bytes.collect::<Vec<_>>()),
        );
        assert_eq!(bytes.unwrap(), [&[1, 2, 3, 4, 0x95][..], &recipient(7).tag()].concat());
    }

    #[test]
    fn only_the_right_secret_unwraps() {
        let file_key = FileKey::new(Box::new([9; 16]));
        let wrapped = WrappedKey::wrap(&file_key, &recipient(7)).unwrap();
        let wrapped = WrappedKey::from_stanza(&wrapped.to_stanza()).unwrap().unwrap();
        assert!(wrapped.is_for(&recipient(7)) && !wrapped.is_for(&recipient(8)));
        let point = wrapped.ephemeral_point();
        let unwrapped = wrapped.unwrap(&recipient(7), &agree(7, &point)).unwrap();
        assert_eq!(unwrapped.expose_secret(), &[9; 16]);
        assert!(wrapped.unwrap(&recipient(7), &agree(8, &point)).is_none());
        assert!(wrapped.unwrap(&recipient(8), &agree(7, &point)).is_none(), "the salt names the recipient");
        let again = WrappedKey::wrap(&file_key, &recipient(7)).unwrap();
        assert_ne!(again.ephemeral, wrapped.ephemeral, "each file has a key of its own");
    }

    #[test]
    fn stanzas_of_another_form_are_refused() {
        let good = WrappedKey::wrap(&FileKey::new(Box::new([9; 16])), &recipient(7)).unwrap();
        type Spoil = fn(&mut Stanza);
        let spoils: [Spoil; 7] = [
            |stanza| drop(stanza.args.pop()),
            |stanza| stanza.args.push("AAAA".into()),
            |stanza| stanza.args[0].push('A'),
            |stanza| stanza.args[0] += "==",
            |stanza| stanza.args[1] = BASE64.encode([2; 32]),
            |stanza| stanza.args[1] = BASE64.encode([5; 33]),
            |stanza| stanza.body.push(0),
        ];
        for (number, spoil) in spoils.into_iter().enumerate() {
            let mut stanza = good.to_stanza();
            spoil(&mut stanza);
            assert!(matches!(WrappedKey::from_stanza(&stanza), Some(Err(Malformed))), "{number}");
        }
        let mut other = good.to_stanza();
        other.tag = "X25519".into();
        assert!(WrappedKey::from_stanza(&other).is_none());
    }
}
