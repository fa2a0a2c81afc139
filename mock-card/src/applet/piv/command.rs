//! The commands of the PIV application: what the parameters and the data of each mean. An APDU is read here once;
//! everything else works with the values.

use super::session::TemporaryPin;
use crate::applet::apdu::CommandApdu;
use crate::applet::instruction::Instruction;
use crate::applet::key::Algorithm;
use crate::applet::management_key::ManagementAlgorithm;
use crate::applet::object::{self, ObjectNumber};
use crate::applet::policy::{PinPolicy, TouchPolicy};
use crate::applet::reference_data::PaddedValue;
use crate::applet::slot;
use crate::applet::status::Status;
use crate::applet::tlv::{self, Elements, tag};

/// A command whose parameters and data are well formed. Whether the card can do it is another question.
pub(super) enum Command<'a> {
    QueryPin,
    VerifyPin(&'a PaddedValue),
    LogOut,
    QueryFingerprint,
    VerifyFingerprint { wants_temporary_pin: bool },
    VerifyTemporaryPin(&'a TemporaryPin),
    ChangePin { old: &'a PaddedValue, new: &'a PaddedValue },
    ChangePuk { old: &'a PaddedValue, new: &'a PaddedValue },
    UnblockPin { puk: &'a PaddedValue, pin: &'a PaddedValue },
    SetPinRetries { pin: u8, puk: u8 },
    AuthenticateManagement { algorithm: ManagementAlgorithm, step: Authentication<'a> },
    SetManagementKey { algorithm: ManagementAlgorithm, value: &'a [u8], touch: TouchPolicy },
    UseKey { slot: u8, algorithm: Algorithm, operation: Operation<'a> },
    GenerateKey { slot: u8, algorithm: Algorithm, policies: Policies },
    ImportKey { slot: u8, algorithm: Algorithm, secret: Elements<'a>, policies: Policies },
    MoveKey { from: u8, to: u8 },
    DeleteKey { slot: u8 },
    Attest { slot: u8 },
    GetMetadata { reference: u8 },
    GetData(ObjectNumber),
    PutData { object: ObjectNumber, content: &'a [u8] },
    GetSerial,
    GetVersion,
    Reset,
}

/// A step in the authentication of the management key.
pub(super) enum Authentication<'a> {
    RequestWitness,
    RequestChallenge,
    /// The witness that the client has decrypted, and a challenge for the card.
    Mutual {
        witness: &'a [u8],
        challenge: &'a [u8],
    },
    /// The challenge that the client has encrypted.
    Single {
        response: &'a [u8],
    },
}

/// What is to be done with a private key.
pub(super) enum Operation<'a> {
    /// Sign a digest or message, or decrypt a block.
    Sign(&'a [u8]),
    /// Agree on a secret with the owner of a public key.
    Agree(&'a [u8]),
}

/// The policies for a new key.
#[derive(Clone, Copy)]
pub(super) struct Policies {
    /// Without one, that of the slot.
    pub(super) pin: Option<PinPolicy>,
    pub(super) touch: TouchPolicy,
}

impl<'a> Command<'a> {
    /// Reads a command. `instruction` is that of the APDU.
    pub(super) fn parse(instruction: Instruction, apdu: &'a CommandApdu) -> Result<Self, Status> {
        match instruction {
            Instruction::Verify => verify(apdu),
            Instruction::ChangeReferenceData => change_reference_data(apdu),
            Instruction::ResetRetryCounter => reset_retry_counter(apdu),
            Instruction::SetPinRetries => set_pin_retries(apdu),
            Instruction::GeneralAuthenticate => general_authenticate(apdu),
            Instruction::SetManagementKey => set_management_key(apdu),
            Instruction::GenerateAsymmetricKeyPair => generate(apdu),
            Instruction::ImportAsymmetricKey => import(apdu),
            Instruction::MoveKey => move_key(apdu),
            Instruction::Attest => attest(apdu),
            Instruction::GetMetadata => get_metadata(apdu),
            Instruction::GetData => get_data(apdu),
            Instruction::PutData => put_data(apdu),
            Instruction::GetSerial => Ok(Self::GetSerial),
            Instruction::GetVersion => Ok(Self::GetVersion),
            Instruction::Reset => Ok(Self::Reset),
            Instruction::ReadConfig | Instruction::Select | Instruction::GetResponse => {
                Err(Status::UnknownInstruction)
            }
        }
    }
}

/// `00 20 00 80` and a padded PIN, or nothing. P1 = FF, and P2 = 96 for a fingerprint, are Yubico's.
fn verify(apdu: &CommandApdu) -> Result<Command<'_>, Status> {
    match apdu.p2 {
        slot::PIN => {}
        slot::FINGERPRINT => return verify_fingerprint(apdu),
        _ => return Err(Status::ReferenceNotFound),
    }
    match (apdu.p1, &apdu.data[..]) {
        (0x00, []) => Ok(Command::QueryPin),
        (0x00, pin) => pin.try_into().map(Command::VerifyPin).map_err(|_| Status::WrongData),
        (0xFF, []) => Ok(Command::LogOut),
        _ => Err(Status::WrongParameters),
    }
}

/// `00 20 00 96` and nothing, `02 00`, `03 00`, or `01 10` and a temporary PIN.
fn verify_fingerprint(apdu: &CommandApdu) -> Result<Command<'_>, Status> {
    match (apdu.p1, &apdu.data[..]) {
        (0x00, []) => Ok(Command::QueryFingerprint),
        (0x00, [0x02, 0x00]) => Ok(Command::VerifyFingerprint { wants_temporary_pin: true }),
        (0x00, [0x03, 0x00]) => Ok(Command::VerifyFingerprint { wants_temporary_pin: false }),
        (0x00, [0x01, 0x10, pin @ ..]) => {
            pin.try_into().map(Command::VerifyTemporaryPin).map_err(|_| Status::WrongData)
        }
        (0x00, _) => Err(Status::WrongData),
        _ => Err(Status::WrongParameters),
    }
}

/// `00 24 00 80` or `81`, the old value and the new one.
fn change_reference_data(apdu: &CommandApdu) -> Result<Command<'_>, Status> {
    match (apdu.p1, apdu.p2) {
        (0x00, slot::PIN) => two_values(&apdu.data).map(|(old, new)| Command::ChangePin { old, new }),
        (0x00, slot::PUK) => two_values(&apdu.data).map(|(old, new)| Command::ChangePuk { old, new }),
        _ => Err(Status::ReferenceNotFound),
    }
}

/// `00 2C 00 80`, the PUK and a new PIN.
fn reset_retry_counter(apdu: &CommandApdu) -> Result<Command<'_>, Status> {
    match (apdu.p1, apdu.p2) {
        (0x00, slot::PIN) => two_values(&apdu.data).map(|(puk, pin)| Command::UnblockPin { puk, pin }),
        _ => Err(Status::ReferenceNotFound),
    }
}

fn two_values(data: &[u8]) -> Result<(&PaddedValue, &PaddedValue), Status> {
    let (first, second) = data.split_first_chunk().ok_or(Status::WrongData)?;
    Ok((first, second.try_into().map_err(|_| Status::WrongData)?))
}

/// `00 FA`, the tries of the PIN and those of the PUK.
fn set_pin_retries(apdu: &CommandApdu) -> Result<Command<'_>, Status> {
    match (apdu.p1, apdu.p2) {
        (0, _) | (_, 0) => Err(Status::WrongData),
        (pin, puk) => Ok(Command::SetPinRetries { pin, puk }),
    }
}

/// `00 87`, the algorithm, the slot, and a dynamic authentication template.
fn general_authenticate(apdu: &CommandApdu) -> Result<Command<'_>, Status> {
    match apdu.p2 {
        slot::MANAGEMENT => {
            let algorithm = ManagementAlgorithm::parse(apdu.p1).ok_or(Status::WrongData)?;
            Ok(Command::AuthenticateManagement { algorithm, step: authentication(&template(apdu)?)? })
        }
        slot if slot::holds_private_keys(slot) && slot != slot::ATTESTATION => {
            let algorithm = Algorithm::parse(apdu.p1).ok_or(Status::WrongData)?;
            Ok(Command::UseKey { slot, algorithm, operation: operation(&template(apdu)?)? })
        }
        _ => Err(Status::WrongData),
    }
}

fn template(apdu: &CommandApdu) -> Result<Elements<'_>, Status> {
    tlv::parse(tlv::only(&apdu.data, tag::AUTHENTICATION_TEMPLATE)?)
}

fn authentication<'a>(template: &Elements<'a>) -> Result<Authentication<'a>, Status> {
    let value = |tag| tlv::find(template, tag);
    match (value(tag::WITNESS), value(tag::CHALLENGE), value(tag::RESPONSE)) {
        (Some([]), None, _) => Ok(Authentication::RequestWitness),
        (None, Some([]), _) => Ok(Authentication::RequestChallenge),
        (Some(witness), Some(challenge), _) => Ok(Authentication::Mutual { witness, challenge }),
        (None, None, Some(response)) => Ok(Authentication::Single { response }),
        _ => Err(Status::WrongData),
    }
}

fn operation<'a>(template: &Elements<'a>) -> Result<Operation<'a>, Status> {
    match (tlv::find(template, tag::CHALLENGE), tlv::find(template, tag::PEER_POINT)) {
        (Some(challenge), None) if !challenge.is_empty() => Ok(Operation::Sign(challenge)),
        (None, Some(point)) => Ok(Operation::Agree(point)),
        _ => Err(Status::WrongData),
    }
}

/// `00 FF FF`, the touch policy, and `algorithm 9B length key`.
fn set_management_key(apdu: &CommandApdu) -> Result<Command<'_>, Status> {
    let touch = match (apdu.p1, apdu.p2) {
        (0xFF, 0xFF) => TouchPolicy::Never,
        (0xFF, 0xFE) => TouchPolicy::Always,
        (0xFF, 0xFD) => TouchPolicy::Cached,
        _ => return Err(Status::WrongParameters),
    };
    match &apdu.data[..] {
        [algorithm, slot::MANAGEMENT, length, value @ ..] if usize::from(*length) == value.len() => {
            let algorithm = ManagementAlgorithm::parse(*algorithm).ok_or(Status::WrongData)?;
            Ok(Command::SetManagementKey { algorithm, value, touch })
        }
        _ => Err(Status::WrongData),
    }
}

/// `00 47 00`, the slot, and `AC L 80 01 algorithm [AA 01 PIN policy] [AB 01 touch policy]`.
fn generate(apdu: &CommandApdu) -> Result<Command<'_>, Status> {
    let slot = key_slot(apdu.p2)?;
    let template = tlv::parse(tlv::only(&apdu.data, tag::CONTROL_TEMPLATE)?)?;
    let algorithm = match tlv::find(&template, tag::ALGORITHM) {
        Some([identifier]) => Algorithm::parse(*identifier),
        _ => None,
    };
    let algorithm = algorithm.ok_or(Status::WrongData)?;
    Ok(Command::GenerateKey { slot, algorithm, policies: policies(&template)? })
}

/// `00 FE`, the algorithm, the slot, and the secret's numbers followed by `[AA 01 PIN policy] [AB 01 touch policy]`.
fn import(apdu: &CommandApdu) -> Result<Command<'_>, Status> {
    let slot = key_slot(apdu.p2)?;
    let algorithm = Algorithm::parse(apdu.p1).ok_or(Status::WrongData)?;
    let secret = tlv::parse(&apdu.data)?;
    let policies = policies(&secret)?;
    Ok(Command::ImportKey { slot, algorithm, secret, policies })
}

fn policies(template: &Elements<'_>) -> Result<Policies, Status> {
    let byte = |tag| match tlv::find(template, tag) {
        None => Ok(0),
        Some([value]) => Ok(*value),
        Some(_) => Err(Status::WrongData),
    };
    let pin = match byte(tag::PIN_POLICY)? {
        0 => None,
        told => Some(PinPolicy::parse(told).ok_or(Status::WrongData)?),
    };
    Ok(Policies { pin, touch: TouchPolicy::parse(byte(tag::TOUCH_POLICY)?)? })
}

/// `00 F6`, where to and where from. P1 = FF deletes.
fn move_key(apdu: &CommandApdu) -> Result<Command<'_>, Status> {
    const NOWHERE: u8 = 0xFF;
    let from = key_slot(apdu.p2)?;
    match apdu.p1 {
        NOWHERE => Ok(Command::DeleteKey { slot: from }),
        to if from != slot::ATTESTATION && to != slot::ATTESTATION => {
            Ok(Command::MoveKey { from, to: key_slot(to)? })
        }
        _ => Err(Status::WrongSlot),
    }
}

/// `00 F9`, the slot, `00`.
fn attest(apdu: &CommandApdu) -> Result<Command<'_>, Status> {
    if apdu.p2 != 0 || apdu.p1 == slot::ATTESTATION {
        return Err(Status::WrongData);
    }
    Ok(Command::Attest { slot: apdu.p1 })
}

/// `00 F7 00` and a slot, the PIN or the PUK.
fn get_metadata(apdu: &CommandApdu) -> Result<Command<'_>, Status> {
    if apdu.p1 != 0 {
        return Err(Status::WrongParameters);
    }
    Ok(Command::GetMetadata { reference: apdu.p2 })
}

/// `00 CB 3F FF` and `5C L object`.
fn get_data(apdu: &CommandApdu) -> Result<Command<'_>, Status> {
    require_current_application(apdu)?;
    let name = tlv::only(&apdu.data, tag::TAG_LIST)?;
    object::parse(name).map(Command::GetData).ok_or(Status::WrongData)
}

/// `00 DB 3F FF` and `5C L object 53 L content`.
fn put_data(apdu: &CommandApdu) -> Result<Command<'_>, Status> {
    require_current_application(apdu)?;
    let (tag, name, rest) = tlv::first(&apdu.data)?;
    let object = object::parse(name).filter(|_| tag == tag::TAG_LIST).ok_or(Status::WrongData)?;
    Ok(Command::PutData { object, content: tlv::only(rest, tag::DATA)? })
}

/// P1 and P2 of GET DATA and PUT DATA mean the objects of the application that is selected.
fn require_current_application(apdu: &CommandApdu) -> Result<(), Status> {
    if (apdu.p1, apdu.p2) == (0x3F, 0xFF) { Ok(()) } else { Err(Status::WrongParameters) }
}

fn key_slot(slot: u8) -> Result<u8, Status> {
    if slot::holds_private_keys(slot) { Ok(slot) } else { Err(Status::WrongSlot) }
}
