//! The numbers of PC/SC: results, share modes, dispositions and protocols (pcsc-lite, `pcsclite.h`).

/// A result other than success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Cancelled,
    InvalidHandle,
    InsufficientBuffer,
    UnknownReader,
    SharingViolation,
    NoSmartcard,
    ProtocolMismatch,
    InvalidValue,
    NotTransacted,
    ReaderUnavailable,
    ServiceStopped,
    UnsupportedFeature,
    UnresponsiveCard,
    UnpoweredCard,
    ResetCard,
    RemovedCard,
    /// The result that an injected fault names.
    Injected(u32),
}

impl Code {
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Cancelled => 0x8010_0002,
            Self::InvalidHandle => 0x8010_0003,
            Self::InsufficientBuffer => 0x8010_0008,
            Self::UnknownReader => 0x8010_0009,
            Self::SharingViolation => 0x8010_000B,
            Self::NoSmartcard => 0x8010_000C,
            Self::ProtocolMismatch => 0x8010_000F,
            Self::InvalidValue => 0x8010_0011,
            Self::NotTransacted => 0x8010_0016,
            Self::ReaderUnavailable => 0x8010_0017,
            Self::ServiceStopped => 0x8010_001E,
            Self::UnsupportedFeature => 0x8010_001F,
            Self::UnresponsiveCard => 0x8010_0066,
            Self::UnpoweredCard => 0x8010_0067,
            Self::ResetCard => 0x8010_0068,
            Self::RemovedCard => 0x8010_0069,
            Self::Injected(rv) => rv,
        }
    }
}

/// The number of a result, 0 for success.
pub(crate) fn rv<T>(result: &Result<T, Code>) -> u32 {
    result.as_ref().err().map_or(0, |code| code.number())
}

/// How a handle shares its card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShareMode {
    Exclusive,
    Shared,
    Direct,
}

impl ShareMode {
    pub(crate) fn parse(number: u32) -> Result<Self, Code> {
        match number {
            1 => Ok(Self::Exclusive),
            2 => Ok(Self::Shared),
            3 => Ok(Self::Direct),
            _ => Err(Code::InvalidValue),
        }
    }
}

/// What is done to the card at the end of a transaction or connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    Leave,
    Reset,
    Unpower,
    Eject,
}

impl Disposition {
    pub(crate) fn parse(number: u32) -> Result<Self, Code> {
        match number {
            0 => Ok(Self::Leave),
            1 => Ok(Self::Reset),
            2 => Ok(Self::Unpower),
            3 => Ok(Self::Eject),
            _ => Err(Code::InvalidValue),
        }
    }
}

pub(crate) mod protocol {
    //! The bits of protocols. A YubiKey offers T=1 only over USB.

    pub(crate) const NONE: u32 = 0;
    pub(crate) const T1: u32 = 2;
    pub(crate) const RAW: u32 = 4;
    /// T=0, T=1, raw, and the older bit for "any".
    pub(crate) const KNOWN: u32 = 1 | T1 | RAW | ANY_OLD;
    pub(crate) const ANY_OLD: u32 = 0x1000;
}
