//! TLS 1.2 and 1.3 by rustls, for HTTP/1.1. The certificate's files may be replaced while the gateway serves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use crate::causes::with_causes;

/// The least time between two looks whether the files have changed.
const LOOK: Duration = Duration::from_secs(1);

/// The files of a certificate.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsFiles {
    /// The certificate, and those between it and a root, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM. In a configuration file `credential:NAME` is `$CREDENTIALS_DIRECTORY/NAME` (systemd).
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// A file is not PEM, or does not hold what it should.
    #[error("{} does not hold what it should, in PEM", path.display())]
    Pem { path: PathBuf, source: pem::Error },
    /// The certificate and the key do not belong together, or cannot be used.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[from] rustls::Error),
}

/// The present certificate.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    present: Mutex<Present>,
}

#[derive(Debug)]
struct Present {
    config: Arc<ServerConfig>,
    stamp: Stamp,
    looked: Instant,
}

/// Time and size of the files, by which a replacement is noticed.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let (stamp, config) = (stamp(&files), load(&files)?);
        let present = Mutex::new(Present { config, stamp, looked: Instant::now() });
        Ok(Self { files, present })
    }

    /// The acceptor for the next connection. Files that have changed are read again. If they cannot be used, the old
    /// certificate stays.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut present = self.present();
        if present.looked.elapsed() >= LOOK {
            present.looked = Instant::now();
            if stamp(&self.files) != present.stamp {
                present.read_again(&self.files);
            }
        }
        present.config.clone().into()
    }

    /// Reads the files again, whether they have changed or not.
    pub(crate) fn reload(&self) {
        self.present().read_again(&self.files);
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Present {
    fn read_again(&mut self, files: &TlsFiles) {
        self.stamp = stamp(files);
        match are_files(files).and_then(|()| load(files)) {
            Ok(config) => {
                tracing::info!("the certificate was read again");
                self.config = config;
            }
            Err(error) => {
                let error = with_causes(&error);
                tracing::error!(error, "the certificate's files cannot be used; the one from before stays");
            }
        }
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    [&files.certificate, &files.key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

/// Whoever comes waits while they are read, and whoever opens a pipe waits for its other end. At a start nobody has come.
fn are_files(files: &TlsFiles) -> Result<(), TlsError> {
    for path in [&files.certificate, &files.key] {
        let is_file = fs::metadata(path).and_then(|metadata| match metadata.is_file() {
            true => Ok(()),
            false => Err(io::Error::other("it is not a regular file")),
        });
        is_file.map_err(|source| TlsError::File { path: path.to_owned(), source })?;
    }
    Ok(())
}

fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        |source| match source {
            pem::Error::Io(source) => TlsError::File { path, source },
            source => TlsError::Pem { path, source },
        }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable(&files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unreadable(&files.key))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
