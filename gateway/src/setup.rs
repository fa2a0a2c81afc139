//! The commands `init` and `credential set`.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use jiff::Timestamp;
use registry_gateway::config::Config;
use registry_gateway::keys::User;
use registry_gateway::store::Store;
use registry_gateway::vault::Vault;
use zeroize::Zeroizing;

use crate::cli::CONFIG_FILE;

/// The configuration that `init` writes. Its comments say what the defaults are.
const EXAMPLE: &str = include_str!("registry-gateway.toml");
const KEY: &str = "credentials.key";

/// Its line that says where the store is.
const STORE: &str = "store = \"registry\"";

/// Makes a folder with a configuration, a key for the credentials, and an empty store, which is `registry` in it or the
/// given one. Nothing is overwritten. The configuration has no secrets, and a service that is not root has to read it.
pub(crate) fn init(folder: &Path, store: Option<&Path>) -> Result<String, Box<dyn Error>> {
    fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let (config, key) = (folder.join(CONFIG_FILE), folder.join(KEY));
    let mut text = String::new();
    text.push_str(&made(&config, make_config(&config, &example(store)?))?);
    text.push_str(&made(&key, Vault::make_key(&key))?);
    // The configuration may have been there, and name another store.
    let store = Config::read(&config)?.store;
    let there = Store::is_in(&store);
    Store::open(&store)?;
    text.push_str(&made(&store, Ok(!there))?);
    text.push_str(&format!("Next: registry-gateway serve --config {}\n", config.display()));
    Ok(text)
}

/// The configuration that `init` writes, with this store.
fn example(store: Option<&Path>) -> Result<String, Box<dyn Error>> {
    let Some(store) = store else { return Ok(EXAMPLE.to_owned()) };
    let store = std::path::absolute(store)?;
    let store = store.to_str().ok_or_else(|| format!("{} is not UTF-8", store.display()))?;
    Ok(EXAMPLE.replacen(STORE, &format!("store = {}", toml::Value::from(store)), 1))
}

fn make_config(path: &Path, content: &str) -> io::Result<bool> {
    match File::create_new(path) {
        Ok(mut file) => file.write_all(content.as_bytes()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tells the administrator what was made.
fn made(path: &Path, made: io::Result<bool>) -> Result<String, String> {
    let made = made.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(format!("{}: {}\n", path.display(), if made { "made" } else { "was there already" }))
}

/// Reads a user's token for the registry behind from a hidden prompt, or from the first line of standard input, and
/// keeps it.
pub(crate) fn set_credential(config: &Config, user: &User) -> Result<(), Box<dyn Error>> {
    let vault = vault(config)?;
    let store = Store::open_existing(&config.store)?;
    let credential = if io::stdin().is_terminal() {
        Zeroizing::new(rpassword::prompt_password(format!("{user}'s token for the registry behind: "))?)
    } else {
        let mut line = Zeroizing::new(String::new());
        io::stdin().lock().read_line(&mut line)?;
        line
    };
    store.set_credential(user, &vault.seal(user, credential.trim())?, Timestamp::now())?;
    Ok(())
}

fn vault(config: &Config) -> Result<Vault, Box<dyn Error>> {
    let upstream = config.upstream.as_ref();
    let upstream =
        upstream.ok_or("this gateway has no [upstream]: its built-in registry needs no credentials")?;
    Ok(Vault::open(&upstream.key_file)?)
}
