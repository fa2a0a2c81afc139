//! GET DATA and PUT DATA (SP 800-73-4 part 2, 3.1.2 and 3.3.1), and the certificate objects (part 1, table 10).

use zeroize::Zeroizing;

use super::{
    Curve, Error, PinPolicy, Piv, Slot, Status, TouchPolicy,
    apdu::{Command, instruction},
    certificate::{self, SlotCertificate},
    refusal, refuse_attestation_slot, tlv,
};

const CERTIFICATE: u16 = 0x70;
const CERTIFICATE_INFO: u16 = 0x71;
const ERROR_DETECTION_CODE: u16 = 0xFE;
const UNCOMPRESSED: u8 = 0;

/// The content of a slot's certificate object. Any program may have written it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateObject(Vec<u8>);

impl CertificateObject {
    /// The DER certificate; `None` if it is compressed, or if this is no certificate at all.
    pub fn der(&self) -> Option<&[u8]> {
        const WHAT: &str = "certificate object";
        let info = tlv::find(&self.0, CERTIFICATE_INFO, WHAT).ok()?.unwrap_or(&[UNCOMPRESSED]);
        let certificate = tlv::find(&self.0, CERTIFICATE, WHAT).ok()?;
        if info == [UNCOMPRESSED] { certificate } else { None }
    }

    /// The key that the certificate names, if it is on this curve. The slot may hold another one.
    pub fn point<const POINT: usize>(&self, curve: &Curve<POINT>) -> Option<[u8; POINT]> {
        certificate::point(self.der()?, curve)
    }

    /// The policies that the certificate repeats, where Yubico's extension is in it.
    pub fn policies(&self) -> Option<(PinPolicy, TouchPolicy)> {
        certificate::policies(self.der()?)
    }

    /// Whose certificate it is. Bytes that no one understands are somebody's: [`SlotCertificate::Foreign`].
    pub fn read(&self) -> SlotCertificate {
        self.der().map_or(SlotCertificate::Foreign, certificate::read)
    }
}

impl Piv<'_> {
    /// The certificate object of a slot; `None` if there is none, or an empty one.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the answer is not one data object.
    pub fn certificate(&mut self, slot: Slot) -> Result<Option<CertificateObject>, Error> {
        let content = self.object(slot.certificate_object())?;
        Ok(content.map(|content| CertificateObject(content.to_vec())))
    }

    /// Stores a DER certificate, replacing the one that is there. Needs [`Piv::authenticate_management`].
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`], [`Error::CardFull`].
    pub fn put_certificate(&mut self, slot: Slot, der: &[u8]) -> Result<(), Error> {
        refuse_attestation_slot(slot)?;
        let mut content = Vec::with_capacity(der.len() + 10);
        tlv::push(&mut content, CERTIFICATE, der);
        tlv::push(&mut content, CERTIFICATE_INFO, &[UNCOMPRESSED]);
        tlv::push(&mut content, ERROR_DETECTION_CODE, &[]);
        self.put_object(slot.certificate_object(), &content)
    }

    /// The content of a data object; `None` if it does not exist or is empty.
    pub(super) fn object(&mut self, object: [u8; 3]) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let command = Command::new(instruction::GET_DATA, 0x3F, 0xFF).data(tag_list(object)).expects_data();
        let answer = self.exchange(&command)?;
        match answer.status {
            Status::SuccessfulExecution => {}
            Status::ObjectOrApplicationNotFound => return Ok(None),
            status => return Err(refusal("GET DATA", status)),
        }
        let content = tlv::only(&answer.data, 0x53, "data object")?;
        Ok((!content.is_empty()).then(|| Zeroizing::new(content.to_vec())))
    }

    fn put_object(&mut self, object: [u8; 3], content: &[u8]) -> Result<(), Error> {
        let mut data = tag_list(object);
        tlv::push(&mut data, 0x53, content);
        self.ask("PUT DATA", &Command::new(instruction::PUT_DATA, 0x3F, 0xFF).data(data)).map(drop)
    }
}

fn tag_list(object: [u8; 3]) -> Vec<u8> {
    let mut list = Vec::new();
    tlv::push(&mut list, 0x5C, &object);
    list
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::piv::script::{Script, hex};

    const GET: &str = "00CB3FFF055C035FC10D00";

    fn piv(card: &mut Script) -> Piv<'_> {
        Piv { card, version: None }
    }

    fn slot() -> Slot {
        "82".parse().unwrap()
    }

    fn certificate(answer: &str) -> Result<Option<CertificateObject>, Error> {
        piv(&mut Script::new(&[(GET, answer)])).certificate(slot())
    }

    #[test]
    fn reads_a_certificate() {
        let object = certificate("530A 7003 AABBCC 710100 FE00 9000").unwrap().unwrap();
        assert_eq!(object.der(), Some(&[0xAA, 0xBB, 0xCC][..]));
    }

    #[test]
    fn an_absent_or_empty_object_is_none() {
        assert_eq!(certificate("6A82").unwrap(), None);
        assert_eq!(certificate("5300 9000").unwrap(), None);
    }

    #[test]
    fn what_is_no_plain_certificate_is_foreign() {
        for content in ["5306 7001 00 710101 9000", "5303 010203 9000", "5302 7000 9000", "5303 710100 9000"]
        {
            let object = certificate(content).unwrap().unwrap();
            assert_eq!(object.read(), SlotCertificate::Foreign, "{content}");
        }
    }

    #[test]
    fn a_compressed_certificate_is_not_taken_for_a_plain_one() {
        let object = certificate("5308 7001AA 710101 FE00 9000").unwrap().unwrap();
        assert_eq!(object.der(), None);
    }

    #[test]
    fn refuses_what_is_no_object() {
        for lie in ["9000", "5305 00 9000", "7001 00 9000", "5301 00 00 9000"] {
            assert!(matches!(certificate(lie), Err(Error::Malformed { what: "data object" })), "{lie}");
        }
        assert!(matches!(certificate("6982"), Err(Error::NotAuthenticated)));
    }

    #[test]
    fn stores() {
        let mut card = Script::new(&[("00DB3FFF11 5C035FC10D 530A 7003AABBCC 710100 FE00", "9000")]);
        piv(&mut card).put_certificate(slot(), &[0xAA, 0xBB, 0xCC]).unwrap();
        card.assert_finished();
    }

    #[test]
    fn storing_may_be_refused() {
        let put = |status| piv(&mut Script::answers(&[status])).put_certificate(slot(), &[1]);
        assert!(matches!(put("6982"), Err(Error::NotAuthenticated)));
        assert!(matches!(put("6A84"), Err(Error::CardFull)));
        assert!(matches!(put("6A80"), Err(Error::Refused { status: Status::IncorrectData, .. })));
    }

    #[test]
    fn chains_a_certificate_of_ordinary_size() {
        let der = vec![0xCE; 500];
        let data = format!("5C035FC10D 538201FD 708201F4 {} 710100 FE00", "CE".repeat(500));
        let data: String = data.split_whitespace().collect();
        let first = format!("10DB3FFFFF{}", &data[..510]);
        let second = format!("10DB3FFFFF{}", &data[510..1020]);
        let third = format!("00DB3FFF{:02X}{}", (data.len() - 1020) / 2, &data[1020..]);
        let mut card = Script::new(&[(&first, "9000"), (&second, "9000"), (&third, "9000")]);
        piv(&mut card).put_certificate(slot(), &der).unwrap();
        card.assert_finished();
        assert_eq!(CertificateObject(hex(&data[18..])).der(), Some(&der[..]));
    }

    proptest! {
        #[test]
        fn never_panics(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = CertificateObject(content).read();
        }
    }
}
