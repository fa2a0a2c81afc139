//! The `yubikey` crate as a program of its own, since libpcsclite chooses its socket once per process.
//!
//! `yubikey-peer read` prints the only card as a [`CardReport`] in JSON. `yubikey-peer sign SLOT` signs with a
//! P-384 key: on stdin the PIN in a line of its own, which may be empty for "no VERIFY", then the message; on
//! stdout the DER signature in base64.

use std::error::Error;
use std::io::Read as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use p384::pkcs8::der::referenced::RefToOwned as _;
use sha2::{Digest as _, Sha384};
use x509_cert::ext::pkix::{SubjectAltName, name::GeneralName};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use yk_cargo_interop::{CardReport, CertificateReport, SlotReport};
use yubikey::YubiKey;
use yubikey::certificate::Certificate;
use yubikey::piv::{self, AlgorithmId, RetiredSlotId, SlotAlgorithmId, SlotId};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const RETIRED: std::ops::RangeInclusive<u8> = 0x82..=0x95;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut card = YubiKey::open()?;
    let answer = match arguments[..] {
        ["read"] => read(&mut card).and_then(|report| Ok(serde_json::to_string(&report)?)),
        ["sign", slot] => sign(&mut card, u8::from_str_radix(slot, 16)?),
        _ => Err("usage: yubikey-peer read | sign SLOT".into()),
    };
    // The crate's own way to let go of a card resets it, on which the next program would then stumble.
    card.disconnect(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error)?;
    println!("{}", answer?);
    Ok(())
}

fn read(card: &mut YubiKey) -> Result<CardReport> {
    let mut slots = Vec::new();
    for slot in RETIRED {
        slots.extend(read_slot(card, slot)?);
    }
    Ok(CardReport { serial: card.serial().0, firmware: card.version().to_string(), slots })
}

fn read_slot(card: &mut YubiKey, number: u8) -> Result<Option<SlotReport>> {
    let slot = SlotId::Retired(RetiredSlotId::try_from(number)?);
    let metadata = match piv::metadata(card, slot) {
        Err(yubikey::Error::NotFound) => return Ok(None),
        metadata => metadata?,
    };
    let SlotAlgorithmId::Asymmetric(algorithm) = metadata.algorithm else {
        return Err(format!("slot {number:X} holds {:?}", metadata.algorithm).into());
    };
    let (pin, touch) = metadata.policy.ok_or("metadata without policies")?;
    let origin = metadata.origin.ok_or("metadata without origin")?;
    let public = metadata.public.ok_or("metadata without public key")?;
    Ok(Some(SlotReport {
        slot: format!("{number:02x}"),
        algorithm: format!("{algorithm:?}"),
        pin: format!("{pin:?}"),
        touch: format!("{touch:?}"),
        origin: format!("{origin:?}"),
        public: point(&public)?,
        certificate: read_certificate(&Certificate::read(card, slot)?)?,
    }))
}

fn read_certificate(certificate: &Certificate) -> Result<CertificateReport> {
    let contents = certificate.cert.tbs_certificate();
    let names = match contents.get_extension::<SubjectAltName>()? {
        Some((_, SubjectAltName(names))) => names,
        None => Vec::new(),
    };
    let uris = names.into_iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
        _ => None,
    });
    let extensions = contents.extensions().into_iter().flatten();
    Ok(CertificateReport {
        subject: certificate.subject(),
        issuer: certificate.issuer(),
        uris: uris.collect(),
        public: point(&certificate.subject_pki().ref_to_owned())?,
        critical: extensions.filter(|it| it.critical).map(|it| it.extn_id.to_string()).collect(),
    })
}

fn point(key: &SubjectPublicKeyInfoOwned) -> Result<String> {
    let point = key.subject_public_key.as_bytes().ok_or("a public key of odd length")?;
    Ok(BASE64_STANDARD.encode(point))
}

fn sign(card: &mut YubiKey, slot: u8) -> Result<String> {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    let (pin, message) = input.split_once('\n').ok_or("no line with a PIN on stdin")?;
    if !pin.is_empty() {
        card.verify_pin(pin.as_bytes())?;
    }
    let slot = SlotId::Retired(RetiredSlotId::try_from(slot)?);
    let signature = piv::sign_data(card, &Sha384::digest(message), AlgorithmId::EccP384, slot)?;
    Ok(BASE64_STANDARD.encode(&*signature))
}
