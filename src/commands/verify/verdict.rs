//! How a package of a lock file stands.

use anstyle::Style;

use crate::commands::{BAD, GOOD, WARNING};

/// From the best to the worst. The worst of all packages is what the command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// A trusted key has signed this file.
    Trusted,
    /// Nobody has, or nobody was asked, and a list says that this is well.
    UnsignedAllowed,
    /// There is nowhere to look for a proof, and no list wants one.
    NotLookedFor,
    /// A key that no list names has signed this file, of a crate for which no list names anybody.
    NewSigner,
    /// The registry has no proof.
    Unsigned,
    /// The registry is not the person's, and was not asked.
    UnknownRegistry,
    /// There may be a proof, and it cannot be had; or there is nowhere to look for it, and a list wants one.
    Withheld,
    /// The lock file does not say which file it is.
    NoChecksum,
    /// A trusted key has signed this file, and fewer of them than a list wants.
    TooFewApprovals,
    /// Another key than the trusted ones has signed this file.
    ChangedSigner,
    /// The proof is wrong, or is of another file.
    Bad,
    /// The registry's log is not the one that is known, or not what it was.
    LogRefused,
}

impl Verdict {
    /// In words, as the table, the JSON and the documentation have it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::UnsignedAllowed => "unsigned, allowed",
            Self::NotLookedFor => "not looked for",
            Self::NewSigner => "new signer",
            Self::Unsigned => "unsigned",
            Self::UnknownRegistry => "unknown registry",
            Self::Withheld => "withheld or unreachable",
            Self::NoChecksum => "no checksum",
            Self::TooFewApprovals => "too few approvals",
            Self::ChangedSigner => "changed signer",
            Self::Bad => "bad",
            Self::LogRefused => "log refused",
        }
    }

    /// What the process ends with if nothing is worse; 1 and 2 are what errors end with.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Trusted | Self::UnsignedAllowed | Self::NotLookedFor => 0,
            Self::NewSigner => 10,
            Self::Unsigned => 11,
            Self::UnknownRegistry => 12,
            Self::Withheld => 13,
            Self::NoChecksum => 14,
            Self::TooFewApprovals => 18,
            Self::ChangedSigner => 15,
            Self::Bad => 16,
            Self::LogRefused => 17,
        }
    }

    pub(super) fn holds(self) -> bool {
        self.exit_code() == 0
    }

    pub(super) fn style(self) -> Style {
        match self {
            Self::Trusted => GOOD,
            Self::UnsignedAllowed | Self::NotLookedFor => Style::new(),
            Self::NewSigner | Self::Unsigned | Self::UnknownRegistry => WARNING,
            Self::Withheld
            | Self::NoChecksum
            | Self::TooFewApprovals
            | Self::ChangedSigner
            | Self::Bad
            | Self::LogRefused => BAD,
        }
    }

    /// What to do about it.
    pub(super) fn next(self) -> &'static str {
        match self {
            Self::Trusted | Self::UnsignedAllowed | Self::NotLookedFor => "",
            Self::NewSigner => {
                "ask the crate's publisher for their key; then `yk-cargo verify --lock --remember` records it"
            }
            Self::Unsigned => {
                "if its authors confirm that this version is unsigned, list it with its checksum under `unsigned` in signers.toml"
            }
            Self::UnknownRegistry => {
                "if that registry may learn the names of your dependencies, add it to `[registries]` in $CARGO_HOME/config.toml"
            }
            Self::Withheld => "try again when the registry answers; until then do not build it",
            Self::NoChecksum => {
                "let cargo write the checksum: remove the package from Cargo.lock, then run `cargo fetch`"
            }
            Self::TooFewApprovals => {
                "do not build it until the crate's publisher tells you why fewer people approved this version"
            }
            Self::ChangedSigner => {
                "ask the crate's publisher whether they have a new key; then `yk-cargo verify NAME@VERS --registry REGISTRY --remember`"
            }
            Self::Bad => "do not build it; tell the registry's administrator",
            Self::LogRefused => "do not build it; `yk-cargo audit REGISTRY` looks at the log alone",
        }
    }
}
