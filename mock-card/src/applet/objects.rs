//! Data objects: GET DATA and PUT DATA (SP 800-73-4 part 2, 3.1.2 and 3.3.2).

use super::apdu::Command;
use super::piv::Piv;
use super::status::Status;
use super::store::Object;
use super::tlv;

/// The Discovery object (part 1, 3.3.2); its content is the answer, without the 53 around it.
const DISCOVERY: u32 = 0x7E;
/// The biometric group template, the other object that travels bare.
const BIOMETRIC_GROUP: u32 = 0x7F61;
/// What survives a RESET of the application: the attestation certificate.
pub(crate) const ATTESTATION_CERTIFICATE: u32 = 0x5F_FF01;

/// AID, then the PIN usage policy: the application's own PIN only.
const DISCOVERY_VALUE: [u8; 20] =
    [0x7E, 0x12, 0x4F, 0x0B, 0xA0, 0, 0, 3, 8, 0, 0, 0x10, 0, 1, 0, 0x5F, 0x2F, 2, 0x40, 0];

/// Fingerprints, printed information, facial image and iris images want the PIN (part 1, table 2).
const PIN_PROTECTED: [u32; 4] = [0x5F_C103, 0x5F_C108, 0x5F_C109, 0x5F_C121];

impl Piv {
    /// GET DATA, `5C n tag`.
    pub(super) fn get_data(&self, command: &Command) -> Result<Vec<u8>, Status> {
        require_current_template(command)?;
        let number = object_number(tlv::only(&command.data, 0x5C)?)?;
        match self.object(number) {
            Some(_) if PIN_PROTECTED.contains(&number) && !self.session.pin_verified => {
                Err(Status::SecurityNotSatisfied)
            }
            Some(object) if number == DISCOVERY || number == BIOMETRIC_GROUP => Ok(object.to_vec()),
            Some(object) => Ok(tlv::element(&[0x53], object)),
            None if number == DISCOVERY => Ok(DISCOVERY_VALUE.to_vec()),
            None => Err(Status::NotFound),
        }
    }

    /// PUT DATA, `5C n tag 53 L value`; an empty value deletes.
    pub(super) fn put_data(&mut self, command: &Command) -> Result<Vec<u8>, Status> {
        self.require_management()?;
        require_current_template(command)?;
        let (tag, name, rest) = tlv::first(&command.data)?;
        if tag != 0x5C {
            return Err(Status::WrongData);
        }
        let number = object_number(name)?;
        let value = tlv::only(rest, 0x53)?;
        if value.is_empty() {
            self.leave_factory(number);
            self.change().objects.remove(&number);
            return Ok(Vec::new());
        }
        let replaced = self.store().objects.get(&number).map_or(0, |object| object.0.len());
        let total = self.store().object_bytes() - replaced + value.len();
        if value.len() > self.profile.largest_object() || total > self.profile.object_memory() {
            return Err(Status::MemoryFull);
        }
        self.leave_factory(number);
        self.change().objects.insert(number, Object(value.to_vec()));
        Ok(Vec::new())
    }

    fn leave_factory(&mut self, number: u32) {
        if number == ATTESTATION_CERTIFICATE {
            self.change().factory.certificate = false;
        }
    }
}

/// P1-P2 = 3FFF, the application's own objects.
fn require_current_template(command: &Command) -> Result<(), Status> {
    if (command.p1, command.p2) == (0x3F, 0xFF) { Ok(()) } else { Err(Status::WrongParameters) }
}

/// 5F0000 to 5FFFFF, 7E and 7F61.
fn object_number(name: &[u8]) -> Result<u32, Status> {
    match name {
        [0x7E] => Ok(DISCOVERY),
        [0x7F, 0x61] => Ok(BIOMETRIC_GROUP),
        [0x5F, high, low] => Ok(u32::from_be_bytes([0, 0x5F, *high, *low])),
        _ => Err(Status::WrongData),
    }
}
