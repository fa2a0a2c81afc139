//! The command `init`, and the secret that `credential set` asks for.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use registry_gateway::config::Config;
use registry_gateway::keys::User;
use registry_gateway::store::Store;
use registry_gateway::store_place::StorePlace;
use registry_gateway::vault::Vault;
use zeroize::Zeroizing;

use crate::cli::CONFIG_FILE;

/// The configuration that `init` writes. Its comments say what the defaults are.
const EXAMPLE: &str = include_str!("registry-gateway.toml");
const KEY: &str = "credentials.key";

/// Its line that says where the store is.
const STORE: &str = "store = \"registry\"";
/// Its lines that a store in a PostgreSQL needs.
const POSTGRES: &str = "#[postgres]\n#key-file = ";

/// Makes a folder with a configuration, a key for the credentials, and an empty store, which is `registry` in it or the
/// given one. Nothing is overwritten. The configuration has no secrets, and a service that is not root has to read it.
pub(crate) fn init(folder: &Path, store: Option<&StorePlace>) -> Result<String, Box<dyn Error>> {
    fs::create_dir_all(folder).map_err(NotMade::at(folder))?;
    let (config, key) = (folder.join(CONFIG_FILE), folder.join(KEY));
    let mut text = String::new();
    text.push_str(&made(&config, make_config(&config, &example(store)?).map_err(NotMade::at(&config))?));
    text.push_str(&made(&key, Vault::make_key(&key).map_err(NotMade::at(&key))?));
    // The configuration may have been there, and name another store.
    let read = Config::read(&config)?;
    if let Some(folder) = read.store.folder() {
        text.push_str(&made(folder, Store::make(folder)?));
    } else {
        text.push_str(&format!("Next: registry-gateway store migrate --config {}\n", config.display()));
    }
    text.push_str(&format!("Next: registry-gateway serve --config {}\n", config.display()));
    Ok(text)
}

/// What `init` cannot make.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {}", path.display())]
pub(crate) struct NotMade {
    path: PathBuf,
    source: io::Error,
}

impl NotMade {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self { path, source }
    }

    /// What to do next, where that is known.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self.source.kind() {
            io::ErrorKind::PermissionDenied => "permission denied: use sudo, or name a folder of your own",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                "free some space, and run the same command again: it makes what is missing"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// The configuration that `init` writes, with this store.
fn example(store: Option<&StorePlace>) -> Result<String, Box<dyn Error>> {
    let Some(store) = store else { return Ok(EXAMPLE.to_owned()) };
    let store = match store {
        StorePlace::Folder(folder) => StorePlace::Folder(std::path::absolute(folder)?),
        address @ StorePlace::Postgres(_) => address.clone(),
    };
    let example = match &store {
        StorePlace::Folder(_) => EXAMPLE.to_owned(),
        StorePlace::Postgres(_) => EXAMPLE.replacen(POSTGRES, &POSTGRES.replace('#', ""), 1),
    };
    let store = match &store {
        StorePlace::Folder(folder) => {
            folder.to_str().ok_or_else(|| format!("{} is not UTF-8", folder.display()))?.to_owned()
        }
        StorePlace::Postgres(url) => url.to_string(),
    };
    Ok(example.replacen(STORE, &format!("store = {}", toml::Value::from(store)), 1))
}

/// Returns whether it was made. It is there as a whole, or not at all.
fn make_config(path: &Path, content: &str) -> io::Result<bool> {
    let mut builder = tempfile::Builder::new();
    // As much of it as the umask leaves.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(content.as_bytes()).and_then(|()| file.as_file().sync_all())?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(refused) => Err(refused.error),
    }
}

/// Tells the administrator what was made.
fn made(path: &Path, made: bool) -> String {
    format!("{}: {}\n", path.display(), if made { "made" } else { "already there" })
}

/// Reads a user's token for the registry behind from a hidden prompt, or from the first line of standard input.
pub(crate) fn read_credential(user: &User) -> io::Result<Zeroizing<String>> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password(format!("{user}'s token for the registry behind: "))
            .map(Zeroizing::new);
    }
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}
