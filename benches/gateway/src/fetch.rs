//! A real `cargo fetch` of many small crates, cold, in turns: from a registry itself, through the gateway in front of it,
//! and from the gateway's own store. Then what a publish takes while eight of them run.
//!
//! The registry reads its files from a folder, as those do that are served so, and answers whoever asks. The gateway wants a token.
//! Unpacking is cargo's work, and takes all of them as long. One that answers from memory, within 10 microseconds, would be none to
//! compare with: cargo has two requests under way, its libcurl looks at all that wait each time one is answered, and that is less often
//! if the answer is there in the call that asks.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use asymmetric_token::Claims;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;

use crate::front::{Body, Front, folder_in, remove, serve, verdict, whole};
use crate::package::Package;
use crate::publish::{published, put};

const SIZES: [usize; 2] = [50, 300];
const ROUNDS: usize = 5;
/// Bytes that a crate unpacks to.
const UNPACKED: usize = 8 << 10;
/// The most that a fetch may take, of what it takes without the gateway.
const AIM: f64 = 1.3;
const BUILDS: usize = 8;
/// How nice a cargo is: as everybody else, or as one of those builds. On computers of their own they take nothing from whoever answers
/// and publishes; here they take what is left.
const AS_ALL: &str = "0";
const AFTER_ALL: &str = "19";
/// Publishes made beside them.
const PUBLISHES: usize = 100;
/// Milliseconds that 99 of 100 publishes may take beside them.
const PUBLISH_AIM: f64 = 50.0;

/// Prints the tables.
pub(crate) fn measure() {
    let packages: Vec<_> = (0..SIZES[1]).map(|n| Package::new(&name(n), "1.0.0", UNPACKED)).collect();
    let kept = folder_in(elsewhere(), "fetched");
    let registry = registry(&packages, kept.clone());
    let front = Front::of(registry);
    let own = Front::with_a_store();
    for package in &packages {
        publish(&own, package);
    }
    let straight = Source { index: format!("sparse+http://{registry}/index/"), front: None };
    let sources = [&straight, &Source::of(&front), &Source::of(&own)];
    for dependencies in SIZES {
        println!("A cold `cargo fetch` of {dependencies} dependencies ({ROUNDS} rounds in turns, medians)");
        let [straight, through, from_own] = in_turns(sources, dependencies);
        println!("   {straight:>7.0} ms  straight from a registry");
        for (time, source) in [
            (through, "through registry-gateway in front of it"),
            (from_own, "from registry-gateway's own store"),
        ] {
            let ratio = time / straight;
            println!(
                "   {time:>7.0} ms  {source}: {ratio:.2} times as long (aim: {AIM} at most){}",
                verdict(ratio <= AIM)
            );
        }
    }
    println!(
        "A publish each second, while {BUILDS} builds fetch {} dependencies each, cold, again and again",
        SIZES[1]
    );
    for (gateway, of) in [(&front, "in front of a registry"), (&own, "with its own store")] {
        println!("   registry-gateway {of}:");
        beside_builds(gateway);
    }
    println!();
    remove(&kept);
}

fn name(n: usize) -> String {
    format!("part{n:03}")
}

/// Where cargo fetches from.
struct Source<'a> {
    index: String,
    /// Who has to be shown a token.
    front: Option<&'a Front>,
}

impl<'a> Source<'a> {
    fn of(front: &'a Front) -> Self {
        Self { index: front.index_url().to_owned(), front: Some(front) }
    }

    /// How long cargo takes that has nothing yet.
    fn fetch(&self, dependencies: usize, niceness: &str) -> Duration {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let folder = folder_in(elsewhere(), &format!("build{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let [home, package] = ["home", "package"].map(|name| folder.join(name));
        let needed: String = (0..dependencies)
            .map(|n| format!("{} = {{ version = \"1\", registry = \"bench\" }}\n", name(n)))
            .collect();
        let manifest = format!("[package]\nname = \"whole\"\nedition = \"2024\"\n[dependencies]\n{needed}");
        let config = format!(
            "[registries.bench]\nindex = \"{}\"\ncredential-provider = \"cargo:token\"\n",
            self.index
        );
        for (file, text) in [
            (home.join("config.toml"), config),
            (package.join("Cargo.toml"), manifest),
            (package.join("src/lib.rs"), String::new()),
        ] {
            fs::create_dir_all(file.parent().expect("a folder")).expect("room on the disk");
            fs::write(file, text).expect("room on the disk");
        }
        let mut cargo = Command::new("nice");
        cargo.args(["-n", niceness]).arg(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO")) {
            cargo.env_remove(name);
        }
        cargo.args(["fetch", "--quiet"]).current_dir(&package).env("CARGO_HOME", &home);
        if let Some(front) = self.front {
            cargo.env("CARGO_REGISTRIES_BENCH_TOKEN", front.token(&Claims::read(Timestamp::now())));
        }
        let started = Instant::now();
        let output = cargo.output().expect("cargo");
        let taken = started.elapsed();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let fetched = fs::read_dir(home.join("registry/src")).expect("a folder").next().expect("a registry");
        let fetched = fs::read_dir(fetched.expect("its folder").path()).expect("crates").count();
        assert_eq!(fetched, dependencies);
        remove(&folder);
        taken
    }
}

/// Builds, and a registry behind, have disks of their own. Here their files are in memory, where that can be: a commit waits until
/// whatever else its disk is being given is there.
fn elsewhere() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// The median milliseconds of a fetch from each.
fn in_turns<const N: usize>(sources: [&Source<'_>; N], dependencies: usize) -> [f64; N] {
    let mut times = [const { Vec::new() }; N];
    for round in 0..=ROUNDS {
        for (source, times) in sources.iter().zip(&mut times) {
            let taken = source.fetch(dependencies, AS_ALL);
            // The first one fills caches.
            if round > 0 {
                times.push(taken);
            }
        }
    }
    times.map(|times| within(50, times))
}

/// One crate gets a new version each second, first alone and then while others fetch.
fn beside_builds(front: &Front) {
    let number = AtomicUsize::new(0);
    let next = || {
        let version = format!("1.{}.0", number.fetch_add(1, Ordering::Relaxed));
        publish(front, &Package::new("fresh", &version, UNPACKED))
    };
    let alone: Vec<_> = (0..PUBLISHES_ALONE).map(|_| next()).collect();
    let source = Source::of(front);
    let is_over = AtomicBool::new(false);
    let (fetches, beside) = thread::scope(|scope| {
        let build = || {
            let goes_on = || !is_over.load(Ordering::Relaxed);
            std::iter::from_fn(|| goes_on().then(|| source.fetch(SIZES[1], AFTER_ALL))).collect::<Vec<_>>()
        };
        let builds: Vec<_> = (0..BUILDS).map(|_| scope.spawn(build)).collect();
        let mut times = Vec::new();
        for _ in 0..PUBLISHES {
            let due = Instant::now() + EACH;
            times.push(next());
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        is_over.store(true, Ordering::Relaxed);
        let fetches = builds.into_iter().flat_map(|build| build.join().expect("fetched")).collect();
        (fetches, times)
    });
    let most = within(99, beside.clone());
    println!("      {:>7.0} ms  a fetch, one of {BUILDS}", within(50, fetches));
    println!(
        "      {:>7.1} ms  a publish alone, 99 of 100 within {:.1}",
        within(50, alone.clone()),
        within(99, alone)
    );
    println!(
        "      {:>7.1} ms  beside them ({PUBLISHES} publishes), 99 of 100 within {most:.1} (aim: {PUBLISH_AIM} at most){}",
        within(50, beside),
        verdict(most <= PUBLISH_AIM)
    );
}

/// Publishes made before, one after the other.
const PUBLISHES_ALONE: usize = 30;
const EACH: Duration = Duration::from_secs(1);

fn publish(front: &Front, package: &Package) -> Duration {
    let token = front.token(&Claims::mutate(Timestamp::now(), package.mutation()));
    put(front.address(), &token, &package.body(), None)
}

/// Milliseconds within which so many of a hundred were done.
fn within(part: usize, mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[(times.len() * part).div_ceil(100) - 1].as_secs_f64() * 1e3
}

/// One that anybody may read, and that puts what is published into a folder.
fn registry(packages: &[Package], kept: PathBuf) -> SocketAddr {
    let mut files: HashMap<String, PathBuf> = HashMap::new();
    for package in packages {
        let Package { name, version, file } = package;
        let [line, download] = ["line", "crate"].map(|kind| kept.join(format!("{name}.{kind}")));
        fs::write(&line, package.line()).expect("room on the disk");
        fs::write(&download, file).expect("room on the disk");
        files.insert(format!("/index/{}/{}/{name}", &name[..2], &name[2..4]), line);
        files.insert(format!("/dl/{name}/{version}/download"), download);
    }
    let files = Arc::new(files);
    serve("registry", move |request| answered(files.clone(), kept.clone(), request))
}

async fn answered(
    files: Arc<HashMap<String, PathBuf>>,
    kept: PathBuf,
    request: Request<Incoming>,
) -> Response<Body> {
    if request.method() != Method::GET {
        return published(kept, request).await;
    }
    let path = request.uri().path();
    if path == "/index/config.json" {
        let host = request.headers()["host"].to_str().expect("an address");
        return Response::new(whole(format!(r#"{{"dl":"http://{host}/dl","api":"http://{host}"}}"#)));
    }
    if let Some(file) = files.get(path) {
        let file = tokio::fs::read(file).await.expect("it is there");
        return Response::new(whole(file));
    }
    let mut none = Response::new(whole(""));
    *none.status_mut() = StatusCode::NOT_FOUND;
    none
}
