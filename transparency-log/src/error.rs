//! Why bytes are not what they should be, or do not prove it.

/// Why bytes are not a part of a log's formats, or why a proof or a signature was not accepted.
///
/// Each variant is one cause, so that a caller can name it and a test can match it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A signature by a known key does not verify. The whole note is refused then (signed-note, "Signatures").
    #[error("the signature by {name} does not verify")]
    BadSignature {
        /// The key's name.
        name: String,
    },
    /// Not a consistency proof between these two tree heads.
    #[error("the log of {new} entries does not continue the log of {old} entries that was seen before")]
    Consistency {
        /// Size of the older tree.
        old: u64,
        /// Size of the newer tree.
        new: u64,
    },
    /// The checkpoint's text is not an origin, a size, a root hash and extension lines.
    #[error("a checkpoint has a line each for origin, size and root hash, and no empty lines")]
    CheckpointSyntax,
    /// The time of a cosignature is 0 or greater than 2⁶³ − 1.
    #[error("the time of a cosignature is in seconds since 1970, from 1 to 2^63 - 1")]
    CosignatureTime,
    /// As many hashes are at the right edge as the size has ones in binary, and here are others.
    #[error("a tree of {size} leaves does not have {hashes} hashes at its right edge")]
    Frontier {
        /// Size of the tree.
        size: u64,
        /// How many hashes were given.
        hashes: usize,
    },
    /// Not the base64 of 32 bytes.
    #[error("a hash is 44 characters of base64")]
    HashSyntax,
    /// Not an inclusion proof of this leaf.
    #[error("the proof does not show the entry {index} in the log of {size} entries")]
    Inclusion {
        /// Index of the leaf, from 0.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// An index URL from which no origin can be made.
    #[error("an origin is made of an index URL with a scheme and without blanks")]
    IndexUrl,
    /// A key name that signature lines cannot have.
    #[error("a key name is not empty and has neither blanks, `+` nor control characters")]
    KeyName,
    /// The key id in a verifier key is not that of its name, type and key.
    #[error("the key id in the verifier key is not that of its name and key: a character was changed")]
    KeyId,
    /// More than [`MAX_LEAF_BYTES`](crate::MAX_LEAF_BYTES).
    #[error("an entry of a log has at most 65535 bytes, this one has {bytes}")]
    LeafTooLong {
        /// Length of the entry.
        bytes: usize,
    },
    /// The verifier of a witness is for ordinary signatures.
    #[error("the key of {name} is not one for cosignatures (type 4)")]
    NotACosigner {
        /// The key's name.
        name: String,
    },
    /// None of the signatures is by a known key, or not that of the log.
    #[error("the note is not signed by the key that is known")]
    NotSigned,
    /// The note is not text, a blank line and signature lines.
    #[error("a signed note is text, an empty line and lines of `— NAME BASE64`, without control characters")]
    NoteSyntax,
    /// More bytes or signatures than are accepted.
    #[error("the note is longer than 131072 bytes or has more than 64 signatures")]
    NoteTooLong,
    /// An origin is one line that is not empty.
    #[error("an origin is one line, not empty and without control characters")]
    OriginSyntax,
    /// The checkpoint is of another log.
    #[error("the checkpoint is of the log {found:?}, not of {expected:?}")]
    OtherOrigin {
        /// What it should be.
        expected: String,
        /// What the checkpoint says.
        found: String,
    },
    /// A leaf or an older tree that is not within the tree.
    #[error("the log has {size} entries, so that {wanted} is not in it")]
    OutOfRange {
        /// The index of a leaf, or the size of an older tree.
        wanted: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The tiles at the right edge do not make the root.
    #[error("the tiles are not those of the tree with this root")]
    OtherRoot,
    /// More than [`MAX_PROOF_HASHES`](crate::MAX_PROOF_HASHES).
    #[error("a proof has at most 63 hashes")]
    ProofTooLong,
    /// Not the body of an `add-checkpoint` request.
    #[error("an add-checkpoint request is `old SIZE`, the hashes of a proof, an empty line and a checkpoint")]
    RequestSyntax,
    /// A tile's content has another length than its width says.
    #[error("{bytes} bytes are not the content of the tile {path}")]
    TileLength {
        /// The tile's path.
        path: String,
        /// Length of the content.
        bytes: usize,
    },
    /// A tile that is needed was not given.
    #[error("the tile {path} is missing")]
    TileMissing {
        /// The tile's path.
        path: String,
    },
    /// A tile is not the one that the tile above it has the hash of, or is not of this tree at all.
    #[error("the tile {path} is not that of this tree")]
    TileOfOtherTree {
        /// The tile's path.
        path: String,
    },
    /// Not the path of a hash tile.
    #[error(
        "a hash tile's path is `tile/LEVEL/INDEX`, with `.p/WIDTH` for a partial one, and within 2^63 entries"
    )]
    TilePath,
    /// Not a tlog-proof.
    #[error("this is not a log proof (c2sp.org/tlog-proof@v1)")]
    TlogProofSyntax,
    /// More leaves than [`MAX_SIZE`](crate::MAX_SIZE).
    #[error("a log has at most 2^63 - 1 entries")]
    TooLarge,
    /// A signature type that this version cannot verify.
    #[error("signatures of type {0} cannot be verified: use a key of type 1 or 4 (Ed25519)")]
    UnknownAlgorithm(u8),
    /// Not `NAME+ID+BASE64`.
    #[error("a verifier key is NAME+ID+KEY: the id in 8 hexadecimal digits, the key in base64")]
    VerifierSyntax,
}
