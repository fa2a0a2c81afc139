//! Following the log from entry to entry, and what is wrong with it where that fails.

use super::{Entry, EntryError, Hash, Point};

/// The log, as far as it was followed.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    last: Point,
    before: Hash,
}

/// Why a log does not hold; the first entry of which that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A number is left out.
    #[error("entry {seq} is missing: it was removed")]
    Removed {
        /// The number.
        seq: u64,
    },
    /// An entry stands where another belongs.
    #[error("entry {says} stands in the place of entry {seq}: entries were put in another order")]
    Reordered {
        /// The place.
        seq: u64,
        /// The number that the entry gives itself.
        says: u64,
    },
    /// An entry was put in: the one after it follows the one before it.
    #[error("entry {seq} was inserted: the entry after it follows the one before it")]
    Inserted {
        /// The entry that was put in.
        seq: u64,
    },
    /// The bytes are no entry any more.
    #[error("entry {seq} was changed: {why}")]
    Unreadable {
        /// Which.
        seq: u64,
        /// What is wrong with them.
        why: EntryError,
    },
    /// The bytes are not those whose hash was noted.
    #[error("entry {seq} was changed: its hash is {found}, and {noted} was noted")]
    Changed {
        /// Which.
        seq: u64,
        /// Over the bytes that are there.
        found: Hash,
        /// What was noted when it was written.
        noted: Hash,
    },
    /// An entry follows another than the one before it.
    #[error("entry {seq} does not follow what is there before it: one of the two was changed")]
    Unlinked {
        /// The later one.
        seq: u64,
    },
    /// The log ends before a head.
    #[error("the log ends with entry {last}, and there is a head of entry {head}: the end was cut off")]
    CutOff {
        /// The last entry there is.
        last: u64,
        /// The entry that a head is of.
        head: u64,
    },
    /// The entry is another than the one that a head is of, though all before it hangs together.
    #[error("entry {seq} has the hash {found}, its head has {head}: the log was written anew up to there")]
    Rewritten {
        /// Which.
        seq: u64,
        /// Over the bytes that are there.
        found: Hash,
        /// What the head says.
        head: Hash,
    },
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

    /// Takes the next entry: its place, its bytes, and the hash that was noted when it was written, where there is one.
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

    /// Compares the last entry with a head of it. A head of another entry says nothing here.
    ///
    /// # Errors
    /// [`Broken::Rewritten`].
    pub fn passes(&self, head: Point) -> Result<(), Broken> {
        if head.seq == self.last.seq && head.hash != self.last.hash {
            return Err(Broken::Rewritten { seq: head.seq, found: self.last.hash, head: head.hash });
        }
        Ok(())
    }

    /// The log is over: it must have reached the head.
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
