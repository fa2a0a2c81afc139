//! A publish, and moments in it at which something happens, by chance.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::{Response, Upload};

pub(crate) const VERSIONS: usize = 500;
/// One publish in so many ends in a kill.
pub(crate) const ODDS: u64 = 40;
/// Of one version. A test that has lost a thread comes to an end by it: nothing that the thread was to do succeeds any more.
pub(crate) const MOST_TRIES: usize = 100;

/// When it happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    HalfOfTheBody,
    AllOfTheBody,
    Answered,
}

impl Moment {
    /// Of one publish in [`ODDS`].
    pub(crate) fn of(dice: &mut Dice) -> Option<Self> {
        match dice.roll() % ODDS {
            0 => Some(Self::HalfOfTheBody),
            1 => Some(Self::AllOfTheBody),
            2 => Some(Self::Answered),
            _ => None,
        }
    }
}

/// Returns the answer, if there was one.
pub(crate) fn publish(
    address: &str,
    token: &str,
    upload: &Upload,
    moment: Option<Moment>,
    kill: impl Fn(),
) -> io::Result<Response> {
    put(address, "/api/v1/crates/new", token, &upload.body(), moment, kill)
}

/// As [`publish`], whatever is changed.
pub(crate) fn put(
    address: &str,
    path: &str,
    token: &str,
    body: &[u8],
    moment: Option<Moment>,
    kill: impl Fn(),
) -> io::Result<Response> {
    let kill_if = |wanted| {
        if moment == Some(wanted) {
            kill();
        }
    };
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    )?;
    let (one, other) = body.split_at(body.len() / 2);
    let mut sent = stream.write_all(one);
    kill_if(Moment::HalfOfTheBody);
    sent = sent.and_then(|()| stream.write_all(other));
    kill_if(Moment::AllOfTheBody);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    kill_if(Moment::Answered);
    if answer.windows(4).any(|four| four == b"\r\n\r\n") {
        // Who is refused before the body is read may find that it is not taken.
        return Ok(Response::parse(&answer));
    }
    sent.and_then(|()| Err(io::Error::other("no answer")))
}

/// xorshift64.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        Self(RandomState::new().hash_one(0) | 1)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }
}
