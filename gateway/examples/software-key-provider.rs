//! A credential provider whose keys are files: for tests and experiments, never for a registry that matters.
//!
//! ```toml
//! [registries.my-reg]
//! index = "sparse+http://127.0.0.1:8000/index/"
//! credential-provider = ["/path/to/software-key-provider", "/path/to/read.key", "/path/to/publish.key"]
//! ```
//!
//! A key file holds the secret in 96 hexadecimal digits. One file serves both purposes.

use std::error::Error;
use std::fs;

use asymmetric_token::{Claims, Footer, Mutation, Prepared, PublicKey};
use cargo_credential::{Action, CacheControl, Credential, CredentialResponse, Operation, RegistryInfo};
use jiff::Timestamp;
use p384::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner as _};

fn main() {
    cargo_credential::main(SoftwareKeys);
}

struct SoftwareKeys;

impl Credential for SoftwareKeys {
    fn perform(
        &self,
        registry: &RegistryInfo<'_>,
        action: &Action<'_>,
        args: &[&str],
    ) -> Result<CredentialResponse, cargo_credential::Error> {
        let Action::Get(operation) = action else {
            return Err(cargo_credential::Error::OperationNotSupported);
        };
        let (Some(read), Some(publish)) = (args.first(), args.last()) else {
            return Err("give the path of a key file as an argument".into());
        };
        let now = Timestamp::now();
        let made = match mutation(operation) {
            Ok(None) => token(read, registry.index_url, Claims::read(now)),
            Ok(Some(mutation)) => token(publish, registry.index_url, Claims::mutate(now, mutation)),
            Err(error) => Err(error),
        };
        let cache = match operation {
            Operation::Read => CacheControl::Session,
            _ => CacheControl::Never,
        };
        Ok(CredentialResponse::Get {
            token: made.map_err(|error| cargo_credential::Error::from(error.to_string()))?.into(),
            cache,
            operation_independent: false,
        })
    }
}

fn mutation(operation: &Operation<'_>) -> Result<Option<Mutation>, Box<dyn Error>> {
    Ok(match *operation {
        Operation::Read => None,
        Operation::Publish { name, vers, cksum, .. } => {
            Some(Mutation::Publish { name: name.parse()?, version: vers.parse()?, checksum: cksum.parse()? })
        }
        Operation::Yank { name, vers, .. } => {
            Some(Mutation::Yank { name: name.parse()?, version: vers.parse()? })
        }
        Operation::Unyank { name, vers, .. } => {
            Some(Mutation::Unyank { name: name.parse()?, version: vers.parse()? })
        }
        Operation::Owners { name, .. } => Some(Mutation::Owners { name: name.parse()? }),
        _ => return Err("an operation this program does not know".into()),
    })
}

fn token(key_file: &str, index_url: &str, claims: Claims) -> Result<String, Box<dyn Error>> {
    let secret = SigningKey::from_slice(&bytes(fs::read_to_string(key_file)?.trim())?)?;
    let public = PublicKey::from_sec1(secret.verifying_key().to_sec1_point(true).as_bytes())?;
    let prepared = Prepared::new(&public, &claims, &Footer::new(index_url, public.id()))?;
    let signature: Signature = secret.sign_prehash(prepared.digest())?;
    Ok(prepared.finish(&signature.to_bytes().into())?)
}

fn bytes(hex: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    (0..hex.len())
        .step_by(2)
        .map(|at| Ok(u8::from_str_radix(hex.get(at..at + 2).ok_or("an odd number of digits")?, 16)?))
        .collect()
}
