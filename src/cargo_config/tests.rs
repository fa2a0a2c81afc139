use super::*;

const OWN: &str = "sparse+https://good.example/";

struct Setup(tempfile::TempDir);

impl Setup {
    fn new(home: &str, project: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        for (directory, text) in [("home", home), ("project/.cargo", project)] {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
            std::fs::write(root.path().join(directory).join("config.toml"), text).unwrap();
        }
        std::fs::create_dir_all(root.path().join("project/src")).unwrap();
        Self(root)
    }

    fn config(&self) -> CargoConfig {
        CargoConfig::new(self.0.path().join("home"), self.0.path().join("project/src"))
    }
}

fn my_reg(index: &str) -> String {
    format!("[registries.my-reg]\nindex = \"{index}\"\n")
}

#[test]
fn a_name_is_what_the_home_says() {
    let setup = Setup::new(&my_reg(OWN), &my_reg(OWN));
    let expected = ConfiguredRegistry { index: OWN.parse().unwrap(), name: Some("my-reg".into()) };
    assert_eq!(setup.config().resolve("my-reg").unwrap(), expected);
    assert_eq!(setup.config().resolve(OWN).unwrap(), expected);
}

#[test]
fn a_project_that_disagrees_stops() {
    let evil = "sparse+https://evil.example/";
    for home in [my_reg(OWN), String::new()] {
        let setup = Setup::new(&home, &my_reg(evil));
        let error = setup.config().resolve("my-reg").unwrap_err();
        assert!(matches!(&error, Error::ProjectDisagrees { theirs, .. } if theirs == evil));
        assert!(error.to_string().contains(evil), "{error}");
    }
}

#[test]
fn included_files_count_like_the_file_itself() {
    let evil = my_reg("sparse+https://evil.example/");
    for include in ["\"more.toml\"", "[\"more.toml\"]", "[{ path = \"more.toml\", optional = true }]"] {
        let setup = Setup::new(&format!("include = {include}\n"), "");
        std::fs::write(setup.0.path().join("home/more.toml"), my_reg(OWN)).unwrap();
        assert_eq!(setup.config().resolve("my-reg").unwrap().index, OWN);
        let setup = Setup::new(&my_reg(OWN), &format!("include = {include}\n"));
        std::fs::write(setup.0.path().join("project/.cargo/more.toml"), &evil).unwrap();
        assert!(matches!(setup.config().resolve("my-reg"), Err(Error::ProjectDisagrees { .. })), "{include}");
    }
    let setup = Setup::new(&my_reg(OWN), "include = \"config.toml\"\n");
    assert!(matches!(setup.config().resolve("my-reg"), Err(Error::DeepInclude { .. })));
}

#[test]
fn what_cargo_would_refuse_is_refused() {
    let config = Setup::new("", "").config();
    assert!(matches!(config.resolve("nowhere"), Err(Error::UnknownRegistry { .. })));
    assert!(matches!(config.resolve("crates-io"), Err(Error::CratesIo)));
    for url in [crate::index_url::CRATES_IO, "https://crates.io", "sparse+https://mirror.crates.io/"] {
        assert!(matches!(config.resolve(url), Err(Error::CratesIo)), "{url}");
    }
    assert!(matches!(config.resolve("https://r.example/index/"), Err(Error::NoSparsePrefix { .. })));
    for bad in
        ["sparse+https://r.example", "sparse+file://r.example/", "sparse+https://bob:hunter2@r.example/"]
    {
        assert!(matches!(config.resolve(bad), Err(Error::IndexUrl { .. })), "{bad}");
    }
}

#[test]
fn setting_the_provider_keeps_the_rest() {
    let before = format!("# mine\n{}token = \"x\" # old\n\n[net]\nretry = 3\n", my_reg(OWN));
    let setup = Setup::new(&before, "");
    let config = setup.config();
    let registry = config.resolve("my-reg").unwrap();
    assert_eq!(config.provider_of(&registry).unwrap(), None);
    let file = config.set_provider(&registry, Path::new("/opt/my tools/yk-cargo")).unwrap();
    assert_eq!(config.provider_of(&registry).unwrap().unwrap(), "[\"/opt/my tools/yk-cargo\"]");
    let after = std::fs::read_to_string(file).unwrap();
    for ours in ["yk-cargo", "/opt/bin/yk-cargo", "[\"/opt/my tools/yk-cargo\"]", "C:/bin/yk-cargo.exe"] {
        assert!(CargoConfig::is_ours(ours), "{ours}");
    }
    assert!(!CargoConfig::is_ours("cargo:token") && !CargoConfig::is_ours("other yk-cargo"));
    assert_eq!(
        after,
        before.replace("# old\n", "# old\ncredential-provider = [\"/opt/my tools/yk-cargo\"]\n")
    );
}
