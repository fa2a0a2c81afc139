//! Crates that are published: their files, and what cargo sends.

use asymmetric_token::{Checksum, Mutation};
use aws_lc_rs::digest::{SHA256, digest};
use flate2::Compression;
use flate2::write::GzEncoder;

const README: &str = "Many digits.\n";

/// A version of a crate.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) file: Vec<u8>,
}

impl Package {
    /// One that unpacks to a little more than this many bytes.
    pub(crate) fn new(name: &str, version: &str, unpacked: usize) -> Self {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\nreadme = \"README.md\"\n"
        );
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for (path, content) in [
            ("Cargo.toml", manifest.as_bytes()),
            ("README.md", README.as_bytes()),
            ("data.txt", &digits(unpacked)),
            ("src/lib.rs", b"//! Nothing.\n"),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, format!("{name}-{version}/{path}"), content).expect("in memory");
        }
        let file = archive.into_inner().and_then(GzEncoder::finish).expect("in memory");
        Self { name: name.to_owned(), version: version.to_owned(), file }
    }

    pub(crate) fn checksum(&self) -> Checksum {
        Checksum(digest(&SHA256, &self.file).as_ref().try_into().expect("32 bytes"))
    }

    pub(crate) fn mutation(&self) -> Mutation {
        Mutation::Publish {
            name: self.name.parse().expect("a name"),
            version: self.version.parse().expect("a version"),
            checksum: self.checksum(),
        }
    }

    /// What cargo uploads.
    pub(crate) fn body(&self) -> Vec<u8> {
        let Self { name, version, file } = self;
        let json = format!(
            r#"{{"name":"{name}","vers":"{version}","readme":{README:?},"readme_file":"README.md"}}"#
        );
        let mut body = Vec::new();
        for part in [json.as_bytes(), file] {
            body.extend(u32::try_from(part.len()).expect("below 4 GB").to_le_bytes());
            body.extend(part);
        }
        body
    }

    /// What an index says of it.
    pub(crate) fn line(&self) -> String {
        let Self { name, version, .. } = self;
        let checksum = self.checksum();
        format!(
            r#"{{"name":"{name}","vers":"{version}","deps":[],"cksum":"{checksum}","features":{{}},"yanked":false}}"#
        )
    }
}

/// Hexadecimal digits that look random: about as compressible as sources with data among them.
fn digits(amount: usize) -> Vec<u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        // Knuth, MMIX.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b"0123456789abcdef"[(state >> 60) as usize]
    })
    .take(amount)
    .collect()
}
