//! The private key of a witness: `PRIVATE+KEY+NAME+ID+BASE64`, the form in which signed notes have their keys. The base64 is of the
//! signature type (4) and the 32 bytes of the Ed25519 key.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use transparency_log::{Algorithm, Cosigner, KeyName};
use zeroize::Zeroizing;

use super::{WitnessError, at};
use crate::private;

/// In the witness's folder.
pub(super) const FILE: &str = "witness.key";

const PREFIX: &str = "PRIVATE+KEY+";
/// Longer than any key with a name that a signature line can have.
const MOST_BYTES: u64 = 8_192;

/// Makes a new key, unless there is one.
pub(super) fn make(path: &Path, name: &KeyName) -> Result<(), WitnessError> {
    let mut seed = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(seed.as_mut()).map_err(|_| WitnessError::Random)?;
    let id = Cosigner::new(name.clone(), &seed).verifier().id();
    let mut bytes = Zeroizing::new([0; 33]);
    bytes[0] = Algorithm::CosignatureV1.signature_type();
    bytes[1..].copy_from_slice(seed.as_ref());
    let base64 = Zeroizing::new(STANDARD.encode(bytes.as_ref()));
    let text = Zeroizing::new(format!("{PREFIX}{name}+{id}+{}\n", base64.as_str()));
    private::make_file(path, text.as_bytes()).map(drop).map_err(at(path))
}

/// Reads the key, which nobody else may be able to read.
pub(super) fn read(path: &Path) -> Result<Cosigner, WitnessError> {
    let text = private::read_secret(path, MOST_BYTES)?;
    parsed(&text).ok_or_else(|| WitnessError::NotAKey(path.to_owned()))
}

fn parsed(text: &str) -> Option<Cosigner> {
    let (name, rest) = text.trim_end().strip_prefix(PREFIX)?.split_once('+')?;
    let (id, base64) = rest.split_once('+')?;
    let bytes = Zeroizing::new(STANDARD.decode(base64).ok()?);
    let (kind, seed) = bytes.split_first()?;
    let cosigner = Cosigner::new(name.parse().ok()?, seed.try_into().ok()?);
    let is_whole =
        *kind == Algorithm::CosignatureV1.signature_type() && cosigner.verifier().id().to_string() == id;
    is_whole.then_some(cosigner)
}
