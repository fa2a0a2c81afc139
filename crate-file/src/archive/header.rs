//! One header of a tar archive: 512 bytes (POSIX.1-1988, "ustar", and the form that GNU tar has made of it).
//!
//! Readers of tar forgive much, each in its own way: a sign or blanks before digits, digits in base 64 or 256, bytes where a
//! form has none. What one of them ignores is a size, or part of the path, to another. So a header is only accepted if it is
//! one that cargo or tar would write: it is read, written again, and has to give the same bytes.

/// The length of a header, and of the blocks that contents come in.
pub(crate) const BLOCK: usize = 512;

/// What the header before one with a long name is called.
const LONG_NAME: &[u8] = b"././@LongLink";
const GNU: &[u8; 8] = b"ustar  \0";
const USTAR: &[u8; 8] = b"ustar\x0000";

/// A header that is written in one of the usual ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// What it stands before.
    pub(crate) kind: Kind,
    /// The length of what follows, in bytes.
    pub(crate) size: u64,
    /// `0`, `L`, or NUL, which is an old spelling of `0`.
    flag: u8,
    name: Vec<u8>,
    /// Only in `ustar`: the path's first part.
    prefix: Vec<u8>,
    form: Form,
    /// Rights, user and group, major and minor device, time: digits, or nothing at all.
    mode: Option<u64>,
    user: Option<u64>,
    group: Option<u64>,
    major: Option<u64>,
    minor: Option<u64>,
    time: Option<u64>,
    sum: Sum,
}

/// What a header stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A plain file.
    File,
    /// The name of the file whose header comes next.
    LongName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Gnu,
    Ustar,
}

/// How the checksum is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sum {
    /// Seven digits and a NUL, as Rust's tar does.
    Seven,
    /// Seven digits and a blank, as Rust's tar did until 2017.
    SevenBlank,
    /// Six digits, a NUL and a blank, as tar has always done.
    Six,
}

/// Why a header is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusual {
    /// Neither `ustar` nor GNU.
    Form,
    /// Neither a plain file nor a long name, but this.
    Kind(&'static str),
    /// Not as cargo or tar writes it.
    Spelling,
}

impl Header {
    /// Reads a header.
    pub(crate) fn read(block: &[u8; BLOCK]) -> Result<Self, Unusual> {
        let form = match &block[257..265] {
            magic if magic == GNU => Form::Gnu,
            magic if magic == USTAR => Form::Ustar,
            _ => return Err(Unusual::Form),
        };
        let kind = match block[156] {
            b'0' | 0 => Kind::File,
            b'L' => Kind::LongName,
            other => return Err(Unusual::Kind(kind_name(other))),
        };
        let number = |from: usize, to: usize| number(&block[from..to]);
        let header = Self {
            kind,
            size: number(124, 136).ok_or(Unusual::Spelling)?,
            flag: block[156],
            name: until_nul(&block[..100]),
            prefix: if form == Form::Ustar { until_nul(&block[345..500]) } else { Vec::new() },
            form,
            mode: number(100, 108),
            user: number(108, 116),
            group: number(116, 124),
            major: number(329, 337),
            minor: number(337, 345),
            time: number(136, 148),
            sum: match &block[154..156] {
                b"\0 " => Sum::Six,
                [_, b' '] => Sum::SevenBlank,
                _ => Sum::Seven,
            },
        };
        if header.is_usual() && header.write() == *block { Ok(header) } else { Err(Unusual::Spelling) }
    }

    /// The path that the header itself has.
    pub(crate) fn path(&self) -> Vec<u8> {
        if self.prefix.is_empty() { self.name.clone() } else { [&self.prefix[..], b"/", &self.name].concat() }
    }

    /// Whether it can be that of the file with this long name. Readers that do not know long names use the name in
    /// this header, which has to be the beginning of the long one. If it ends in a slash and the flag is NUL, some of them
    /// take it for a folder.
    pub(crate) fn begins(&self, long_name: &[u8]) -> bool {
        let is_folder = self.flag == 0 && self.name.ends_with(b"/");
        self.prefix.is_empty() && long_name.len() > 100 && long_name.starts_with(&self.name) && !is_folder
    }

    fn is_usual(&self) -> bool {
        // The mode says at most that it is a plain file, and who may read, write and run it.
        let mode = self.mode.is_none_or(|mode| mode & !0o100_777 == 0);
        let name = match self.kind {
            Kind::File => !self.name.is_empty(),
            Kind::LongName => self.name == LONG_NAME && self.form == Form::Gnu,
        };
        mode && name
    }

    fn write(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name);
        for (at, value) in
            [(100, self.mode), (108, self.user), (116, self.group), (329, self.major), (337, self.minor)]
        {
            if let Some(value) = value {
                put(at, &seven_digits(value));
            }
        }
        put(124, format!("{:011o}\0", self.size).as_bytes());
        if let Some(time) = self.time {
            put(136, format!("{time:011o}\0").as_bytes());
        }
        put(148, b"        ");
        put(156, &[self.flag]);
        put(257, if self.form == Form::Gnu { GNU } else { USTAR });
        put(345, &self.prefix);
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        let sum = match self.sum {
            Sum::Seven => seven_digits(sum),
            Sum::SevenBlank => format!("{sum:07o} ").into_bytes(),
            Sum::Six => format!("{sum:06o}\0 ").into_bytes(),
        };
        block[148..156].copy_from_slice(&sum);
        block
    }
}

fn seven_digits(value: u64) -> Vec<u8> {
    format!("{value:07o}\0").into_bytes()
}

/// The octal digits at the beginning of a field; `None` if there are none. A field of twelve bytes has no more than fit.
fn number(field: &[u8]) -> Option<u64> {
    let digits = field.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).take(field.len() - 1);
    digits.fold(None, |value, digit| Some(value.unwrap_or(0) * 8 + u64::from(digit - b'0')))
}

fn until_nul(field: &[u8]) -> Vec<u8> {
    field.iter().copied().take_while(|byte| *byte != 0).collect()
}

fn kind_name(kind: u8) -> &'static str {
    match kind {
        b'1' | b'K' => "link",
        b'2' => "symbolic link",
        b'3' | b'4' | b'6' => "device",
        b'5' => "directory",
        b'g' | b'x' => "pax header",
        b'S' => "sparse file",
        _ => "special entry",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> [u8; BLOCK] {
        let header = Header {
            kind: Kind::File,
            size: 0o1234,
            flag: b'0',
            name: b"hello-1.0.0/Cargo.toml".to_vec(),
            prefix: Vec::new(),
            form: Form::Gnu,
            mode: Some(0o644),
            user: Some(0),
            group: None,
            major: None,
            minor: Some(0),
            time: Some(1),
            sum: Sum::Seven,
        };
        header.write()
    }

    /// Puts bytes in, and the checksum right, in one of the three ways.
    fn with(at: usize, bytes: &[u8], sum: Sum) -> [u8; BLOCK] {
        let mut block = block();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        block[148..156].fill(b' ');
        let total: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        let text = match sum {
            Sum::Seven => format!("{total:07o}\0"),
            Sum::SevenBlank => format!("{total:07o} "),
            Sum::Six => format!("{total:06o}\0 "),
        };
        block[148..156].copy_from_slice(text.as_bytes());
        block
    }

    #[test]
    fn the_usual_ones() {
        let read = |at, bytes: &[u8]| {
            let headers = [Sum::Seven, Sum::SevenBlank, Sum::Six]
                .map(|sum| Header::read(&with(at, bytes, sum)).unwrap());
            assert!(headers.iter().all(|header| header.path() == headers[0].path()));
            headers[0].clone()
        };
        assert_eq!(read(0, b"").size, 0o1234);
        assert_eq!(read(124, b"77777777777\0").size, 0o77777777777);
        assert_eq!(read(0, &[b'a'; 100]).path(), [b'a'; 100]);
        assert_eq!(read(100, b"0100755\0").mode, Some(0o100_755));
        assert_eq!(read(257, USTAR).path(), b"hello-1.0.0/Cargo.toml");
        let mut ustar = with(257, USTAR, Sum::Six);
        ustar[345..500].fill(b'p');
        ustar[148..156].copy_from_slice(&with(0, b"", Sum::Six)[148..156]);
        assert_eq!(Header::read(&ustar), Err(Unusual::Spelling), "another checksum");
    }

    #[test]
    fn what_readers_differ_about() {
        for (at, bytes) in [
            (124, &b"+0\0\0\0\0\0\0\0\0\0\0"[..]), // base 64 for GNU tar
            (124, b"-0\0\0\0\0\0\0\0\0\0\0"),
            (124, b"\0\0\0\0\0\0\0\0\0\0\0\0"),
            (124, b"\x80\0\0\0\0\0\0\0\0\0\x02\x9c"), // base 256
            (124, b"       1234\0"),
            (124, b"0000001234 \0"),
            (124, b"00000001234 "),
            (124, b"000000012341"),
            (124, b"1234\0\0\0\0\0\0\0\0"),
            (124, b"1234\x0077777\0\0"),
            (100, b"    644\0"),
            (100, b"0000644 "),
            (100, b"0004755\0"),
            (100, b"0040755\0"),
            (108, b"\x00000000\0"),
            (108, b" 000000\0"),
            (136, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            (157, b"x"),    // the name of a link
            (265, b"root"), // a user by name
            (297, b"root"),
            (345, b"x"), // a prefix in a form that has none: Python takes it
            (500, b"x"),
            (511, b"x"),
            (99, b"x"), // after the name's end
        ] {
            for sum in [Sum::Seven, Sum::SevenBlank, Sum::Six] {
                assert_eq!(Header::read(&with(at, bytes, sum)), Err(Unusual::Spelling), "{at} {bytes:?}");
            }
        }
        for kind in [b'1', b'2', b'5', b'7', b'D', b'K', b'M', b'S', b'V', b'X', b'g', b'x'] {
            assert!(matches!(Header::read(&with(156, &[kind], Sum::Six)), Err(Unusual::Kind(_))), "{kind}");
        }
        assert_eq!(Header::read(&with(156, b"L", Sum::Six)), Err(Unusual::Spelling));
        assert!(Header::read(&with(156, b"\0", Sum::Six)).is_ok());
        let mut folder = block();
        folder[..100].fill(b'/');
        for (flag, begins) in [(b'0', true), (0, false)] {
            folder[156] = flag;
            folder[148..156].fill(b' ');
            let total: u64 = folder.iter().map(|byte| u64::from(*byte)).sum();
            folder[148..156].copy_from_slice(format!("{total:06o}\0 ").as_bytes());
            assert_eq!(Header::read(&folder).unwrap().begins(&[b'/'; 101]), begins);
        }
        assert_eq!(Header::read(&with(257, b"ustar\0\0\0", Sum::Six)), Err(Unusual::Form));
        assert_eq!(Header::read(&[0; BLOCK]), Err(Unusual::Form));
    }
}
