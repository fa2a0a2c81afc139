//! The management key, slot 9B: its algorithms and the two ways to prove it (SP 800-73-4 part 2, 3.2.4 and
//! appendix A.1). The AES algorithms are those of SP 800-78-4, table 6-1.

use aes::{Aes128, Aes192, Aes256};
use cipher::{Array, BlockCipherEncrypt, BlockSizeUser, KeyInit};
use des::TdesEde3;
use serde::{Deserialize, Serialize};

use super::apdu::Command;
use super::piv::{MANAGEMENT, Outcome, Piv, Withheld};
use super::policy::TouchPolicy;
use super::status::Status;
use super::tlv;
use crate::hex;

/// The block cipher behind the management key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ManagementAlgorithm {
    /// Identifier 03, 24 bytes.
    TripleDes,
    /// Identifier 08, 16 bytes.
    Aes128,
    /// Identifier 0A, 24 bytes.
    Aes192,
    /// Identifier 0C, 32 bytes.
    Aes256,
}

impl ManagementAlgorithm {
    /// Identifier 00 is the older name of 3DES (SP 800-78-4, table 6-2).
    pub(crate) fn parse(identifier: u8) -> Option<Self> {
        match identifier {
            0x00 | 0x03 => Some(Self::TripleDes),
            0x08 => Some(Self::Aes128),
            0x0A => Some(Self::Aes192),
            0x0C => Some(Self::Aes256),
            _ => None,
        }
    }

    pub(crate) fn identifier(self) -> u8 {
        match self {
            Self::TripleDes => 0x03,
            Self::Aes128 => 0x08,
            Self::Aes192 => 0x0A,
            Self::Aes256 => 0x0C,
        }
    }

    /// Bytes in a key.
    pub fn key_length(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::TripleDes | Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    fn block_length(self) -> usize {
        if self == Self::TripleDes { 8 } else { 16 }
    }
}

/// The key of slot 9B.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManagementKey {
    pub(crate) algorithm: ManagementAlgorithm,
    #[serde(with = "hex::text")]
    value: Vec<u8>,
    pub(crate) touch: TouchPolicy,
}

impl ManagementKey {
    /// 01 to 08, three times: the value every new card has, whatever its algorithm.
    pub(crate) const DEFAULT: [u8; 24] =
        [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8];

    pub(crate) fn new(algorithm: ManagementAlgorithm, value: &[u8], touch: TouchPolicy) -> Option<Self> {
        (value.len() == algorithm.key_length()).then(|| Self { algorithm, value: value.to_vec(), touch })
    }

    pub(crate) fn default_of(algorithm: ManagementAlgorithm) -> Self {
        Self { algorithm, value: Self::DEFAULT.to_vec(), touch: TouchPolicy::Never }
    }

    pub(crate) fn is_default(&self) -> bool {
        self.value == Self::DEFAULT
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.value.len() == self.algorithm.key_length()
    }

    /// One block: 8 bytes with 3DES, 16 with AES.
    fn encrypt(&self, block: &[u8]) -> Vec<u8> {
        match self.algorithm {
            ManagementAlgorithm::TripleDes => encrypt(&cipher_of::<TdesEde3>(&self.value), block),
            ManagementAlgorithm::Aes128 => encrypt(&cipher_of::<Aes128>(&self.value), block),
            ManagementAlgorithm::Aes192 => encrypt(&cipher_of::<Aes192>(&self.value), block),
            ManagementAlgorithm::Aes256 => encrypt(&cipher_of::<Aes256>(&self.value), block),
        }
    }
}

/// Tags of the dynamic authentication template, 7C.
const WITNESS: u8 = 0x80;
const CHALLENGE: u8 = 0x81;
const RESPONSE: u8 = 0x82;

/// What the card drew in the first call and waits to see again. Good for one second call, right or wrong.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// Mutual: the host must decrypt this witness.
    Witness(Vec<u8>),
    /// Single: the host must encrypt this challenge.
    Challenge(Vec<u8>),
}

impl Piv {
    /// GENERAL AUTHENTICATE with slot 9B, both calls of both ways.
    pub(super) fn authenticate_management(&mut self, command: &Command) -> Result<Outcome, Status> {
        let proof = self.session.proof.take();
        let key = self.store().management.clone();
        if ManagementAlgorithm::parse(command.p1) != Some(key.algorithm) {
            return Err(Status::WrongData);
        }
        let template = tlv::parse(tlv::only(&command.data, 0x7C)?)?;
        let value = |tag| tlv::find(&template, tag);
        match (value(WITNESS), value(CHALLENGE), value(RESPONSE)) {
            (Some([]), None, _) => {
                let witness = self.draw(key.algorithm.block_length());
                let answer = tlv::element(&[0x7C], &tlv::element(&[WITNESS], &key.encrypt(&witness)));
                self.session.proof = Some(Proof::Witness(witness));
                Ok(Outcome::Answer(answer))
            }
            (None, Some([]), _) => {
                let challenge = self.draw(key.algorithm.block_length());
                let answer = tlv::element(&[0x7C], &tlv::element(&[CHALLENGE], &challenge));
                self.session.proof = Some(Proof::Challenge(challenge));
                Ok(Outcome::Answer(answer))
            }
            (Some(seen), Some(theirs), _) => {
                let Some(Proof::Witness(witness)) = proof else { return Err(Status::ConditionsNotSatisfied) };
                if theirs.len() != key.algorithm.block_length() {
                    return Err(Status::WrongData);
                }
                let answer = tlv::element(&[0x7C], &tlv::element(&[RESPONSE], &key.encrypt(theirs)));
                self.grant_management(&key, seen == witness, answer)
            }
            (None, None, Some(seen)) => {
                let Some(Proof::Challenge(challenge)) = proof else {
                    return Err(Status::ConditionsNotSatisfied);
                };
                self.grant_management(&key, seen == key.encrypt(&challenge), Vec::new())
            }
            _ => Err(Status::WrongData),
        }
    }

    fn grant_management(
        &self,
        key: &ManagementKey,
        proven: bool,
        answer: Vec<u8>,
    ) -> Result<Outcome, Status> {
        if !proven {
            return Err(Status::SecurityNotSatisfied);
        }
        Ok(Outcome::AfterTouch(Withheld {
            slot: MANAGEMENT,
            touch: key.touch,
            answer: Ok(answer),
            authenticates_management: true,
        }))
    }

    /// SET MANAGEMENT KEY: touch policy in P2, `algorithm 9B length key`.
    pub(super) fn set_management_key(&mut self, command: &Command) -> Result<Vec<u8>, Status> {
        self.require_management()?;
        let touch = match (command.p1, command.p2) {
            (0xFF, 0xFF) => TouchPolicy::Never,
            (0xFF, 0xFE) => TouchPolicy::Always,
            (0xFF, 0xFD) => TouchPolicy::Cached,
            _ => return Err(Status::WrongParameters),
        };
        let [algorithm, MANAGEMENT, length, value @ ..] = &command.data[..] else {
            return Err(Status::WrongData);
        };
        let algorithm = ManagementAlgorithm::parse(*algorithm)
            .filter(|algorithm| self.profile.has_management_algorithm(*algorithm))
            .ok_or(Status::WrongData)?;
        if usize::from(*length) != value.len() {
            return Err(Status::WrongData);
        }
        self.change().management = ManagementKey::new(algorithm, value, touch).ok_or(Status::WrongData)?;
        Ok(Vec::new())
    }

    pub(super) fn require_management(&self) -> Result<(), Status> {
        if self.session.management_authenticated { Ok(()) } else { Err(Status::SecurityNotSatisfied) }
    }
}

fn cipher_of<C: KeyInit>(key: &[u8]) -> C {
    C::new_from_slice(key).expect("every way to a ManagementKey checks its length")
}

fn encrypt<C: BlockCipherEncrypt + BlockSizeUser>(cipher: &C, block: &[u8]) -> Vec<u8> {
    let mut block = Array::try_from(block).expect("blocks are drawn and checked at the algorithm's length");
    cipher.encrypt_block(&mut block);
    block.to_vec()
}
