use proptest::prelude::*;

use super::error::IncludeProblem;
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
    let setup = Setup::new(&my_reg(OWN), &my_reg(evil));
    let error = setup.config().resolve("my-reg").unwrap_err();
    assert!(matches!(&error, Error::ProjectDisagrees { theirs, .. } if *theirs == evil));
    assert!(error.to_string().contains(evil), "{error}");
    let setup = Setup::new("", &my_reg(evil));
    let error = setup.config().resolve("my-reg").unwrap_err();
    assert!(matches!(&error, Error::OnlyInProject { index, .. } if *index == evil));
    assert!(error.to_string().contains(evil), "{error}");
    // Whoever gives the URL has decided; what the project calls it is a name like any other.
    let expected = ConfiguredRegistry { index: evil.parse().unwrap(), name: Some("my-reg".into()) };
    assert_eq!(setup.config().resolve(evil).unwrap(), expected);
}

#[test]
fn included_files_count_like_the_file_itself() {
    let evil = my_reg("sparse+https://evil.example/");
    for include in ["[\"more.toml\"]", "[{ path = \"more.toml\", optional = true }]"] {
        let setup = Setup::new(&format!("include = {include}\n"), "");
        std::fs::write(setup.0.path().join("home/more.toml"), my_reg(OWN)).unwrap();
        assert_eq!(setup.config().resolve("my-reg").unwrap().index, OWN);
        let setup = Setup::new(&my_reg(OWN), &format!("include = {include}\n"));
        std::fs::write(setup.0.path().join("project/.cargo/more.toml"), &evil).unwrap();
        assert!(matches!(setup.config().resolve("my-reg"), Err(Error::ProjectDisagrees { .. })), "{include}");
    }
}

/// Each of these has cargo 1.95 refuse at once, or go on for ever.
#[test]
fn includes_that_cargo_does_not_take() {
    let problem = |home: &str, more: &[(&str, &str)]| {
        let setup = Setup::new(home, "");
        for (name, text) in more {
            let path = setup.0.path().join("home").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        match setup.config().read() {
            Err(Error::Include { problem, .. }) => problem,
            other => panic!("{home}: {:?}", other.err()),
        }
    };
    let again = |home: &str, more: &[(&str, &str)]| assert_eq!(problem(home, more), IncludeProblem::Again);
    again("include = ['config.toml']", &[]);
    again("include = ['a.toml']", &[("a.toml", "include = ['config.toml']")]);
    again("include = ['a.toml', 'a.toml']", &[("a.toml", "")]);
    let twice = "include = ['c.toml']";
    again("include = ['a.toml', 'b.toml']", &[("a.toml", twice), ("b.toml", twice), ("c.toml", "")]);
    let multiplying = "include = ['x/../config.toml', 'y/../config.toml']";
    assert_eq!(problem(multiplying, &[("x/z", ""), ("y/z", "")]), IncludeProblem::TooMany);
    assert!(matches!(problem("include = ['more']", &[]), IncludeProblem::NotToml { .. }));
    assert!(matches!(problem("include = ['*.toml']", &[]), IncludeProblem::Pattern { .. }));
    let missing = Setup::new("include = ['gone.toml']", "");
    assert!(matches!(missing.config().read(), Err(Error::Io { .. })));
    for shape in ["'more.toml'", "[1]", "[{ optional = true }]", "[{ path = 'a.toml', optional = 1 }]"] {
        let setup = Setup::new(&format!("include = {shape}"), "");
        assert!(matches!(setup.config().read(), Err(Error::Shape { .. })), "{shape}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whichever file includes whichever, reading comes to an end. No file is read twice, which cargo refuses too.
    #[test]
    fn any_includes_are_read_once_or_refused(includes in prop::collection::vec(prop::collection::vec(0_usize..6, 0..4), 6)) {
        let file = |n: usize| if n == 0 { "config.toml".to_owned() } else { format!("{n}.toml") };
        let text = |n: usize| format!("include = {:?}", includes[n].iter().map(|n| file(*n)).collect::<Vec<_>>());
        let setup = Setup::new(&text(0), "");
        for n in 1..6 {
            std::fs::write(setup.0.path().join("home").join(file(n)), text(n)).unwrap();
        }
        let (mut reached, mut next) = (vec![0], vec![0]);
        while let Some(n) = next.pop() {
            reached.extend(&includes[n]);
            // A file that is included again is one too many already.
            next.extend(includes[n].iter().filter(|_| reached.len() < 50));
        }
        let is_twice = (0..6).any(|n| reached.iter().filter(|reached| **reached == n).count() > 1);
        prop_assert_eq!(setup.config().read().is_err(), is_twice, "{:?}", includes);
    }
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
    let change = config.read().unwrap().provider_change(&registry, "/opt/my tools/yk-cargo").unwrap();
    assert_eq!(change.section, "[registries.my-reg]");
    change.write().unwrap();
    let providers = config.read().unwrap().providers(Scope::Own, &registry).unwrap();
    assert_eq!(providers.asked[0].command, ["/opt/my tools/yk-cargo"]);
    let after = std::fs::read_to_string(change.file).unwrap();
    assert_eq!(
        after,
        before.replace("# old\n", "# old\ncredential-provider = [\"/opt/my tools/yk-cargo\"]\n")
    );
}

/// In the file where it is named already, and in the form that cargo can merge with what others say.
#[test]
fn setting_the_provider_leaves_cargo_able_to_merge() {
    for (home, more, project, program, written) in [
        ("", "", "", "yk-cargo", "'yk-cargo'"),
        ("", "", "", "/opt/yk-cargo", "['/opt/yk-cargo']"),
        ("include = ['more.toml']\n", "['old']", "", "yk-cargo", "['yk-cargo']"),
        ("include = ['more.toml']\n", "'old'", "", "/opt/yk-cargo", "'/opt/yk-cargo'"),
        ("", "", "['theirs']", "yk-cargo", "['yk-cargo']"),
    ] {
        let provider = |value: &str| match value {
            "" => String::new(),
            value => format!("[registries.my-reg]\ncredential-provider = {value}\n"),
        };
        let setup = Setup::new(&format!("{home}{}", my_reg(OWN)), &provider(project));
        let file = setup.0.path().join("home/more.toml");
        std::fs::write(&file, provider(more)).unwrap();
        let config = setup.config();
        let registry = config.resolve("my-reg").unwrap();
        let change = config.read().unwrap().provider_change(&registry, program).unwrap();
        assert_eq!(change.file == file, !more.is_empty());
        change.write().unwrap();
        let text = std::fs::read_to_string(change.file).unwrap().replace('"', "'");
        assert!(text.contains(&format!("credential-provider = {written}")), "{text}");
        config.read().unwrap();
    }
}

#[test]
fn line_ends_and_a_byte_order_mark_stay() {
    let before = "\u{feff}# mine\r\n[registries.my-reg]\r\nindex = 'sparse+https://good.example/'\r\n";
    let setup = Setup::new(before, "");
    let config = setup.config();
    let registry = config.resolve("my-reg").unwrap();
    let change = config.read().unwrap().provider_change(&registry, "yk-cargo").unwrap();
    change.write().unwrap();
    let after = std::fs::read_to_string(change.file).unwrap();
    assert_eq!(after, format!("{before}credential-provider = \"yk-cargo\"\r\n"));
}
