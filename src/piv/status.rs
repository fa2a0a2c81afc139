//! Status words of the PIV card application (SP 800-73-4 part 2, table 2 and the commands' own tables), with
//! what YubiKeys add to them.

use std::fmt;

/// SW1 SW2 of an answer, in the words of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// `9000`
    SuccessfulExecution,
    /// `61xx`: so many bytes are left (0 stands for 256 or more).
    MoreData(u8),
    /// `63Cx`: verification failed, so many tries left. `630x` is the same on the oldest firmware.
    VerificationFailed {
        /// Tries left; a card reports at most 15.
        tries: u8,
    },
    /// `6700`
    WrongLength,
    /// `6881`
    LogicalChannelNotSupported,
    /// `6882`
    SecureMessagingNotSupported,
    /// `6982`: for a private key, no PIN **or** no touch.
    SecurityStatusNotSatisfied,
    /// `6983`
    AuthenticationMethodBlocked,
    /// `6985`
    ConditionsNotSatisfied,
    /// `6A80`
    IncorrectData,
    /// `6A81`
    FunctionNotSupported,
    /// `6A82`
    ObjectOrApplicationNotFound,
    /// `6A84`
    NotEnoughMemory,
    /// `6A86`
    IncorrectP1P2,
    /// `6A88`
    ReferencedDataNotFound,
    /// `6B00`
    WrongParameters,
    /// `6Cxx`: the right Le is this (0 stands for 256).
    WrongLe(u8),
    /// `6D00`
    InstructionNotSupported,
    /// `6E00`
    ClassNotSupported,
    /// Anything else.
    Other(u16),
}

impl From<u16> for Status {
    fn from(word: u16) -> Status {
        match word {
            0x9000 => Status::SuccessfulExecution,
            0x6100..=0x61FF => Status::MoreData(low_byte(word)),
            0x6300..=0x630F | 0x63C0..=0x63CF => Status::VerificationFailed { tries: low_byte(word) & 0x0F },
            0x6700 => Status::WrongLength,
            0x6881 => Status::LogicalChannelNotSupported,
            0x6882 => Status::SecureMessagingNotSupported,
            0x6982 => Status::SecurityStatusNotSatisfied,
            0x6983 => Status::AuthenticationMethodBlocked,
            0x6985 => Status::ConditionsNotSatisfied,
            0x6A80 => Status::IncorrectData,
            0x6A81 => Status::FunctionNotSupported,
            0x6A82 => Status::ObjectOrApplicationNotFound,
            0x6A84 => Status::NotEnoughMemory,
            0x6A86 => Status::IncorrectP1P2,
            0x6A88 => Status::ReferencedDataNotFound,
            0x6B00 => Status::WrongParameters,
            0x6C00..=0x6CFF => Status::WrongLe(low_byte(word)),
            0x6D00 => Status::InstructionNotSupported,
            0x6E00 => Status::ClassNotSupported,
            other => Status::Other(other),
        }
    }
}

fn low_byte(word: u16) -> u8 {
    word.to_be_bytes()[1]
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::SuccessfulExecution => "successful execution (9000)",
            Status::MoreData(left) => return write!(f, "more data available (61{left:02X})"),
            Status::VerificationFailed { tries } => {
                return write!(f, "verification failed, {tries} tries left (63C{tries:X})");
            }
            Status::WrongLength => "wrong length (6700)",
            Status::LogicalChannelNotSupported => "logical channel not supported (6881)",
            Status::SecureMessagingNotSupported => "secure messaging not supported (6882)",
            Status::SecurityStatusNotSatisfied => "security status not satisfied (6982)",
            Status::AuthenticationMethodBlocked => "authentication method blocked (6983)",
            Status::ConditionsNotSatisfied => "conditions of use not satisfied (6985)",
            Status::IncorrectData => "incorrect parameter in command data field (6A80)",
            Status::FunctionNotSupported => "function not supported (6A81)",
            Status::ObjectOrApplicationNotFound => "data object or application not found (6A82)",
            Status::NotEnoughMemory => "not enough memory (6A84)",
            Status::IncorrectP1P2 => "incorrect parameter in P1 or P2 (6A86)",
            Status::ReferencedDataNotFound => "referenced data or reference data not found (6A88)",
            Status::WrongParameters => "wrong parameters P1-P2 (6B00)",
            Status::WrongLe(le) => return write!(f, "wrong Le (6C{le:02X})"),
            Status::InstructionNotSupported => "instruction not supported (6D00)",
            Status::ClassNotSupported => "class not supported (6E00)",
            Status::Other(word) => return write!(f, "status {word:04X}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_word_it_was_made_from() {
        let old_style = 0x6300..=0x630F;
        for word in (0..=u16::MAX).filter(|word| !old_style.contains(word)) {
            let shown = Status::from(word).to_string();
            assert!(shown.contains(&format!("{word:04X}")), "{word:04X} is shown as {shown}");
        }
    }

    #[test]
    fn counts_tries_in_both_styles() {
        assert_eq!(Status::from(0x63C2), Status::VerificationFailed { tries: 2 });
        assert_eq!(Status::from(0x6302), Status::VerificationFailed { tries: 2 });
        assert_eq!(Status::from(0x6381), Status::Other(0x6381));
    }
}
