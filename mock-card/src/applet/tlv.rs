//! BER-TLV with tags of one byte and definite lengths, which is what PIV uses (SP 800-73-4 part 1, appendix A).

use super::status::Status;

/// The tags that commands use.
pub(crate) mod tag {
    /// The dynamic authentication template of GENERAL AUTHENTICATE, and the elements in it (part 2, table 7).
    pub(crate) const AUTHENTICATION_TEMPLATE: u8 = 0x7C;
    pub(crate) const WITNESS: u8 = 0x80;
    pub(crate) const CHALLENGE: u8 = 0x81;
    pub(crate) const RESPONSE: u8 = 0x82;
    pub(crate) const PEER_POINT: u8 = 0x85;

    /// The control reference template of GENERATE ASYMMETRIC KEY PAIR, and the element in it (part 2, table 9).
    pub(crate) const CONTROL_TEMPLATE: u8 = 0xAC;
    pub(crate) const ALGORITHM: u8 = 0x80;
    /// Yubico's elements of that template, and of IMPORT ASYMMETRIC KEY.
    pub(crate) const PIN_POLICY: u8 = 0xAA;
    pub(crate) const TOUCH_POLICY: u8 = 0xAB;

    /// The name of a data object.
    pub(crate) const TAG_LIST: u8 = 0x5C;
    /// The content of a data object.
    pub(crate) const DATA: u8 = 0x53;
    /// The certificate in the content of a certificate object (part 1, table 10).
    pub(crate) const CERTIFICATE: u8 = 0x70;
}

/// Elements in their order, each with its tag and value.
pub(crate) type Elements<'a> = Vec<(u8, &'a [u8])>;

/// Reads all elements of `bytes`. Bytes that are not made of whole elements are wrong data.
pub(crate) fn parse(bytes: &[u8]) -> Result<Elements<'_>, Status> {
    let mut elements = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (tag, value, after) = first(rest)?;
        elements.push((tag, value));
        rest = after;
    }
    Ok(elements)
}

/// Reads the first element of `bytes`: its tag, its value, and the bytes after it.
pub(crate) fn first(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), Status> {
    let [tag, after_tag @ ..] = bytes else { return Err(Status::WrongData) };
    let (length, after_length) = match after_tag {
        [short @ 0..=0x7F, rest @ ..] => (usize::from(*short), rest),
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return Err(Status::WrongData),
    };
    let (value, rest) = after_length.split_at_checked(length).ok_or(Status::WrongData)?;
    Ok((*tag, value, rest))
}

/// The value of `bytes`, which have to be one element with this tag.
pub(crate) fn only(bytes: &[u8], tag: u8) -> Result<&[u8], Status> {
    match first(bytes)? {
        (found, value, []) if found == tag => Ok(value),
        _ => Err(Status::WrongData),
    }
}

/// The value of the first element with this tag.
pub(crate) fn find<'a>(elements: &[(u8, &'a [u8])], tag: u8) -> Option<&'a [u8]> {
    elements.iter().find(|(found, _)| *found == tag).map(|(_, value)| *value)
}

/// Writes an element. The tag may have several bytes.
pub(crate) fn element(tag: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = tag.to_vec();
    match value.len() {
        length @ 0..=0x7F => bytes.push(length as u8),
        length @ 0x80..=0xFF => bytes.extend([0x81, length as u8]),
        length => {
            bytes.push(0x82);
            bytes.extend((length as u16).to_be_bytes());
        }
    }
    bytes.extend_from_slice(value);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back() {
        for length in [0, 1, 0x7F, 0x80, 0xFF, 0x100, 3052] {
            let value = vec![0xA5; length];
            assert_eq!(only(&element(&[0x53], &value), 0x53), Ok(&value[..]), "{length}");
        }
    }

    #[test]
    fn what_does_not_add_up_is_wrong_data() {
        for wrong in
            [&[0x53][..], &[0x53, 1], &[0x53, 0x80], &[0x53, 0x83, 0, 0, 0], &[0x53, 0x82, 1], &[0x53, 0x81]]
        {
            assert_eq!(first(wrong), Err(Status::WrongData), "{wrong:02X?}");
        }
        assert_eq!(only(&[0x53, 0, 0], 0x53), Err(Status::WrongData));
        assert_eq!(only(&[0x54, 0], 0x53), Err(Status::WrongData));
    }
}
