//! The card management key, slot `9B` (SP 800-73-4 part 2, 3.2.4 and appendix A.1: mutual authentication; AES keys as
//! SP 800-78-4), and the place where ykman and others keep one that the PIN protects.

use std::fmt;

use cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    Error, ManagementAlgorithm, Piv, Status,
    apdu::{Command, MANAGEMENT_KEY, PRINTED_INFORMATION, instruction},
    refusal, tlv,
};

/// Yubico's administrative data: flags, salt, time.
const ADMINISTRATIVE_DATA: [u8; 3] = [0x5F, 0xFF, 0x00];
const KEY_IS_PROTECTED: u8 = 0x02;

/// The bytes of a management key; which cipher they are for is the card's to say. Wiped when dropped, never shown.
pub struct ManagementKey(Zeroizing<Vec<u8>>);

impl ManagementKey {
    /// Takes 16, 24 or 32 bytes.
    ///
    /// # Errors
    /// [`WrongKeyLength`] for any other number.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<ManagementKey, WrongKeyLength> {
        match bytes.len() {
            16 | 24 | 32 => Ok(ManagementKey(bytes)),
            other => Err(WrongKeyLength(other)),
        }
    }

    /// The key of a new card, 24 bytes: for 3DES up to firmware 5.6 and for AES-192 from 5.7.
    pub fn factory_default() -> ManagementKey {
        ManagementKey(Zeroizing::new([1, 2, 3, 4, 5, 6, 7, 8].repeat(3)))
    }
}

impl fmt::Debug for ManagementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ManagementKey(redacted)")
    }
}

/// No management key has so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a management key has 24 bytes (or 16 or 32), that is 48 hexadecimal digits; this has {0} bytes")]
pub struct WrongKeyLength(pub usize);

impl Piv<'_> {
    /// Mutual authentication: after it, keys can be generated and certificates stored until the card is reset.
    /// The card may ask for a touch ([`super::ManagementKeyMetadata::touch`]).
    ///
    /// # Errors
    /// [`Error::WrongManagementKey`], which a touch that did not come also looks like;
    /// [`Error::ManagementKeyLength`], before anything is sent; [`Error::CardNotGenuine`].
    pub fn authenticate_management(&mut self, key: &ManagementKey) -> Result<(), Error> {
        let mut challenge = [0; 16];
        getrandom::fill(&mut challenge)?;
        self.authenticate_management_with(key, challenge)
    }

    /// The challenge is cut to the block length of the cipher.
    fn authenticate_management_with(
        &mut self,
        key: &ManagementKey,
        challenge: [u8; 16],
    ) -> Result<(), Error> {
        let algorithm = self.management_algorithm()?;
        if key.0.len() != algorithm.key_length() {
            let (expected, given) = (algorithm.key_length(), key.0.len());
            return Err(Error::ManagementKeyLength { algorithm, expected, given });
        }
        let challenge = &challenge[..algorithm.block_length()];

        let witness = self.authenticate_step(algorithm, &[(0x80, &[])], Error::NotAuthenticated)?;
        let witness = response(&witness, 0x80, algorithm)?;
        let witness = Zeroizing::new(Direction::Decrypt.apply(algorithm, key, witness));

        let proof = [(0x80, &witness[..]), (0x81, challenge)];
        let answer = self.authenticate_step(algorithm, &proof, Error::WrongManagementKey)?;
        let answer = response(&answer, 0x82, algorithm)?;
        let knows_the_key = Direction::Encrypt.apply(algorithm, key, challenge).ct_eq(answer);
        if bool::from(knows_the_key) { Ok(()) } else { Err(Error::CardNotGenuine) }
    }

    /// The algorithm from the card's metadata. Cards without metadata only know 3DES.
    fn management_algorithm(&mut self) -> Result<ManagementAlgorithm, Error> {
        match self.management_key_metadata() {
            Ok(metadata) => Ok(metadata.algorithm),
            Err(Error::Unsupported { .. }) => Ok(ManagementAlgorithm::TripleDes),
            Err(error) => Err(error),
        }
    }

    fn authenticate_step(
        &mut self,
        algorithm: ManagementAlgorithm,
        fields: &[(u16, &[u8])],
        denied: Error,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut content = Zeroizing::new(Vec::with_capacity(64));
        for (tag, value) in fields {
            tlv::push(&mut content, *tag, value);
        }
        let mut template = Zeroizing::new(Vec::with_capacity(64));
        tlv::push(&mut template, 0x7C, &content);
        let command = Command::new(instruction::GENERAL_AUTHENTICATE, algorithm as u8, MANAGEMENT_KEY)
            .data(template)
            .expects_data();
        let answer = self.exchange(&command)?;
        match answer.status {
            Status::SuccessfulExecution => Ok(answer.data),
            Status::SecurityStatusNotSatisfied => Err(denied),
            status => Err(refusal("GENERAL AUTHENTICATE", status)),
        }
    }

    /// The management key that the card keeps behind the PIN, after [`Piv::verify_pin`]; `None` if it keeps none.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] if the PIN has not been verified.
    pub fn protected_management_key(&mut self) -> Result<Option<ManagementKey>, Error> {
        let Some(data) = self.object(ADMINISTRATIVE_DATA)? else { return Ok(None) };
        if !says_protected(&data)? {
            return Ok(None);
        }
        let Some(data) = self.object(PRINTED_INFORMATION)? else { return Ok(None) };
        const WHAT: &str = "protected management key";
        let Some(key) = tlv::find(tlv::only(&data, 0x88, WHAT)?, 0x89, WHAT)? else { return Ok(None) };
        let key = ManagementKey::new(Zeroizing::new(key.to_vec()));
        key.map(Some).map_err(|_| Error::Malformed { what: WHAT })
    }
}

fn says_protected(administrative_data: &[u8]) -> Result<bool, Error> {
    const WHAT: &str = "administrative data";
    match tlv::find(tlv::only(administrative_data, 0x80, WHAT)?, 0x81, WHAT)? {
        None => Ok(false),
        Some([flags]) => Ok(flags & KEY_IS_PROTECTED != 0),
        Some(_) => Err(Error::Malformed { what: WHAT }),
    }
}

/// The one field of a dynamic authentication template, which has the length of one block.
fn response(answer: &[u8], tag: u16, algorithm: ManagementAlgorithm) -> Result<&[u8], Error> {
    const WHAT: &str = "answer of management authentication";
    let block = tlv::only(tlv::only(answer, 0x7C, WHAT)?, tag, WHAT)?;
    if block.len() == algorithm.block_length() { Ok(block) } else { Err(Error::Malformed { what: WHAT }) }
}

/// Which way a block goes through the cipher.
#[derive(Clone, Copy)]
enum Direction {
    Encrypt,
    Decrypt,
}

impl Direction {
    fn apply(self, algorithm: ManagementAlgorithm, key: &ManagementKey, block: &[u8]) -> Vec<u8> {
        match algorithm {
            ManagementAlgorithm::TripleDes => self.apply_with::<des::TdesEde3>(&key.0, block),
            ManagementAlgorithm::Aes128 => self.apply_with::<aes::Aes128>(&key.0, block),
            ManagementAlgorithm::Aes192 => self.apply_with::<aes::Aes192>(&key.0, block),
            ManagementAlgorithm::Aes256 => self.apply_with::<aes::Aes256>(&key.0, block),
        }
    }

    fn apply_with<C: KeyInit + BlockCipherEncrypt + BlockCipherDecrypt>(
        self,
        key: &[u8],
        block: &[u8],
    ) -> Vec<u8> {
        let cipher = C::new_from_slice(key).expect("the key has the length of the algorithm");
        let mut block = Block::<C>::try_from(block).expect("the block has the length of the algorithm");
        match self {
            Direction::Encrypt => cipher.encrypt_block(&mut block),
            Direction::Decrypt => cipher.decrypt_block(&mut block),
        }
        block.to_vec()
    }
}

#[cfg(test)]
mod tests;
