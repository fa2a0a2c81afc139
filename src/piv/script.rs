//! A card made of a transcript: the commands it must see, and what it answers.

use std::collections::VecDeque;

use super::{Transmit, TransportError};

pub(crate) struct Script {
    exchanges: VecDeque<(Option<Vec<u8>>, Vec<u8>)>,
}

impl Script {
    /// Pairs of (command, answer) in hexadecimal; blanks are for the reader.
    pub(crate) fn new(transcript: &[(&str, &str)]) -> Script {
        let exchanges = transcript.iter().map(|(command, answer)| (Some(hex(command)), hex(answer)));
        Script { exchanges: exchanges.collect() }
    }

    /// Answers whatever is sent.
    pub(crate) fn answers(answers: &[&str]) -> Script {
        Script { exchanges: answers.iter().map(|answer| (None, hex(answer))).collect() }
    }

    pub(crate) fn assert_finished(&self) {
        assert!(self.exchanges.is_empty(), "commands never sent: {:02X?}", self.exchanges);
    }
}

impl Transmit for Script {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let (expected, answer) =
            self.exchanges.pop_front().unwrap_or_else(|| panic!("not in the script: {command:02X?}"));
        if let Some(expected) = expected {
            assert_eq!(command, expected, "sent {command:02X?}, the script has {expected:02X?}");
        }
        Ok(answer)
    }
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|digit| char::from(digit).to_digit(16).expect("hexadecimal") as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {text}");
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
