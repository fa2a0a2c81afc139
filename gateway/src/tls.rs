//! TLS 1.2 and 1.3 by rustls, for HTTP/1.1. The certificate's files may be replaced while the gateway serves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use crate::background::blocking;
use crate::causes::with_causes;

/// The time between two looks whether the files have changed.
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
    #[error("{} does not contain what it should, in PEM", path.display())]
    Pem { path: PathBuf, source: pem::Error },
    /// The certificate and the key do not belong together, or cannot be used.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[from] rustls::Error),
}

/// The present certificate.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
    /// Held while the files are read. Whoever comes does not wait for it.
    read: Mutex<Stamp>,
}

/// Time and size of the files, by which a replacement is noticed.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let read = Mutex::new(stamp(&files));
        let config = RwLock::new(load(&files)?);
        Ok(Self { files, config, read })
    }

    /// The acceptor for the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }

    /// Looks at the files again and again, and reads those that have changed.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let tls = self.clone();
            // A panic was reported by its hook.
            let _ = blocking(move || tls.look()).await;
        }
    }

    fn look(&self) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if stamp(&self.files) != *read {
            self.read_again(&mut read);
        }
    }

    /// Reads the files again, whether they have changed or not.
    pub(crate) fn reload(&self) {
        self.read_again(&mut self.read.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// If the files cannot be used, the old certificate stays.
    fn read_again(&self, read: &mut Stamp) {
        *read = stamp(&self.files);
        match are_files(&self.files).and_then(|()| load(&self.files)) {
            Ok(config) => {
                tracing::info!("reloaded the certificate");
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
            }
            Err(error) => {
                let error = with_causes(&error);
                tracing::error!(
                    error,
                    "the certificate's files cannot be used; keeping the previous certificate"
                );
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

/// Whoever opens a pipe waits for its other end: no certificate would be read after it. At a start that is seen.
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
