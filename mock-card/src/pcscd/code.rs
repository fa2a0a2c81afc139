//! The numbers of PC/SC: results, share modes, dispositions and protocols (pcsc-lite, `pcsclite.h`).

/// A result other than success. An injected fault may name any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u32);

impl Code {
    pub(crate) const CANCELLED: Self = Self(0x8010_0002);
    pub(crate) const INVALID_HANDLE: Self = Self(0x8010_0003);
    pub(crate) const INSUFFICIENT_BUFFER: Self = Self(0x8010_0008);
    pub(crate) const UNKNOWN_READER: Self = Self(0x8010_0009);
    pub(crate) const SHARING_VIOLATION: Self = Self(0x8010_000B);
    pub(crate) const NO_SMARTCARD: Self = Self(0x8010_000C);
    pub(crate) const PROTOCOL_MISMATCH: Self = Self(0x8010_000F);
    pub(crate) const INVALID_VALUE: Self = Self(0x8010_0011);
    pub(crate) const NOT_TRANSACTED: Self = Self(0x8010_0016);
    pub(crate) const READER_UNAVAILABLE: Self = Self(0x8010_0017);
    pub(crate) const SERVICE_STOPPED: Self = Self(0x8010_001E);
    pub(crate) const UNSUPPORTED_FEATURE: Self = Self(0x8010_001F);
    pub(crate) const UNRESPONSIVE_CARD: Self = Self(0x8010_0066);
    pub(crate) const UNPOWERED_CARD: Self = Self(0x8010_0067);
    pub(crate) const RESET_CARD: Self = Self(0x8010_0068);
    pub(crate) const REMOVED_CARD: Self = Self(0x8010_0069);
}

/// The number of a result, 0 for success.
pub(crate) fn rv<T>(result: &Result<T, Code>) -> u32 {
    result.as_ref().err().map_or(0, |code| code.0)
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
            _ => Err(Code::INVALID_VALUE),
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
            _ => Err(Code::INVALID_VALUE),
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
