//! Status words (SP 800-73-4 part 2, section 3, and ISO/IEC 7816-4, section 5.6).

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// 63Cx: the PIN or PUK is wrong, and x tries are left. A larger number than 15 is told as 15.
    TriesLeft(u8),
    /// 6700: the command has a wrong length.
    WrongLength,
    /// 6982: the PIN, the management key or a touch is missing.
    SecurityNotSatisfied,
    /// 6983: no tries are left.
    Blocked,
    /// 6985: the command is not possible now, or not with this value.
    ConditionsNotSatisfied,
    /// 6A80: the data of the command is wrong.
    WrongData,
    /// 6A82: there is no such object or application.
    NotFound,
    /// 6A84: the memory is full.
    MemoryFull,
    /// 6A86: P1 or P2 is wrong.
    WrongParameters,
    /// 6A88: there is no such key or reference.
    ReferenceNotFound,
    /// 6B00: there is no such slot. Only YubiKeys use it so.
    WrongSlot,
    /// 6D00: the instruction is not known.
    UnknownInstruction,
    /// 6E00: the class is not known.
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
