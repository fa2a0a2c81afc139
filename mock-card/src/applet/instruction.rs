//! The instruction byte of a command: SP 800-73-4 part 2, section 3, and Yubico's extensions.

/// The instructions that a YubiKey's PIV, management and OTP applications have in common with the standard, or of their
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Instruction {
    /// Of the management application.
    ReadConfig = 0x1D,
    Verify = 0x20,
    ChangeReferenceData = 0x24,
    ResetRetryCounter = 0x2C,
    GenerateAsymmetricKeyPair = 0x47,
    GeneralAuthenticate = 0x87,
    Select = 0xA4,
    GetResponse = 0xC0,
    GetData = 0xCB,
    PutData = 0xDB,
    MoveKey = 0xF6,
    GetMetadata = 0xF7,
    GetSerial = 0xF8,
    Attest = 0xF9,
    SetPinRetries = 0xFA,
    Reset = 0xFB,
    GetVersion = 0xFD,
    ImportAsymmetricKey = 0xFE,
    SetManagementKey = 0xFF,
}

/// What has to be proven before a command of the PIV application is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authorization {
    /// Nothing, or it depends on what the command is about.
    Open,
    /// The management key.
    ManagementKey,
    /// The management key and the PIN.
    ManagementKeyAndPin,
}

impl Instruction {
    /// Each with its name in the standard, or in Yubico's documents.
    const NAMES: [(Self, &str); 19] = [
        (Self::ReadConfig, "READ CONFIG"),
        (Self::Verify, "VERIFY"),
        (Self::ChangeReferenceData, "CHANGE REFERENCE DATA"),
        (Self::ResetRetryCounter, "RESET RETRY COUNTER"),
        (Self::GenerateAsymmetricKeyPair, "GENERATE ASYMMETRIC KEY PAIR"),
        (Self::GeneralAuthenticate, "GENERAL AUTHENTICATE"),
        (Self::Select, "SELECT"),
        (Self::GetResponse, "GET RESPONSE"),
        (Self::GetData, "GET DATA"),
        (Self::PutData, "PUT DATA"),
        (Self::MoveKey, "MOVE KEY"),
        (Self::GetMetadata, "GET METADATA"),
        (Self::GetSerial, "GET SERIAL"),
        (Self::Attest, "ATTEST"),
        (Self::SetPinRetries, "SET PIN RETRIES"),
        (Self::Reset, "RESET"),
        (Self::GetVersion, "GET VERSION"),
        (Self::ImportAsymmetricKey, "IMPORT ASYMMETRIC KEY"),
        (Self::SetManagementKey, "SET MANAGEMENT KEY"),
    ];

    pub(crate) fn parse(byte: u8) -> Option<Self> {
        Self::NAMES.into_iter().map(|(instruction, _)| instruction).find(|known| *known as u8 == byte)
    }

    pub(crate) fn name(self) -> &'static str {
        let entry = Self::NAMES.into_iter().find(|(instruction, _)| *instruction == self);
        entry.map(|(_, name)| name).expect("every instruction has a name")
    }

    pub(crate) fn authorization(self) -> Authorization {
        match self {
            Self::GenerateAsymmetricKeyPair
            | Self::ImportAsymmetricKey
            | Self::MoveKey
            | Self::PutData
            | Self::SetManagementKey => Authorization::ManagementKey,
            Self::SetPinRetries => Authorization::ManagementKeyAndPin,
            _ => Authorization::Open,
        }
    }

    /// Whether it can take up more of the card's memory.
    pub(crate) fn stores(self) -> bool {
        matches!(
            self,
            Self::PutData | Self::GenerateAsymmetricKeyPair | Self::ImportAsymmetricKey | Self::MoveKey
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Instruction;

    #[test]
    fn every_byte_is_one_instruction_or_none() {
        let known = (0..=u8::MAX).filter_map(Instruction::parse);
        assert!(known.eq(Instruction::NAMES.map(|(instruction, _)| instruction)), "sorted, and none twice");
    }
}
