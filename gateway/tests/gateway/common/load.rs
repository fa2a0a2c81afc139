//! Publishes through whatever is in front of several gateways, while something happens to them; and what must hold afterwards:
//! every accepted publish is there, once; every token that was spent is still spent; what was refused was not made; every
//! intent has an outcome.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use asymmetric_token::Claims;
use jiff::Timestamp;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::store::Store;

use super::moments::{Dice, MOST_TRIES, Moment, publish};
use super::{Response, SoftwareKey, Upload, now};

/// So many crates are published, in turn, so that all gateways are at work.
const CRATES: usize = 4;
pub(crate) const CLIENTS: usize = 4;
/// What an answer says that is sure of itself.
const NOT_MADE: [&str; 2] = ["failed before anything was changed", "was not carried out"];

/// What happens meanwhile.
pub(crate) trait Trouble: Sync {
    /// Whether it happens during the publish of this number, and when, and to whom.
    fn is_due(&self, number: usize, dice: &mut Dice) -> Option<(Moment, usize)>;
    /// It happens.
    fn happens(&self, victim: usize);
    /// A publish has failed. Returns when the next attempt may be made.
    fn has_failed(&self);
    /// Nobody publishes any more, or the test has failed.
    fn is_over(&self) {}
}

struct Over<'a, T: Trouble>(&'a T);

impl<T: Trouble> Drop for Over<'_, T> {
    fn drop(&mut self) {
        self.0.is_over();
    }
}

/// When something happens: so many times, each after so many publishes.
pub(crate) struct Schedule {
    pub(crate) times: usize,
    between: usize,
    happened: AtomicUsize,
}

impl Schedule {
    pub(crate) fn new(times: usize, between: usize) -> Self {
        Self { times, between, happened: AtomicUsize::new(0) }
    }

    /// During how many publishes.
    pub(crate) fn publishes(&self) -> usize {
        self.times * self.between
    }

    /// Whether it is due, and then the moment in the publish of this number.
    pub(crate) fn is_due(&self, number: usize, dice: &mut Dice) -> Option<Moment> {
        let next = |happened| {
            let is_due = happened < self.times && number >= happened * self.between + self.between / 2;
            is_due.then_some(happened + 1)
        };
        self.happened.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).ok()?;
        let moments = [Moment::HalfOfTheBody, Moment::AllOfTheBody, Moment::Answered];
        Some(moments[dice.roll() as usize % moments.len()])
    }
}

/// Who publishes, and where.
pub(crate) struct Load {
    key: SoftwareKey,
    address: SocketAddr,
    index_url: String,
    published: Mutex<Published>,
}

/// What came of it.
#[derive(Default)]
struct Published {
    /// How many versions have to be there.
    versions: usize,
    /// By the token.
    accepted: HashMap<String, Upload>,
    /// Tokens of publishes that were certainly not made.
    refused: HashSet<String>,
}

impl Load {
    /// `address` is where the clients go.
    pub(crate) fn new(store: &Store, address: SocketAddr) -> Self {
        let key = SoftwareKey::new(5);
        let (public, user) = (key.public, "alice".parse().unwrap());
        let new = NewKey { public, user, role: Role::Both, label: None, subject: None, expires: None };
        store.add_key(new, Timestamp::now()).unwrap();
        let index_url = format!("sparse+http://{address}/index/");
        Self { key, address, index_url, published: Mutex::default() }
    }

    /// The address that the gateways' users have.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Clients publish so many versions at a time. Each tries with fresh tokens until its version is there.
    pub(crate) fn publishes(&self, versions: usize, trouble: &impl Trouble) {
        let (next, _over) = (AtomicUsize::new(0), Over(trouble));
        let client = || {
            let mut dice = Dice::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= versions {
                    return;
                }
                let upload = Upload::new(&format!("crate{}", number % CRATES), &format!("1.0.{number}"));
                self.publishes_one(self.address, &upload, trouble, || trouble.is_due(number, &mut dice));
            }
        };
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(client);
            }
        });
    }

    /// Publishes another version of each crate, which nobody else does, at one of the gateways.
    pub(crate) fn goes_on_at(&self, address: SocketAddr, round: usize, trouble: &impl Trouble) {
        for number in 0..CRATES {
            let upload = Upload::new(&format!("crate{number}"), &format!("0.0.{round}"));
            self.publishes_one(address, &upload, trouble, || None);
        }
    }

    fn publishes_one(
        &self,
        address: SocketAddr,
        upload: &Upload,
        trouble: &impl Trouble,
        mut due: impl FnMut() -> Option<(Moment, usize)>,
    ) {
        let published = || self.published.lock().unwrap();
        published().versions += 1;
        for _ in 0..MOST_TRIES {
            let (moment, victim) = due().unzip();
            let token = self.token(upload);
            let happens = || trouble.happens(victim.unwrap_or_default());
            match publish(&address.to_string(), &token, upload, moment, happens) {
                Ok(answer) if answer.status == 200 => {
                    published().accepted.insert(token, upload.clone());
                    return;
                }
                // The answer to an earlier try was lost.
                Ok(answer) if answer.status == 409 => return,
                Ok(answer) => {
                    assert!(answer.status >= 500, "{answer:?} {}", answer.text());
                    if NOT_MADE.iter().any(|sure| answer.text().contains(sure)) {
                        published().refused.insert(token);
                    }
                }
                Err(_) => {}
            }
            trouble.has_failed();
        }
        panic!("{} {} cannot be published", upload.name, upload.version);
    }

    fn token(&self, upload: &Upload) -> String {
        self.key.token(&self.index_url, &Claims::mutate(now(), upload.mutation()))
    }

    /// When all is well again. `run` runs a command of the gateway with the store, and `sql` asks its database.
    pub(crate) fn is_whole(
        &self,
        store: &Store,
        run: impl FnOnce(&[&str]) -> Output,
        sql: impl Fn(&str) -> String,
    ) {
        let address = self.address.to_string();
        let send = |token: &str, upload: &Upload| {
            // Whoever is refused before they have sent everything need not see the answer.
            let answer = (0..MOST_TRIES).find_map(|_| publish(&address, token, upload, None, || {}).ok());
            answer.map(|answer| answer.status)
        };
        let published = self.published.lock().unwrap();
        let read = self.key.token(&self.index_url, &Claims::read(now()));
        for (token, upload) in &published.accepted {
            assert_eq!(send(token, upload), Some(401), "the token for {} passes again", upload.version);
            assert!(self.download(upload, &read).body == upload.file, "{} {}", upload.name, upload.version);
        }
        // Whoever changes a crate settles what was left open of it before.
        for number in 0..CRATES {
            let last = Upload::new(&format!("crate{number}"), "2.0.0");
            assert_eq!(send(&self.token(&last), &last), Some(200));
        }
        let all = published.versions + CRATES;
        for (what, from) in [
            ("*", "version"),
            ("*", "published"),
            ("DISTINCT (name, version)", "published"),
            ("DISTINCT intent", "published"),
        ] {
            assert_eq!(sql(&format!("SELECT count({what}) FROM {from}")), all.to_string(), "{what} {from}");
        }
        for record in store.published(None).unwrap() {
            assert!(!published.refused.contains(&record.token), "{} was refused", record.version);
        }
        // What it is not known of whether it was committed is settled by the gateway that began it, within a minute.
        let until = Instant::now() + Duration::from_secs(120);
        while !store.open_intents().unwrap().is_empty() {
            assert!(Instant::now() < until, "{:?}", store.open_intents().unwrap());
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(sql("SELECT count(*) FROM turn"), "0");
        let verified = run(&["audit", "verify"]);
        assert!(verified.status.success(), "{verified:?}");
    }

    fn download(&self, upload: &Upload, token: &str) -> Response {
        let path = format!("/api/v1/crates/{}/{}/download", upload.name, upload.version);
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        Response::read(stream)
    }
}
