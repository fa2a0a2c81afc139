//! The numbers of the data objects (SP 800-73-4 part 1, table 3).

/// A data object, by its tag: 5F0000 to 5FFFFF, or one of the two below.
pub(crate) type ObjectNumber = u32;

/// The Discovery Object (part 1, 3.3.2).
pub(crate) const DISCOVERY: ObjectNumber = 0x7E;
/// The Biometric Information Templates Group Template (part 1, 3.3.4).
pub(crate) const BIOMETRIC_GROUP: ObjectNumber = 0x7F61;
/// Yubico's own: the certificate of the attestation key.
pub(crate) const ATTESTATION_CERTIFICATE: ObjectNumber = 0x5F_FF01;

/// The content of the Discovery Object: the application identifier, then the PIN usage policy, which says that the
/// application PIN is the only one.
pub(crate) const DISCOVERY_CONTENT: [u8; 20] =
    [0x7E, 0x12, 0x4F, 0x0B, 0xA0, 0, 0, 3, 8, 0, 0, 0x10, 0, 1, 0, 0x5F, 0x2F, 2, 0x40, 0];

/// Reads the value of tag 5C.
pub(crate) fn parse(name: &[u8]) -> Option<ObjectNumber> {
    match name {
        [0x7E] => Some(DISCOVERY),
        [0x7F, 0x61] => Some(BIOMETRIC_GROUP),
        [0x5F, high, low] => Some(u32::from_be_bytes([0, 0x5F, *high, *low])),
        _ => None,
    }
}

/// Whether it is read with the PIN only: fingerprints, printed information, facial image and iris images (part 1,
/// table 2).
pub(crate) fn needs_pin(object: ObjectNumber) -> bool {
    matches!(object, 0x5F_C103 | 0x5F_C108 | 0x5F_C109 | 0x5F_C121)
}

/// Whether GET DATA answers the content as it is, without a tag 53 around it (part 2, 3.1.2).
pub(crate) fn is_bare(object: ObjectNumber) -> bool {
    matches!(object, DISCOVERY | BIOMETRIC_GROUP)
}
