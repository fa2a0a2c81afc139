//! Private keys in PKCS#8 (RFC 5958), in DER or PEM. Keys on curves are those of RFC 5915 and RFC 8410.

use p256::pkcs8::{PrivateKeyInfoRef, SecretDocument};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::traits::PublicKeyParts as _;

use super::{Algorithm, ImportedKey, modular};

const RSA: &str = "1.2.840.113549.1.1.1";
const ELLIPTIC_CURVE: &str = "1.2.840.10045.2.1";
const X25519: &str = "1.3.101.110";
const ED25519: &str = "1.3.101.112";

pub(super) fn read(file: &[u8]) -> Option<ImportedKey> {
    let text = std::str::from_utf8(file).ok().filter(|text| text.contains("-----BEGIN"));
    match text {
        Some(pem) => read_der(SecretDocument::from_pem(pem).ok()?.1.as_bytes()),
        None => read_der(file),
    }
}

fn read_der(der: &[u8]) -> Option<ImportedKey> {
    let info = PrivateKeyInfoRef::try_from(der).ok()?;
    let key = info.private_key.as_bytes();
    match info.algorithm.oid.to_string().as_str() {
        ELLIPTIC_CURVE => read_curve(info.clone()),
        RSA => read_rsa(&rsa::RsaPrivateKey::from_pkcs1_der(key).ok()?),
        // The key in it is an OCTET STRING again (RFC 8410, section 7).
        ED25519 => ImportedKey::checked(Algorithm::Ed25519, key.strip_prefix(&[4, 32])?),
        X25519 => ImportedKey::checked(Algorithm::X25519, key.strip_prefix(&[4, 32])?),
        _ => None,
    }
}

fn read_curve(info: PrivateKeyInfoRef<'_>) -> Option<ImportedKey> {
    if let Ok(key) = p256::SecretKey::try_from(info.clone()) {
        return ImportedKey::checked(Algorithm::P256, &key.to_bytes());
    }
    let key = p384::SecretKey::try_from(info).ok()?;
    ImportedKey::checked(Algorithm::P384, &key.to_bytes())
}

fn read_rsa(key: &rsa::RsaPrivateKey) -> Option<ImportedKey> {
    let algorithm = Algorithm::RSA.into_iter().find(|algorithm| algorithm.size() == key.size())?;
    ImportedKey::checked(algorithm, &modular::from_key(key, algorithm.size())?)
}
