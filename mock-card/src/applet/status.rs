//! Status words: SP 800-73-4 part 2, section 3, and ISO/IEC 7816-4 section 5.6.

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// 63Cx: wrong PIN, PUK; x tries left, at most 15 can be told.
    TriesLeft(u8),
    /// 6700: the length of the command.
    WrongLength,
    /// 6982: PIN, management key or touch is missing.
    SecurityNotSatisfied,
    /// 6983: no tries left.
    Blocked,
    /// 6985: not now, or not this value.
    ConditionsNotSatisfied,
    /// 6A80: the command's data.
    WrongData,
    /// 6A82: no such object or application.
    NotFound,
    /// 6A84: the memory is full.
    MemoryFull,
    /// 6A86: P1 or P2.
    WrongParameters,
    /// 6A88: no such key or reference.
    ReferenceNotFound,
    /// 6B00: no such slot; Yubico's own use of this word.
    WrongSlot,
    /// 6D00: instruction not known.
    UnknownInstruction,
    /// 6E00: class not known.
    UnknownClass,
}

impl Status {
    pub(crate) const SUCCESS: u16 = 0x9000;

    pub(crate) fn code(self) -> u16 {
        match self {
            Self::TriesLeft(left) => 0x63C0 | u16::from(left.min(15)),
            Self::WrongLength => 0x6700,
            Self::SecurityNotSatisfied => 0x6982,
            Self::Blocked => 0x6983,
            Self::ConditionsNotSatisfied => 0x6985,
            Self::WrongData => 0x6A80,
            Self::NotFound => 0x6A82,
            Self::MemoryFull => 0x6A84,
            Self::WrongParameters => 0x6A86,
            Self::ReferenceNotFound => 0x6A88,
            Self::WrongSlot => 0x6B00,
            Self::UnknownInstruction => 0x6D00,
            Self::UnknownClass => 0x6E00,
        }
    }
}
