//! The file: age's header, MAC and payload (age-encryption.org/v1), with one `piv-p256` stanza for each card.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};

use age_core::format::{FileKey, Stanza};
use zeroize::Zeroizing;

use super::contents::{self, BearerToken, Unfit};
use super::piv_p256::{Recipient, SharedSecret, WrappedKey};
use crate::piv::P256Point;

/// A file longer than this is not one of ours, in bytes.
pub const LONGEST_FILE: usize = 32 * 1024;

/// A sealed token.
#[derive(Clone, Debug)]
pub struct AgeFile {
    bytes: Vec<u8>,
    /// The file's key, wrapped for one card each.
    keys: Vec<WrappedKey>,
}

/// Why a file gives no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Not an age file, or one that was cut or changed.
    #[error("it is damaged, or not an age file")]
    Damaged,
    /// There is no such file.
    #[error("it does not exist")]
    Missing,
    /// Longer than any of ours.
    #[error("it is longer than {LONGEST_FILE} bytes")]
    TooLong,
    /// The card's answer does not open it.
    #[error("the key on the card does not open it: the file was changed, or the slot now holds another key")]
    NotOpened,
    /// It opens, but is not a token and an index URL.
    #[error("its content is not a token with the index URL that it belongs to")]
    Contents,
    /// It opens, and belongs to another registry.
    #[error("the token in it belongs to {}", crate::text::escape(index))]
    OtherRegistry {
        /// That registry's index URL.
        index: String,
    },
    /// There is nobody to seal it to, or the system has no random numbers.
    #[error("it cannot be encrypted")]
    Encryption,
}

impl AgeFile {
    /// Seals a token for these cards. No card is needed.
    ///
    /// # Errors
    /// [`FileError::Encryption`].
    pub fn seal(token: &BearerToken, index: &str, recipients: &[Recipient]) -> Result<Self, FileError> {
        let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients).map_err(|_| FileError::Encryption)?;
        let mut bytes = Vec::new();
        let mut writer = encryptor.wrap_output(&mut bytes).map_err(|_| FileError::Encryption)?;
        let written = writer.write_all(&contents::write(token, index)).and_then(|()| writer.finish());
        written.map_err(|_| FileError::Encryption)?;
        Self::parse(bytes)
    }

    /// Reads what can be read of a file without a key.
    ///
    /// # Errors
    /// [`FileError::Damaged`], [`FileError::TooLong`].
    pub fn parse(bytes: Vec<u8>) -> Result<Self, FileError> {
        if bytes.len() > LONGEST_FILE {
            return Err(FileError::TooLong);
        }
        let header = Header::default();
        let decryptor = age::Decryptor::new_buffered(&bytes[..]).map_err(|_| FileError::Damaged)?;
        // This always fails, since there is no key; but it has seen the stanzas then.
        let _ = decryptor.decrypt(std::iter::once(&header as &dyn age::Identity));
        let keys = header.0.into_inner().ok_or(FileError::Damaged)?;
        Ok(Self { bytes, keys })
    }

    /// The file as it is on disk.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is sealed for this card's key.
    #[must_use]
    pub fn is_for(&self, recipient: &Recipient) -> bool {
        self.key_for(recipient).is_some()
    }

    /// The stanza for a card. Two keys with one tag are not expected (2^-32).
    pub(crate) fn key_for(&self, recipient: &Recipient) -> Option<&WrappedKey> {
        self.keys.iter().find(|key| key.is_for(recipient))
    }

    /// The token, if it belongs to this registry; `agree` does what the recipient's key does with the point it is given.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open_with(
        &self,
        index: &str,
        recipient: &Recipient,
        agree: impl FnOnce(&P256Point) -> SharedSecret,
    ) -> Result<BearerToken, FileError> {
        let key = self.key_for(recipient).ok_or(FileError::NotOpened)?;
        self.open(index, recipient, &agree(&key.ephemeral_point()))
    }

    /// The token, if the card's secret opens the file and it belongs to this registry.
    pub(crate) fn open(
        &self,
        index: &str,
        recipient: &Recipient,
        secret: &SharedSecret,
    ) -> Result<BearerToken, FileError> {
        let key = self.key_for(recipient).ok_or(FileError::NotOpened)?;
        let key = key.unwrap(recipient, secret).ok_or(FileError::NotOpened)?;
        let decryptor = age::Decryptor::new_buffered(&self.bytes[..]).map_err(|_| FileError::Damaged)?;
        let opened = Opened(RefCell::new(Some(key)));
        let reader = decryptor.decrypt(std::iter::once(&opened as &dyn age::Identity));
        // If this fails the header's MAC is wrong.
        let reader = reader.map_err(|_| FileError::Damaged)?;
        // Of the right size at once, so that no piece of it stays behind in memory.
        let mut contents = Zeroizing::new(Vec::with_capacity(contents::LONGEST + 1));
        let limit = contents::LONGEST as u64 + 1;
        reader.take(limit).read_to_end(&mut contents).map_err(|_| FileError::Damaged)?;
        contents::read(&contents, index).map_err(|unfit| match unfit {
            Unfit::Form => FileError::Contents,
            Unfit::OtherIndex(index) => FileError::OtherRegistry { index },
        })
    }
}

/// An identity that only collects the stanzas. `None` if one of them is malformed.
struct Header(RefCell<Option<Vec<WrappedKey>>>);

impl Default for Header {
    fn default() -> Self {
        Self(RefCell::new(Some(Vec::new())))
    }
}

impl age::Identity for Header {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        None
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, age::DecryptError>> {
        let keys = stanzas.iter().filter_map(WrappedKey::from_stanza).collect::<Result<_, _>>();
        self.0.replace(keys.ok());
        None
    }
}

/// An identity that has the file key already.
struct Opened(RefCell<Option<FileKey>>);

impl age::Identity for Opened {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        self.0.take().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::contents::tests::token;
    use super::super::piv_p256::tests::{agree, recipient};
    use super::*;

    const INDEX: &str = "sparse+https://r.example/";

    fn sealed(seeds: &[u8]) -> AgeFile {
        let recipients: Vec<_> = seeds.iter().map(|seed| recipient(*seed)).collect();
        AgeFile::seal(&token("abc"), INDEX, &recipients).unwrap()
    }

    fn open(file: &AgeFile, seed: u8, index: &str) -> Result<String, FileError> {
        let opened = file.open_with(index, &recipient(seed), |point| agree(seed, point));
        opened.map(|token| token.expose().to_owned())
    }

    #[test]
    fn each_card_opens_it_and_no_other() {
        let file = sealed(&[7, 8]);
        assert!(file.as_bytes().starts_with(b"age-encryption.org/v1\n-> piv-p256 "));
        assert!(!file.as_bytes().windows(3).any(|window| window == b"abc"));
        for seed in [7, 8] {
            assert_eq!(open(&file, seed, INDEX), Ok("abc".into()));
        }
        assert_eq!(open(&file, 9, INDEX), Err(FileError::NotOpened));
        assert!(file.is_for(&recipient(7)) && !file.is_for(&recipient(9)));
        let wrong = file.open(INDEX, &recipient(7), &Zeroizing::new([1; 32])).map(drop);
        assert_eq!(wrong, Err(FileError::NotOpened));
    }

    #[test]
    fn another_registry_gets_nothing() {
        let other = Err(FileError::OtherRegistry { index: INDEX.into() });
        assert_eq!(open(&sealed(&[7]), 7, "sparse+https://evil.example/"), other);
    }

    #[test]
    fn other_contents_are_no_token() {
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient(7) as _)).unwrap();
        let mut bytes = Vec::new();
        let mut writer = encryptor.wrap_output(&mut bytes).unwrap();
        writer.write_all(&[b'x'; 20_000]).unwrap();
        writer.finish().unwrap();
        assert_eq!(open(&AgeFile::parse(bytes).unwrap(), 7, INDEX), Err(FileError::Contents));
    }

    #[test]
    fn nobody_and_too_much() {
        assert_eq!(AgeFile::seal(&token("abc"), INDEX, &[]).map(drop), Err(FileError::Encryption));
        assert_eq!(AgeFile::parse(vec![0; LONGEST_FILE + 1]).map(drop), Err(FileError::TooLong));
        assert_eq!(AgeFile::parse(Vec::new()).map(drop), Err(FileError::Damaged));
    }

    /// Every single change and every cut is noticed, wherever it is.
    #[test]
    fn no_byte_can_be_changed_or_left_out() {
        let file = sealed(&[7]);
        for position in 0..file.as_bytes().len() {
            let mut changed = file.as_bytes().to_vec();
            changed[position] ^= 1;
            let opened = AgeFile::parse(changed).and_then(|file| open(&file, 7, INDEX));
            assert!(opened.is_err(), "byte {position}: {opened:?}");
            let cut =
                AgeFile::parse(file.as_bytes()[..position].to_vec()).and_then(|file| open(&file, 7, INDEX));
            assert!(cut.is_err(), "cut at {position}: {cut:?}");
        }
        let longer = AgeFile::parse([file.as_bytes(), b"x"].concat()).and_then(|file| open(&file, 7, INDEX));
        assert_eq!(longer, Err(FileError::Damaged));
    }

    proptest! {
        #[test]
        fn never_panics(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = AgeFile::parse(tail.clone());
            let _ = AgeFile::parse([&b"age-encryption.org/v1\n-> piv-p256 "[..], &tail].concat());
        }
    }
}
