//! Following the log from entry to entry, and what is wrong where that fails.

use super::{Entry, EntryError, Hash, Point};

/// The log as far as it was followed.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    last: Point,
    before: Hash,
}

/// Why a log does not hold, with the first entry that shows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Broken {
    /// An entry is missing.
    #[error("entry {seq} is missing: it was removed")]
    Removed { seq: u64 },
    /// An entry is in the place of another.
    #[error("entry {says} stands in the place of entry {seq}: entries were put in another order")]
    Reordered {
        /// The place.
        seq: u64,
        /// The number that the entry gives itself.
        says: u64,
    },
    /// An entry was inserted.
    #[error("entry {seq} was inserted: the entry after it follows the one before it")]
    Inserted { seq: u64 },
    /// The bytes are not an entry any more.
    #[error("entry {seq} was changed: {why}")]
    Unreadable { seq: u64, why: EntryError },
    /// The bytes have another hash than the one that was noted when they were written.
    #[error("entry {seq} was changed: its hash is {found}, and {noted} was noted")]
    Changed { seq: u64, found: Hash, noted: Hash },
    /// An entry names another hash than that of the entry before it.
    #[error("entry {seq} does not follow what is there before it: one of the two was changed")]
    Unlinked {
        /// The place of the later entry.
        seq: u64,
    },
    /// The log ends before an entry that was signed.
    #[error("the log ends with entry {last}, and there is a head of entry {head}: the end was cut off")]
    CutOff { last: u64, head: u64 },
    /// The entry is not the one that was signed, although the chain holds.
    #[error("entry {seq} has the hash {found}, its head has {head}: the log was written anew up to there")]
    Rewritten { seq: u64, found: Hash, head: Hash },
}

impl Chain {
    /// Before the first entry.
    #[must_use]
    pub fn new() -> Self {
        Self { last: Point::START, before: Hash::NOTHING }
    }

    /// The last entry that was followed.
    #[must_use]
    pub fn last(&self) -> Point {
        self.last
    }

    /// Takes the next entry: its place, its bytes, and the hash that was noted when it was written, if there is one.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn follow(&mut self, seq: u64, bytes: &[u8], noted: Option<Hash>) -> Result<Entry, Broken> {
        let expected = self.last.seq + 1;
        if seq > expected {
            return Err(Broken::Removed { seq: expected });
        }
        let entry = Entry::parse(bytes).map_err(|why| Broken::Unreadable { seq: expected, why })?;
        if seq < expected || entry.seq != seq {
            return Err(Broken::Reordered { seq: expected, says: entry.seq });
        }
        let found = Hash::of(bytes);
        if let Some(noted) = noted.filter(|noted| *noted != found) {
            return Err(Broken::Changed { seq, found, noted });
        }
        if entry.prev != self.last.hash {
            let inserted = self.last.seq > 0 && entry.prev == self.before;
            return Err(if inserted {
                Broken::Inserted { seq: self.last.seq }
            } else {
                Broken::Unlinked { seq }
            });
        }
        self.before = self.last.hash;
        self.last = Point { seq, hash: found };
        Ok(entry)
    }

    /// Compares the last entry with a head of it. A head of another entry is ignored.
    ///
    /// # Errors
    /// [`Broken::Rewritten`].
    pub fn passes(&self, head: Point) -> Result<(), Broken> {
        if head.seq == self.last.seq && head.hash != self.last.hash {
            return Err(Broken::Rewritten { seq: head.seq, found: self.last.hash, head: head.hash });
        }
        Ok(())
    }

    /// Checks at the end of the log that it has reached a head.
    ///
    /// # Errors
    /// [`Broken::CutOff`].
    pub fn reached(&self, head: Point) -> Result<(), Broken> {
        if head.seq > self.last.seq {
            return Err(Broken::CutOff { last: self.last.seq, head: head.seq });
        }
        Ok(())
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}
