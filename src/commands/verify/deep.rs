//! What the registry's index says of a version beside what its signed file says, for one version or a whole lock file.
//!
//! Cargo resolves by the index when it writes a lock file, so that a dependency that stands only there would be compiled all the same.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek};
use std::time::Instant;

use asymmetric_token::Checksum;
use crate_file::index::{Served, served};
use crate_file::metadata;
use sha2::{Digest as _, Sha256};

use super::evidence::Places;
use super::fetch::Remote;
use super::judgement::{Compared, Judgement};
use super::parallel;
use super::patience::{Patience, is_endless};
use super::verdict::Verdict;
use crate::error::Error;
use crate::lock_file::Package;
use crate::text::{escape, sentence};
use crate::ui::Ui;

/// How many files are looked at at once. Each may have 64 MiB, and so may the index's file beside it.
const AT_ONCE: usize = 4;

/// Compares each package that somebody has signed, registry by registry, a few at a time.
pub(super) fn look(judgements: &mut [Judgement<'_>], places: &Places<'_>) {
    let mut registries = BTreeMap::<&str, Vec<&mut Judgement<'_>>>::new();
    for judgement in judgements.iter_mut().filter(|judgement| judgement.good.is_some()) {
        registries.entry(&judgement.package.index).or_default().push(judgement);
    }
    for (index, of_it) in registries {
        let packages: Vec<_> = of_it.iter().map(|judgement| judgement.package).collect();
        for (judgement, compared) in of_it.into_iter().zip(compare_each(index, &packages, places)) {
            judgement.compared(compared);
        }
    }
}

fn compare_each(index: &str, packages: &[&Package], places: &Places<'_>) -> Vec<Compared> {
    let shown = places.shown(index);
    let remote = match places.files_of(index) {
        Ok(remote) => remote,
        Err(why) => return packages.iter().map(|_| Err((Verdict::Withheld, why.clone()))).collect(),
    };
    let patience = Patience::from(Instant::now());
    let mut progress =
        Ui::silent().progress(format!("comparing files of {shown} with its index"), packages.len());
    parallel::each(
        packages,
        AT_ONCE,
        |done| progress.at(done),
        |package| {
            if let Some(why) = patience.is_over(Instant::now()) {
                return Err((Verdict::Withheld, format!("{shown} {why}, and was not asked again")));
            }
            match fetch(&remote, package) {
                Ok((file, index_file)) => compare(package, file, &index_file),
                Err(error) if is_endless(&error) => Err((Verdict::Bad, escape(&sentence(&error)))),
                Err(error) => {
                    patience.failed(&error);
                    Err((Verdict::Withheld, escape(&sentence(&error))))
                }
            }
        },
    )
}

/// The version's file, and the index's of the crate.
fn fetch(remote: &Remote<'_>, package: &Package) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let Package { name, version, checksum, .. } = package;
    let checksum = checksum.expect("what somebody has signed has a checksum");
    Ok((remote.crate_file(name, version, checksum)?, remote.index_file(name)?))
}

fn compare(package: &Package, file: Vec<u8>, index_file: &[u8]) -> Compared {
    let found = Checksum(Sha256::digest(&file).into());
    if Some(found) != package.checksum {
        return Err((Verdict::Bad, format!("the registry serves a file with another checksum, {found}")));
    }
    let Package { index, name, version, .. } = package;
    let length = file.len() as u64;
    index_says(Cursor::new(file), length, (name.as_str(), &version.to_string()), found, index, index_file)
        .map_err(|why| (Verdict::Bad, why))
}

/// Compares the index's file of a crate with the signed file of a version, which has this length in bytes and this checksum. The error
/// is safe to show.
pub(super) fn index_says(
    file: impl Read + Seek,
    length: u64,
    (name, version): (&str, &str),
    checksum: Checksum,
    index: &str,
    index_file: &[u8],
) -> Result<Served, String> {
    let signed = metadata::of_signed(file, length, name, version, index)
        .map_err(|error| escape(&format!("what the signed file says cannot be told: {error}")))?;
    served(index_file, &signed, checksum, index).map_err(|error| escape(&error.to_string()))
}
