//! Recorded attestations. The keys and signatures are those of real cards, so it is the form of the certificates that is
//! compared: everything but keys, signatures, names of authorities and the digits of serial numbers.

use mock_card::Card;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

use super::{Exchange, card_for, recordings};
use crate::cards::{authenticate, bytes};

/// What two certificates of the same form have in common.
#[derive(Debug, PartialEq, Eq)]
struct Form {
    version: String,
    /// The number of bytes, with the zero byte before a number whose first bit is set, and the first one if it is always the
    /// same.
    serial_number: (usize, Option<u8>),
    signature_algorithm: String,
    issuer: String,
    validity: (String, String),
    subject: String,
    key_algorithm: String,
    /// The number, whether it is critical, and the value.
    extensions: Vec<(String, bool, Vec<u8>)>,
}

/// What of a recorded form the mock does not have.
struct Difference {
    file: &'static str,
    why: &'static str,
    mend: fn(&mut Form),
}

const DIFFERENCES: &[Difference] = &[Difference {
    file: "attest-4.3.7-9a-p256",
    why: "the certificates of this card are older: its F9 is below Yubico's U2F root, and valid from 2014 to 2050",
    mend: |form| form.validity = ("2016-03-14T00:00:00Z".into(), "2052-04-17T00:00:00Z".into()),
}];

impl Form {
    fn of(certificate: &Certificate) -> Self {
        let body = certificate.tbs_certificate();
        assert_eq!(body.signature(), certificate.signature_algorithm());
        let serial = body.serial_number().as_bytes();
        let key = body.subject_public_key_info();
        let extensions = body.extensions().into_iter().flatten();
        Self {
            version: format!("{:?}", body.version()),
            serial_number: (serial.len(), serial.first().copied().filter(|first| *first == 1)),
            signature_algorithm: hex(&certificate.signature_algorithm().to_der().unwrap()),
            issuer: body.issuer().to_string(),
            validity: (body.validity().not_before.to_string(), body.validity().not_after.to_string()),
            subject: body.subject().to_string(),
            key_algorithm: hex(&key.algorithm.to_der().unwrap()),
            extensions: extensions
                .map(|one| (one.extn_id.to_string(), one.critical, one.extn_value.as_bytes().to_vec()))
                .collect(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    mock_card::hex::encode(bytes)
}

#[test]
fn attestations_have_the_form_of_recorded_ones() {
    let mut statements = 0;
    for recording in recordings().into_iter().filter(|recording| recording.has_setup("certificate")) {
        let name = &recording.name;
        let mut card = card_for(name);
        let difference = DIFFERENCES.iter().find(|known| known.file == *name);
        for Exchange { command, answer } in &recording.exchanges {
            let real = parsed(&mock_card::hex::decode(answer).unwrap(), command);
            let made = match command[1] {
                0xF9 => {
                    statements += 1;
                    statement_like(&real, command[2], &mut card)
                }
                _ => parsed(&card.transmit(command), command),
            };
            let (mut wanted, found) = (Form::of(&real), Form::of(&made));
            if let Some(Difference { why, mend, .. }) = difference {
                mend(&mut wanted);
                assert_ne!(wanted, Form::of(&real), "{name} does not differ any more: {why}");
            }
            if command[1] == 0xCB {
                // The mock has its own authorities.
                wanted.issuer.clone_from(&found.issuer);
            }
            if wanted.serial_number.1.is_none() {
                // A random number has a zero byte in front of it or not.
                assert!(wanted.serial_number.0.abs_diff(found.serial_number.0) <= 1, "{name}: {found:#?}");
                wanted.serial_number = found.serial_number;
            }
            assert_eq!(found, wanted, "{name}");
        }
    }
    assert_eq!(statements, 7);
}

/// The certificate in an answer to ATTEST, or to GET DATA for the certificate of F9.
fn parsed(answer: &[u8], command: &[u8]) -> Certificate {
    let answer = answer.strip_suffix(&[0x90, 0]).unwrap_or_else(|| panic!("{answer:02X?}"));
    let certificate = match (command[1], answer) {
        (0xF9, statement) => statement,
        (_, [0x53, 0x82, _, _, 0x70, 0x82, _, _, rest @ ..]) => {
            rest.strip_suffix(&bytes("710100FE00")[..]).expect("a certificate that is not compressed")
        }
        (_, other) => panic!("{other:02X?}"),
    };
    Certificate::from_der(certificate).unwrap()
}

/// A statement about a key of the same algorithm and policies in the same slot.
fn statement_like(real: &Certificate, slot: u8, card: &mut Card) -> Certificate {
    let form = Form::of(real);
    let policies = form.extensions.iter().find(|(oid, ..)| oid.ends_with(".41482.3.8")).unwrap().2.clone();
    // The object identifiers of P-256 and P-384, which are parameters of the algorithm.
    let algorithm = match form.key_algorithm {
        curve if curve.ends_with("2A8648CE3D030107") => 0x11,
        curve if curve.ends_with("2B81040022") => 0x14,
        _ => 0x07,
    };
    authenticate(card);
    let template = [0xAC, 9, 0x80, 1, algorithm, 0xAA, 1, policies[0], 0xAB, 1, policies[1]];
    let generated = card.transmit(&[&[0, 0x47, 0, slot, 0, 0, 11], &template[..]].concat());
    assert!(generated.ends_with(&[0x90, 0]), "{generated:02X?}");
    let command = [0, 0xF9, slot, 0, 0, 0, 0];
    parsed(&card.transmit(&command), &command)
}
