//! `init` and `credential`: what an administrator does before anybody is served.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use jiff::Timestamp;
use registry_gateway::config::Config;
use registry_gateway::keys::User;
use registry_gateway::store::Store;
use registry_gateway::vault::Vault;
use zeroize::Zeroizing;

/// The configuration with its comments; the defaults are what the comments say.
const EXAMPLE: &str = include_str!("registry-gateway.toml");
const CONFIG: &str = "registry-gateway.toml";
const KEY: &str = "credentials.key";

/// Makes a folder with a configuration, a key for the credentials, and an empty store. Nothing is overwritten.
pub(crate) fn init(folder: &Path) -> Result<String, Box<dyn Error>> {
    Store::open(&folder.join("registry"))?;
    let mut text = String::new();
    for (name, content) in [(CONFIG, Zeroizing::new(EXAMPLE.to_owned())), (KEY, Vault::new_key()?)] {
        let path = folder.join(name);
        let made = match new_private_file(&path) {
            Ok(mut file) => file.write_all(content.as_bytes()).map(|()| "made"),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok("was there already"),
            Err(error) => Err(error),
        };
        let made = made.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        text.push_str(&format!("{}: {made}\n", path.display()));
    }
    let config = folder.join(CONFIG);
    text.push_str(&format!("Next: registry-gateway serve --config {}\n", config.display()));
    Ok(text)
}

/// Takes a user's token for the registry behind from a hidden prompt or from the first line of standard input.
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

#[cfg(unix)]
fn new_private_file(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn new_private_file(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}
