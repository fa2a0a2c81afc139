//! Verified tokens a second on one core: all that the gateway does between a token's text and its decision, beside
//! pasetors (text to verified payload), and beside the bare signature check of the library that the gateway uses.

use std::hint::black_box;
use std::time::{Duration, Instant};

use asymmetric_token::{Claims, Footer, Mutation, Prepared, PublicKey, Untrusted};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use jiff::Timestamp;
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::ecdsa::{Signature, SigningKey};
use pasetors::keys::AsymmetricPublicKey;
use pasetors::token::UntrustedToken;
use pasetors::version3::{PublicToken, V3};
use registry_gateway::challenge::{Challenges, Issuer};
use registry_gateway::keys::{Key, Role};
use registry_gateway::policy::{self, Operation, Rules};

const URL: &str = "sparse+https://crates.example.org/index/";
const TOKENS: usize = 64;
const ROUNDS: usize = 60;
/// The first ones warm caches and clock.
const UNCOUNTED: usize = 5;

/// A publish token, and what is signed in it.
struct Sample {
    token: String,
    message: Vec<u8>,
    signature: [u8; 96],
}

/// Prints the table.
pub(crate) fn measure() {
    let secret = SigningKey::from_slice(&[7; 48]).expect("a scalar below the group order");
    let point = secret.verifying_key().to_sec1_point(true);
    let public = PublicKey::from_sec1(point.as_bytes()).expect("a point of the curve");
    let samples: Vec<Sample> = (0..TOKENS).map(|n| sample(&secret, &public, n)).collect();
    let key = Key {
        public,
        user: "alice".parse().expect("a name"),
        role: Role::Both,
        label: None,
        subject: None,
        added: Timestamp::UNIX_EPOCH,
        expires: None,
        revoked: None,
    };
    let rules = Rules {
        url: URL.to_owned(),
        window: Duration::from_secs(900),
        skew: Duration::from_secs(60),
        challenges: Challenges::Optional,
        issuer: Issuer::new(&[1; 32], URL),
    };
    let theirs = AsymmetricPublicKey::<V3>::from(public.as_bytes()).expect("a point of the curve");
    let mut contenders: [(&str, Box<dyn Fn(&Sample)>, Vec<Duration>); 3] = [
        (
            "registry-gateway: parse, verify, decide",
            Box::new(|sample| {
                let untrusted = Untrusted::parse(&sample.token).expect("a token");
                let verified = untrusted.verify_with(&key.public, is_signed).expect("signed");
                policy::decide(&verified, &key, &rules, &Operation::Publish, Timestamp::now())
                    .expect("allowed");
                black_box(policy::single_use_key(&verified, &Operation::Publish));
            }),
            Vec::new(),
        ),
        (
            "the bare signature check, aws-lc-rs",
            Box::new(|sample| assert!(is_signed(public.as_bytes(), &sample.message, &sample.signature))),
            Vec::new(),
        ),
        (
            "pasetors: parse, verify",
            Box::new(|sample| {
                let untrusted = UntrustedToken::try_from(sample.token.as_str()).expect("a token");
                black_box(PublicToken::verify(&theirs, &untrusted, None, None).expect("signed"));
            }),
            Vec::new(),
        ),
    ];
    for round in 0..UNCOUNTED + ROUNDS {
        for (_, verify, times) in &mut contenders {
            let started = Instant::now();
            samples.iter().for_each(|sample| verify(black_box(sample)));
            if round >= UNCOUNTED {
                times.push(started.elapsed() / TOKENS as u32);
            }
        }
    }
    println!("Verified tokens a second on one core ({ROUNDS} rounds of {TOKENS} in turns, medians)");
    let medians = contenders.map(|(name, _, mut times)| {
        times.sort();
        let median = times[times.len() / 2].as_secs_f64();
        println!("   {:>7.0} /s  {name}", 1.0 / median);
        median
    });
    let [ours, bare, pasetors] = medians;
    println!(
        "registry-gateway takes {:+.1} % of the bare check's time more (aim: 10 at most), pasetors {:.2} times as \
         long (aim: 2.5 at least)\n",
        (ours / bare - 1.0) * 100.0,
        pasetors / ours
    );
}

fn is_signed(public: &[u8; 49], message: &[u8], signature: &[u8; 96]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public).verify(message, signature).is_ok()
}

fn sample(secret: &SigningKey, public: &PublicKey, number: usize) -> Sample {
    let mutation = Mutation::Publish {
        name: "hello-world".parse().expect("a name"),
        version: format!("1.0.{number}").parse().expect("a version"),
        checksum: "ab".repeat(32).parse().expect("a checksum"),
    };
    let claims = Claims::mutate(Timestamp::now(), mutation);
    let prepared = Prepared::new(public, &claims, &Footer::new(URL, public.id())).expect("printable claims");
    let signature: Signature = secret.sign_prehash(prepared.digest()).expect("48 bytes");
    let token = prepared.finish(&signature.to_bytes().into()).expect("its own signature");
    let (mut message, mut bytes) = (Vec::new(), [0; 96]);
    let kept = |_: &[u8; 49], signed: &[u8], r_s: &[u8; 96]| {
        message = signed.to_vec();
        bytes = *r_s;
        true
    };
    Untrusted::parse(&token).expect("a token").verify_with(public, kept).expect("taken as it is");
    Sample { token, message, signature: bytes }
}
