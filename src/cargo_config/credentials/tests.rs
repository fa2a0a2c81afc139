use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::cargo_config::CargoConfig;

fn keys(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

#[test]
fn one_statement_goes_and_everything_else_stays() {
    let in_a = "registries.a.token";
    for (path, before, after) in [
        (
            in_a,
            "# mine\n[registries.a]\n# why\ntoken = \"s\"\nindex = 'i'\n",
            "# mine\n[registries.a]\n# why\nindex = 'i'\n",
        ),
        (in_a, "[registries.a]\n\ttoken='s'   # since May\n\n[x]\n", "[registries.a]\n# since May\n\n[x]\n"),
        (in_a, "[registries.a]\r\ntoken = 's'\r\nindex = 'i'\r\n", "[registries.a]\r\nindex = 'i'\r\n"),
        (in_a, "[registries.a]\ntoken = 's'", "[registries.a]\n"),
        (in_a, "\u{feff}[registries.a]\r\ntoken = 's'\r\n", "\u{feff}[registries.a]\r\n"),
        (
            in_a,
            "[registries]\na.index = 'i'\na.token = 's'\nb.token = 's'\n",
            "[registries]\na.index = 'i'\nb.token = 's'\n",
        ),
        (in_a, "registries.a.token = 's'\nx = 1\n", "x = 1\n"),
        (
            in_a,
            "[registries]\na = { index = 'i', token = 's' } # c\n",
            "[registries]\na = { index = 'i'} # c\n",
        ),
        (
            in_a,
            "registries = { a = { token = 's' }, b = { token = 't' } }\n",
            "registries = { a = {}, b = { token = 't' } }\n",
        ),
        (in_a, "[registries.a]\ntoken = '''\ns'''\nx = 1\n", "[registries.a]\nx = 1\n"),
        (in_a, "[\"registries\".'a']\n\"token\" = 's'\n", "[\"registries\".'a']\n"),
        ("token", "token = 's'\n[registry]\ntoken = 't'\n", "[registry]\ntoken = 't'\n"),
        ("registry.token", "token = 's'\n[registry]\ntoken = 't'\n", "token = 's'\n[registry]\n"),
    ] {
        assert_eq!(without(before, &keys(path)).as_deref(), Some(after), "{before:?}");
    }
    assert_eq!(without("[registries.b]\ntoken = 's'\n", &keys(in_a)), None);
}

struct Setup(tempfile::TempDir);

impl Setup {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["home", "work/project/.cargo", "work/.cargo"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for (name, text) in files {
            fs::write(root.path().join(name), text).unwrap();
        }
        Self(root)
    }

    fn tokens(&self) -> Vec<ClearToken> {
        let config = CargoConfig::new(self.0.path().join("home"), self.0.path().join("work/project"));
        config.read().unwrap().clear_tokens()
    }

    fn found(&self) -> Vec<String> {
        let shown = |token: &ClearToken| {
            let file = token.file.strip_prefix(self.0.path()).unwrap().display().to_string();
            format!("{} {} {file}", token.registry, token.token.as_str())
        };
        self.tokens().iter().map(shown).collect()
    }
}

fn a(token: &str) -> String {
    format!("[registries.a]\ntoken = '{token}'\n")
}

#[test]
fn tokens_come_in_the_order_in_which_cargo_prefers_them() {
    let setup = Setup::new(&[
        ("home/credentials.toml", &a("1")),
        ("work/project/.cargo/config.toml", &a("2")),
        ("work/.cargo/config", &a("3")),
        (
            "home/config.toml",
            &format!("include = ['more.toml']\ntoken = 'x'\n{}[registry]\ntoken = '5'\n", a("4")),
        ),
        ("home/more.toml", &a("6")),
    ]);
    let config = [
        "a 2 work/project/.cargo/config.toml",
        "a 3 work/.cargo/config",
        "crates-io 5 home/config.toml",
        "a 4 home/config.toml",
        "a 6 home/more.toml",
    ];
    assert_eq!(setup.found(), [&["a 1 home/credentials.toml"][..], &config].concat());
    let owners: Vec<_> = setup.tokens().iter().map(|token| token.owner == Owner::Project).collect();
    assert_eq!(owners, [false, true, true, false, false, false]);

    fs::write(setup.0.path().join("home/credentials"), "token = '0'\n").unwrap();
    let expected = [&["crates-io 0 home/credentials"][..], &config, &["a 1 home/credentials.toml"]].concat();
    assert_eq!(setup.found(), expected);
}

#[test]
fn permissions_stay() {
    for mode in [0o600, 0o640, 0o644] {
        let setup = Setup::new(&[("home/config.toml", &a("s"))]);
        let file = setup.0.path().join("home/config.toml");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        setup.tokens()[0].remove().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "[registries.a]\n");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, mode);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }
}

#[test]
fn a_file_that_is_not_simply_ours_stays_as_it_is() {
    let problem = |change: &dyn Fn(&Path)| {
        let setup = Setup::new(&[("home/credentials.toml", &a("s"))]);
        let file = setup.0.path().join("home/credentials.toml");
        change(&file);
        let Err(Error::NotOurs { problem, .. }) = setup.tokens()[0].remove() else {
            panic!("it was changed")
        };
        assert_eq!(setup.tokens().len(), 1);
        problem
    };
    let link = |file: &Path| {
        fs::rename(file, file.with_extension("elsewhere")).unwrap();
        std::os::unix::fs::symlink(file.with_extension("elsewhere"), file).unwrap();
    };
    assert!(problem(&link).starts_with("is a symbolic link"));
    let read_only = |file: &Path| fs::set_permissions(file, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(problem(&read_only), "is read-only");
    let second_name = |file: &Path| fs::hard_link(file, file.with_extension("second")).unwrap();
    assert!(problem(&second_name).starts_with("has a second hard link"));
    if rustix::process::geteuid().is_root() {
        let foreign = |file: &Path| std::os::unix::fs::chown(file, Some(65_534), None).unwrap();
        assert_eq!(problem(&foreign), "belongs to another user");
    }
}

#[test]
fn another_token_that_was_put_there_meanwhile_stays() {
    let setup = Setup::new(&[("home/credentials.toml", &a("old"))]);
    let token = setup.tokens().remove(0);
    fs::write(&token.file, a("new")).unwrap();
    assert!(matches!(token.remove(), Err(Error::Changed { .. })));
    assert_eq!(setup.found(), ["a new home/credentials.toml"]);
    assert!(!format!("{token:?}").contains("old"));
}
