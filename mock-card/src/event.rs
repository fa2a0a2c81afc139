//! Events: what happens to a card from outside, and how control lines spell it.

/// Something that happens to a card and does not come from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody touches the YubiKey. The touch counts for the command that waits for one, or else for the next that
    /// does.
    Touch,
    /// The YubiKey is pulled out of its port. Its reader goes with it.
    Unplug,
    /// The YubiKey is put back into its port.
    Plug,
    /// The card is taken out of its reader, as from an NFC reader.
    Remove,
    /// The card is put back into its reader.
    Insert,
    /// The card is taken out of its reader and put back in such a way that it does not answer to power.
    InsertUnresponsive,
    /// Another program resets the card.
    Reset,
    /// The card loses power until a client connects.
    PowerOff,
    /// Another program takes the card, until it releases it.
    Hold(Hold),
    /// The other program releases the card, and leaves it as it is.
    Release,
    /// The daemon ends. Its socket is removed, and all connections are closed.
    DaemonGone,
}

/// How another program takes a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It connects exclusively.
    Exclusive,
    /// It begins a transaction.
    Transaction,
}

/// Words that are no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownEvent;

impl Event {
    /// The words that [`Event::parse`] knows.
    pub(crate) const WORDS: &str = "touch, unplug, plug, remove, insert, mute, reset, power-off, hold exclusive, hold transaction, release or gone";

    /// Reads an event from the beginning of a control line's words. The words after it are left over.
    pub(crate) fn parse<'a, 'b>(words: &'a [&'b str]) -> Result<(Self, &'a [&'b str]), UnknownEvent> {
        let (event, length) = match words {
            ["touch", ..] => (Self::Touch, 1),
            ["unplug", ..] => (Self::Unplug, 1),
            ["plug", ..] => (Self::Plug, 1),
            ["remove", ..] => (Self::Remove, 1),
            ["insert", ..] => (Self::Insert, 1),
            ["mute", ..] => (Self::InsertUnresponsive, 1),
            ["reset", ..] => (Self::Reset, 1),
            ["power-off", ..] => (Self::PowerOff, 1),
            ["hold", "exclusive", ..] => (Self::Hold(Hold::Exclusive), 2),
            ["hold", "transaction", ..] => (Self::Hold(Hold::Transaction), 2),
            ["release", ..] => (Self::Release, 1),
            ["gone", ..] => (Self::DaemonGone, 1),
            _ => return Err(UnknownEvent),
        };
        Ok((event, &words[length..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_list_is_an_event() {
        for words in Event::WORDS.replace(" or ", ", ").split(", ") {
            let words: Vec<&str> = words.split(' ').chain(["rest"]).collect();
            assert!(matches!(Event::parse(&words), Ok((_, ["rest"]))), "{words:?}");
        }
        for words in [&[][..], &["lunch"], &["hold"], &["hold", "hands"]] {
            assert_eq!(Event::parse(words), Err(UnknownEvent), "{words:?}");
        }
    }
}
