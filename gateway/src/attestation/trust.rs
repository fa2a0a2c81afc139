//! The trusted roots, and the path from a card's F9 certificate to one of them.

use jiff::Timestamp;

use super::statement::FIRMWARE;
use super::{AttestationError, Certificate};

/// Yubico's roots. A test pins their fingerprints.
const ROOTS: [&[u8]; 3] = [
    include_bytes!("../../data/yubico/piv-root-ca-263751.pem"),
    include_bytes!("../../data/yubico/u2f-root-ca-457200631.pem"),
    include_bytes!("../../data/yubico/attestation-root-1.pem"),
];
/// The certificates between Yubico Attestation Root 1 and the cards. They help to find a path and are not trusted
/// themselves.
const BETWEEN: [&[u8]; 5] = [
    include_bytes!("../../data/yubico/attestation-intermediate-a-1.pem"),
    include_bytes!("../../data/yubico/attestation-intermediate-b-1.pem"),
    include_bytes!("../../data/yubico/piv-attestation-a-1.pem"),
    include_bytes!("../../data/yubico/piv-attestation-b-1.pem"),
    include_bytes!("../../data/yubico/piv-attestation-b2-1.pem"),
];

/// The certificates that decide whether a chain is trusted.
#[derive(Clone, Debug)]
pub struct Trust {
    roots: Vec<Certificate>,
    between: Vec<Certificate>,
    /// Whether to accept F9 certificates that do not say that they may issue. Some keys of the 4 series have such.
    pub legacy_devices: bool,
}

/// A PEM text cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must hold certificates in PEM, and nothing else")]
pub struct TrustError;

impl Trust {
    /// Yubico's authorities, and no others.
    #[must_use]
    pub fn yubico() -> Self {
        Self { roots: all(&ROOTS), between: all(&BETWEEN), legacy_devices: false }
    }

    /// Adds the certificates of a PEM text. Self-issued ones become roots; the others help to find a path to a root.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<(), TrustError> {
        for certificate in Certificate::parse_pem(pem).ok_or(TrustError)? {
            if certificate.names_as_issuer(&certificate) {
                self.roots.push(certificate);
            } else {
                self.between.push(certificate);
            }
        }
        Ok(())
    }

    /// Whether a chain (statement, F9, perhaps more) leads to a root, by rules of RFC 5280, 6.1. Of a root only the
    /// name and the key count (6.1.1 (d)). Its path length is ignored, because the older roots of Yubico contradict the
    /// cards below them.
    pub(super) fn accepts(&self, chain: &[Certificate], now: Timestamp) -> Result<(), AttestationError> {
        let [statement, f9, more @ ..] = chain else { return Err(AttestationError::Length(chain.len())) };
        usable(statement, now)?;
        is_issued(statement, f9)?;
        let mut current = f9;
        // How many authorities stand below `current`.
        let mut below = 0;
        loop {
            usable(current, now)?;
            let root = issuer_of(current, &self.roots);
            may_issue(current, below, self.legacy_devices && below == 0 && root.is_some())?;
            if root.is_some() {
                return Ok(());
            }
            let candidates = self.between.iter().chain(more);
            current = named_issuers(current, candidates)?;
            below += 1;
            if below > super::MAX_CHAIN {
                return Err(AttestationError::UnknownIssuer { issuer: current.issuer() });
            }
        }
    }
}

fn all(files: &[&[u8]]) -> Vec<Certificate> {
    files.iter().flat_map(|pem| Certificate::parse_pem(pem).expect("a test reads every one")).collect()
}

fn issuer_of<'a>(certificate: &Certificate, among: &'a [Certificate]) -> Option<&'a Certificate> {
    among.iter().find(|other| certificate.is_issued_by(other))
}

/// The one among them that issued the certificate. An error tells whether one had the right name and the wrong key.
fn named_issuers<'a>(
    certificate: &Certificate,
    among: impl Iterator<Item = &'a Certificate>,
) -> Result<&'a Certificate, AttestationError> {
    let mut error = AttestationError::UnknownIssuer { issuer: certificate.issuer() };
    for other in among.filter(|other| certificate.names_as_issuer(other)) {
        match is_issued(certificate, other) {
            Ok(()) => return Ok(other),
            Err(reason) => error = reason,
        }
    }
    Err(error)
}

fn is_issued(certificate: &Certificate, issuer: &Certificate) -> Result<(), AttestationError> {
    if certificate.is_issued_by(issuer) {
        return Ok(());
    }
    Err(AttestationError::Signature { subject: certificate.subject(), issuer: issuer.subject() })
}

fn usable(certificate: &Certificate, now: Timestamp) -> Result<(), AttestationError> {
    if !certificate.is_understood() {
        return Err(AttestationError::CriticalExtension { subject: certificate.subject() });
    }
    if !certificate.is_valid_at(now) {
        return Err(AttestationError::Validity { subject: certificate.subject() });
    }
    Ok(())
}

/// Without this rule, a key in any slot of a card could attest to whatever its owner likes: the card vouches for such a
/// key by a certificate too.
///
/// An F9 certificate without such a statement can be accepted if a root itself issued it, for a YubiKey's PIV
/// application. Certificates of keys in slots are issued by F9, never by a root.
fn may_issue(certificate: &Certificate, below: usize, legacy: bool) -> Result<(), AttestationError> {
    let subject = || certificate.subject();
    match certificate.constraints() {
        None if legacy && certificate.extension(FIRMWARE).is_some() => Ok(()),
        None if below == 0 => Err(AttestationError::Legacy),
        Some((true, _)) if !certificate.may_sign_certificates() => {
            Err(AttestationError::NotAuthority { subject: subject() })
        }
        Some((true, Some(length))) if usize::from(length) < below => {
            Err(AttestationError::PathLength { subject: subject() })
        }
        Some((true, _)) => Ok(()),
        None | Some((false, _)) => Err(AttestationError::NotAuthority { subject: subject() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root is one by itself; what stands between leads to one. Their fingerprints are pinned by `tests/attestation.rs`.
    #[test]
    fn each_of_yubicos_certificates_is_in_its_place() {
        let Trust { roots, between, legacy_devices } = Trust::yubico();
        let names: Vec<_> = roots.iter().map(Certificate::subject).collect();
        assert_eq!(
            names,
            [
                "CN=Yubico PIV Root CA Serial 263751",
                "CN=Yubico U2F Root CA Serial 457200631",
                "CN=Yubico Attestation Root 1"
            ]
        );
        assert!(roots.iter().all(|root| root.is_issued_by(root)));
        assert_eq!(between.len(), 5);
        for one in &between {
            assert!(!one.names_as_issuer(one), "{}", one.subject());
            let mut above = roots.iter().chain(&between);
            assert!(above.any(|other| one.is_issued_by(other)), "{}", one.subject());
        }
        assert!(!legacy_devices);
    }
}
