//! The house: which rooms each crate has, and on which floor they are. Change it here, and say why in the commit.

/// The floors of one crate.
pub(super) struct House {
    /// The crate's root file.
    pub(super) root: &'static str,
    /// From top to bottom. A room is a module with all that is in it, and may import from floors below its own only. A module
    /// within a room may be a room of its own.
    pub(super) floors: &'static [&'static [&'static str]],
    /// Imports that go up, or across a floor, all the same.
    pub(super) exceptions: &'static [Exception],
}

/// An import against the floors, and why it is there.
pub(super) struct Exception {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) why: &'static str,
}

/// Every crate with more than one floor. Those without an entry, tests among them, have no circles either.
pub(super) const HOUSES: &[House] = &[
    House {
        root: "src/lib.rs",
        floors: &[
            &["provider", "cli"],
            &["commands"],
            &["sealer"],
            &["signer", "unsealer"],
            &["card", "context"],
            &["error"],
            &["registry", "transparency"],
            &["trust", "cargo_config", "settings", "proof", "sealed_files", "lock_file"],
            &["enrollment"],
            &["sealed", "reader", "ui"],
            &["folder", "piv", "index_url", "process", "signature"],
            &["text"],
        ],
        exceptions: &[],
    },
    House {
        root: "gateway/src/lib.rs",
        floors: &[
            &["doctor"],
            &["copying", "credentials", "serve"],
            &["inspection", "operators", "witness"],
            &["http"],
            &["changes", "staging"],
            &["listener"],
            &["connections"],
            &["cosigning", "metrics", "record", "upstream", "verified_reads"],
            &["store"],
            &["config", "enrollment", "index", "publishers", "vault"],
            &["attestation", "credential_provider", "http_client", "policy", "tls", "unpacking"],
            &[
                "audit",
                "background",
                "causes",
                "challenge",
                "crate_names",
                "in_turn",
                "keys",
                "limits",
                "log",
                "patience",
                "private",
                "store_place",
            ],
        ],
        exceptions: &[],
    },
    House {
        root: "crate-file/src/lib.rs",
        floors: &[
            &["index"],
            &["metadata"],
            &["file"],
            &["path"],
            &["archive"],
            &["characters", "error", "nesting"],
        ],
        exceptions: &[],
    },
    House {
        root: "token/src/lib.rs",
        floors: &[
            &["sign", "verify"],
            &["claims"],
            &["enrollment"],
            &["footer", "payload"],
            &["object", "paserk", "paseto"],
            &["error"],
            &["challenge", "role", "strict_json"],
        ],
        exceptions: &[],
    },
    House {
        root: "transparency-log/src/lib.rs",
        floors: &[
            &["tlog_proof", "witness"],
            &["checkpoint"],
            &["note", "origin"],
            &["key", "tiles"],
            &["lines"],
            &["proof", "tile"],
            &["subtree", "tree"],
            &["hash"],
            &["error"],
        ],
        exceptions: &[],
    },
    House {
        root: "mock-card/src/lib.rs",
        floors: &[
            &["cli"],
            &["control", "mock"],
            &["pcscd"],
            &["settings"],
            &["trace", "applet"],
            &["applet::piv", "applet::management", "applet::otp"],
            &["applet::attestation", "applet::device_info", "applet::memory"],
            &["applet::reference_data"],
            &["applet::profile"],
            &["applet::key", "applet::management_key", "fault"],
            &["applet::apdu", "applet::policy", "applet::tlv", "event"],
            &[
                "applet::firmware",
                "applet::instruction",
                "applet::object",
                "applet::random",
                "applet::slot",
                "applet::status",
                "applet::traits",
                "hex",
            ],
        ],
        exceptions: &[],
    },
    House {
        root: "xtask/src/main.rs",
        floors: &[
            &[
                "bench",
                "checks",
                "crates",
                "demo",
                "fuzz",
                "interop",
                "macos",
                "packages",
                "windows",
                "workflows",
            ],
            &["dist", "sid"],
            &["floors", "prerequisites"],
            &["say", "workspace"],
        ],
        exceptions: &[],
    },
];

/// Packages whose files are read, by their folder: everything that is ours.
pub(super) const PACKAGES: &[&str] = &[
    "",
    "benches/gateway",
    "benches/peer",
    "crate-file",
    "fuzz",
    "gateway",
    "interop",
    "interop/plain-proxy",
    "mock-card",
    "token",
    "transparency-log",
    "xtask",
];
