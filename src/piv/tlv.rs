//! BER-TLV as PIV uses it (SP 800-73-4 part 1, 4.1; ISO/IEC 7816-4, 5.2.2): definite lengths, tags of one or two bytes.
//!
//! What is read comes from a card and may lie: every length is checked against the bytes that are there, a
//! value is never longer than its input, and nothing is copied.

use super::Error;

/// One data object: its tag as written (`53` or `7F49`) and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u16,
    pub(crate) value: &'a [u8],
}

/// Reads exactly one object with this tag and nothing after it.
pub(crate) fn only<'a>(input: &'a [u8], tag: u16, what: &'static str) -> Result<&'a [u8], Error> {
    match split(input) {
        Some((object, [])) if object.tag == tag => Ok(object.value),
        _ => Err(Error::Malformed { what }),
    }
}

/// Reads a sequence of objects to its end, and gives the value of the one with this tag, if there is one.
/// Objects with other tags are skipped; the same tag twice is an error.
pub(crate) fn find<'a>(mut input: &'a [u8], tag: u16, what: &'static str) -> Result<Option<&'a [u8]>, Error> {
    let mut found = None;
    while !input.is_empty() {
        let (object, rest) = split(input).ok_or(Error::Malformed { what })?;
        if object.tag == tag && found.replace(object.value).is_some() {
            return Err(Error::Malformed { what });
        }
        input = rest;
    }
    Ok(found)
}

/// The first object and what follows it; `None` if the input is cut short or uses a form that PIV does not.
pub(crate) fn split(input: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let (tag, input) = split_tag(input)?;
    let (length, input) = split_length(input)?;
    let (value, rest) = input.split_at_checked(length)?;
    Some((Tlv { tag, value }, rest))
}

fn split_tag(input: &[u8]) -> Option<(u16, &[u8])> {
    let (&first, rest) = input.split_first()?;
    if first & 0x1F != 0x1F {
        return Some((first.into(), rest));
    }
    let (&second, rest) = rest.split_first()?;
    let goes_on = second & 0x80 != 0;
    (!goes_on).then_some((u16::from_be_bytes([first, second]), rest))
}

/// Longer forms than needed are allowed (BER); a length above 65,535 bytes fits in no card.
fn split_length(input: &[u8]) -> Option<(usize, &[u8])> {
    match *input {
        [length @ 0..=0x7F, ref rest @ ..] => Some((length.into(), rest)),
        [0x81, length, ref rest @ ..] => Some((length.into(), rest)),
        [0x82, high, low, ref rest @ ..] => Some((u16::from_be_bytes([high, low]).into(), rest)),
        _ => None,
    }
}

/// Appends one object, its length in the shortest form.
///
/// # Panics
/// If the value is longer than 65,535 bytes: no caller builds such an object.
pub(crate) fn push(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    match tag.to_be_bytes() {
        [0, low] => out.push(low),
        both => out.extend(both),
    }
    let length = u16::try_from(value.len()).expect("data objects of a card are below 64 KiB");
    match length.to_be_bytes() {
        [0, low @ 0..=0x7F] => out.push(low),
        [0, low] => out.extend([0x81, low]),
        [high, low] => out.extend([0x82, high, low]),
    }
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_form_of_length() {
        assert_eq!(split(&[0x53, 1, 7, 9]), Some((Tlv { tag: 0x53, value: &[7] }, &[9][..])));
        assert_eq!(split(&[0x53, 0x81, 1, 7]), Some((Tlv { tag: 0x53, value: &[7] }, &[][..])));
        assert_eq!(split(&[0x7F, 0x49, 0x82, 0, 1, 7]), Some((Tlv { tag: 0x7F49, value: &[7] }, &[][..])));
    }

    #[test]
    fn refuses_what_is_cut_short_or_foreign() {
        for bad in [
            &[][..],
            &[0x53],
            &[0x53, 1],
            &[0x53, 0x80, 0, 0],
            &[0x53, 0x81],
            &[0x53, 0x82, 1],
            &[0x53, 0x82, 0xFF, 0xFF, 0],
            &[0x53, 0x83, 0, 0, 1, 7],
            &[0x53, 0xFF],
            &[0x7F],
            &[0x7F, 0x81, 0x01, 0],
        ] {
            assert_eq!(split(bad), None, "{bad:02X?}");
        }
    }

    #[test]
    fn only_allows_nothing_else() {
        assert_eq!(only(&[0x7C, 1, 7], 0x7C, "x").unwrap(), [7]);
        assert!(matches!(only(&[0x7C, 1, 7, 0], 0x7C, "x"), Err(Error::Malformed { what: "x" })));
        assert!(matches!(only(&[0x7D, 1, 7], 0x7C, "x"), Err(Error::Malformed { .. })));
    }

    #[test]
    fn find_skips_unknown_tags_and_refuses_repeats() {
        assert_eq!(find(&[1, 1, 5, 2, 1, 6, 9, 0], 2, "x").unwrap(), Some(&[6][..]));
        assert_eq!(find(&[1, 1, 5], 2, "x").unwrap(), None);
        assert!(find(&[2, 1, 5, 2, 1, 6], 2, "x").is_err());
        assert!(find(&[2, 1, 5, 3, 9], 2, "x").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(input in proptest::collection::vec(any::<u8>(), 0..600), tag: u16) {
            let _ = only(&input, tag, "x");
            let _ = find(&input, tag, "x");
        }

        #[test]
        fn reads_what_it_wrote(
            tag in prop_oneof![Just(0x53u16), Just(0x7C), Just(0x7F49)],
            value in proptest::collection::vec(any::<u8>(), 0..1_000usize),
        ) {
            let mut out = Vec::new();
            push(&mut out, tag, &value);
            prop_assert_eq!(only(&out, tag, "x").unwrap(), value);
        }
    }
}
