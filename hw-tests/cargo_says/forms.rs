//! The forms, and what cargo 1.95 does with each.

use super::Form;
use super::Index::{Evil, Refused};

const PROJECT: &str = "work/project/.cargo/config.toml";
const HOME: &str = "home/config.toml";
const CREDENTIALS: &str = "home/credentials.toml";

const INDEX: &str = "[registries.my-reg]\nindex = '{GOOD}'\n";
const NO_TOKEN: &str = "no token found for `my-reg`";

pub(super) fn all() -> Vec<Form> {
    [
        providers(),
        project_providers(),
        aliases(),
        lists(),
        credentials(),
        includes(),
        indexes(),
        crates_io(),
        ways(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The registry in cargo's home, with this below it.
fn home(text: &'static str, below: &str) -> Form {
    Form::new(text, &[(HOME, &format!("{INDEX}{below}"))])
}

/// The same, and this in the project.
fn project(text: &'static str, below: &str, project: &str) -> Form {
    home(text, below).with(PROJECT, project)
}

const CLEAR: &str = "[registries.my-reg]\ntoken = 'clear-token'\n";

fn providers() -> Vec<Form> {
    let provider = |value: &str| format!("credential-provider = {value}\n");
    vec![
        home("a bare word", &provider("'yk-cargo'")),
        home("a bare word in a list", &provider("['yk-cargo']")),
        home("a path in a list", &provider("['{BIN}/yk-cargo']")),
        home("a path", &provider("'{BIN}/yk-cargo'")),
        home("a path with a blank", &provider("'{ROOT}/other bin/yk-cargo'")).refuses("No such file"),
        home("a path with a blank in a list", &provider("['{ROOT}/other bin/yk-cargo']")),
        home("a relative path", &provider("'bin/yk-cargo'")),
        home("a relative path with a dot", &provider("['./bin/../bin/yk-cargo']")),
        home("a tilde", &provider("'~/bin/yk-cargo'")).refuses("No such file"),
        home("arguments", &provider("'yk-cargo --slot 9c'")).refuses("takes no arguments"),
        home("arguments in a list", &provider("['yk-cargo', 'x']")).refuses("takes no arguments"),
        home("what is not there", &provider("['/nowhere/yk-cargo']")).refuses("No such file"),
        home("another program", &provider("'other'")).sends("other"),
        home("an empty text", &provider("''")).refuses("at least one element"),
        home("an empty list", &provider("[]")).refuses("at least one element"),
        home("a number", &provider("3")).refuses("expected a string or array of strings"),
        home("a list with a number", &provider("['yk-cargo', 3]")).refuses("expected string, but found"),
        home("none, and no token", "").refuses("no token found"),
        home("none, and a token", "").with(CREDENTIALS, CLEAR).sends("clear-token").in_clear(CREDENTIALS),
        home("cargo's own, and no token", &provider("'cargo:token'")).refuses("no token found"),
        home("cargo's own, and a token", &provider("['cargo:token']"))
            .with(CREDENTIALS, CLEAR)
            .sends("clear-token")
            .in_clear(CREDENTIALS),
        home("ours, and a token that is ignored", &provider("'yk-cargo'"))
            .with(CREDENTIALS, CLEAR)
            .in_clear(CREDENTIALS),
        home("in a variable", &provider("'cargo:token'"))
            .variable("CARGO_REGISTRIES_MY_REG_CREDENTIAL_PROVIDER", "yk-cargo"),
        home("another in a variable", &provider("['yk-cargo']"))
            .variable("CARGO_REGISTRIES_MY_REG_CREDENTIAL_PROVIDER", "cargo:token")
            .refuses("no token found"),
        home("nothing in a variable", &provider("'yk-cargo'"))
            .variable("CARGO_REGISTRIES_MY_REG_CREDENTIAL_PROVIDER", "")
            .refuses("at least one element"),
        home("a relative path in a variable", "")
            .variable("CARGO_REGISTRIES_MY_REG_CREDENTIAL_PROVIDER", "../../bin/yk-cargo"),
        home("a variable in lower case is none", &provider("'yk-cargo'"))
            .variable("CARGO_REGISTRIES_my_reg_CREDENTIAL_PROVIDER", "cargo:token"),
        Form::new(
            "dotted keys and inline tables",
            &[(HOME, "registries.my-reg = { index = '{GOOD}', credential-provider = ['yk-cargo'] }\n")],
        ),
        Form::new(
            "both names of the file",
            &[
                ("home/config", &format!("{INDEX}credential-provider = 'yk-cargo'\n")),
                (HOME, &format!("{INDEX}credential-provider = 'cargo:token'\n")),
            ],
        ),
        Form::new("what is no TOML", &[(HOME, "[registries.my-reg\n")])
            .leads_to(Refused)
            .refuses("could not parse TOML"),
        home("a date", "x = 2026-11-20\n").leads_to(Refused).refuses("unsupported TOML configuration type"),
    ]
}

fn project_providers() -> Vec<Form> {
    let text = "credential-provider = 'yk-cargo'\n";
    let list = "credential-provider = ['yk-cargo']\n";
    let says = |value: &str| format!("[registries.my-reg]\ncredential-provider = {value}\n");
    vec![
        project("a project with cargo's own", text, &says("'cargo:token'")).refuses("no token found"),
        project("a project with cargo's own in a list", list, &says("['cargo:token']"))
            .refuses("no token found"),
        project(
            "a project with a token of its own",
            text,
            &(says("'cargo:token'") + "token = 'clear-token'\n"),
        )
        .sends("clear-token")
        .in_clear(PROJECT),
        project("a project with a list, and a text at home", text, &says("['yk-cargo']"))
            .leads_to(Refused)
            .refuses("expected array, but found string"),
        project("a project with ours", "", &says("'yk-cargo'")),
        project("a project with ours by its path", list, &says("['{BIN}/yk-cargo']")),
        project("a project with a program of our name", list, &says("['bin/yk-cargo']")).sends("other"),
        project("a project with another program", "", &says("'other'")).sends("other"),
        project("a project with arguments", text, &says("'yk-cargo x'")).refuses("takes no arguments"),
        project("the nearest project", "", &says("'yk-cargo'"))
            .with("work/.cargo/config.toml", &says("'cargo:token'")),
        project("a project above", text, "")
            .with("work/.cargo/config.toml", &says("'cargo:token'"))
            .refuses("no token found"),
        home("the old name in a project", text)
            .with("work/project/.cargo/config", &says("'other'"))
            .with(PROJECT, &says("'yk-cargo'"))
            .sends("other"),
        project("a project that is no TOML", text, "[").leads_to(Refused).refuses("could not parse TOML"),
        project("a project that is no table", text, "registries = 3\n")
            .leads_to(Refused)
            .refuses("failed to merge"),
    ]
}

fn aliases() -> Vec<Form> {
    let ours = "credential-provider = 'yk-cargo'\n";
    let alias = |value: &str| format!("[credential-alias]\n{value}\n");
    vec![
        home("an alias", &("credential-provider = 'yk'\n".to_owned() + &alias("yk = ['{BIN}/yk-cargo']"))),
        home(
            "an alias as a text",
            &("credential-provider = ['yk']\n".to_owned() + &alias("yk = 'yk-cargo'")),
        ),
        home(
            "an alias is not for what has arguments",
            &("credential-provider = 'yk x'\n".to_owned() + &alias("yk = 'yk-cargo'")),
        )
        .refuses("No such file"),
        home("an alias of ours", &(ours.to_owned() + &alias("yk-cargo = ['other']"))).sends("other"),
        project("a project's alias of ours", ours, &alias("yk-cargo = ['{BIN}/other']")).sends("other"),
        project(
            "a project's alias of our path",
            "credential-provider = ['{BIN}/yk-cargo']\n",
            &alias("'{BIN}/yk-cargo' = ['{BIN}/other']"),
        )
        .sends("other"),
        project(
            "a project's alias of a path with a dot",
            "credential-provider = ['{ROOT}/d.ot/yk-cargo']\n",
            "[credential-alias.'{ROOT}/d']\n'ot/yk-cargo' = ['{BIN}/other']\n",
        )
        .sends("other"),
        project("a project's alias in a relative path", ours, &alias("yk-cargo = ['bin/yk-cargo']"))
            .sends("other"),
        home("an alias in a variable", ours)
            .variable("CARGO_CREDENTIAL_ALIAS_YK_CARGO", "other")
            .sends("other"),
        home(
            "an alias of cargo's own is none",
            "credential-provider = 'cargo:token'\n[credential-alias]\n'cargo:token' = ['yk-cargo']\n",
        )
        .refuses("no token found"),
        home("an alias that is a number is none", &(ours.to_owned() + &alias("yk-cargo = 3"))),
        project(
            "an alias in a list of all",
            "[registry]\nglobal-credential-providers = ['yk']\n",
            &alias("yk = 'yk-cargo'"),
        ),
        home(
            "an alias of an alias is none",
            &("credential-provider = 'a'\n".to_owned() + &alias("a = 'yk'\nyk = 'yk-cargo'")),
        )
        .refuses("No such file"),
    ]
}

fn lists() -> Vec<Form> {
    let global = |list: &str| format!("[registry]\nglobal-credential-providers = {list}\n");
    vec![
        home("ours for all", &global("['yk-cargo']")),
        home("ours last is asked first", &global("['cargo:token', 'yk-cargo']"))
            .with(CREDENTIALS, CLEAR)
            .in_clear(CREDENTIALS),
        home("a token before ours", &global("['yk-cargo', 'cargo:token']"))
            .with(CREDENTIALS, CLEAR)
            .sends("clear-token")
            .in_clear(CREDENTIALS),
        home("a token in a variable before ours", &global("['yk-cargo', 'cargo:token']"))
            .variable("CARGO_REGISTRIES_MY_REG_TOKEN", "clear-token")
            .sends("clear-token"),
        home("no token before ours", &global("['yk-cargo', 'cargo:token']")),
        home("what cargo refuses before ours", &global("['yk-cargo', 'cargo:paseto']"))
            .refuses("requires -Zasymmetric-token"),
        home("what cargo refuses behind ours", &global("['cargo:paseto', 'yk-cargo']")),
        home("another before ours", &global("['yk-cargo', 'other']")).sends("other").doubtful(),
        home("what is not there before ours", &global("['yk-cargo', 'nowhere']")).refuses("No such file"),
        home("all in a variable", "")
            .variable("CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS", "cargo:token yk-cargo"),
        home("a variable behind the list", &global("['cargo:token']"))
            .variable("CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS", "yk-cargo"),
        home("a variable with another", &global("['yk-cargo']"))
            .variable("CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS", "other")
            .sends("other")
            .doubtful(),
        home("an empty list is none", &global("[]")).refuses("no token found"),
        home("a text in place of the list", &global("'yk-cargo'")).refuses("expected"),
        home("a list entry with arguments", &global("['yk-cargo x']")).refuses("takes no arguments"),
        project("a project's for all", &global("['yk-cargo']"), &global("['other']"))
            .sends("other")
            .doubtful(),
        project("a project's ours for all", &global("['cargo:token']"), &global("['yk-cargo']")),
        home(
            "its own beside that for all",
            &("credential-provider = 'cargo:token'\n".to_owned() + &global("['yk-cargo']")),
        )
        .refuses("no token found"),
    ]
}

fn credentials() -> Vec<Form> {
    let provider = |value: &str| format!("[registries.my-reg]\ncredential-provider = {value}\n");
    let list = "credential-provider = ['yk-cargo']\n";
    vec![
        home("a provider in the credentials", "").with(CREDENTIALS, &provider("['yk-cargo']")),
        home("two lists that cargo glues", list)
            .with(CREDENTIALS, &provider("['yk-cargo']"))
            .refuses("takes no arguments"),
        home("a text in the credentials wins", "credential-provider = 'cargo:token'\n")
            .with(CREDENTIALS, &provider("'yk-cargo'")),
        home("a text and a list", list).with(CREDENTIALS, &provider("'yk-cargo'")).refuses("expected array"),
        home("both names of the credentials", "")
            .with("home/credentials", CLEAR)
            .with(CREDENTIALS, "[registries.my-reg]\ntoken = 'second-token'\n")
            .sends("clear-token")
            .in_clear("home/credentials"),
        home("a token in the configuration", "token = 'clear-token'\n").sends("clear-token").in_clear(HOME),
        home("credentials before the configuration", "token = 'second-token'\n")
            .with(CREDENTIALS, CLEAR)
            .sends("clear-token")
            .in_clear(CREDENTIALS),
        home("a variable before the credentials", "")
            .with(CREDENTIALS, CLEAR)
            .variable("CARGO_REGISTRIES_MY_REG_TOKEN", "third-token")
            .sends("third-token"),
        home("what the credentials include", "")
            .with(CREDENTIALS, "include = ['more.toml']\n")
            .with("home/more.toml", CLEAR)
            .sends("clear-token")
            .in_clear("home/more.toml"),
        home("a token that is a number", "token = 3\ncredential-provider = 'yk-cargo'\n")
            .refuses("expected a string"),
        home("credentials that are no TOML", list).with(CREDENTIALS, "[").refuses("could not parse TOML"),
        Form::new("an index in the credentials", &[(CREDENTIALS, INDEX)])
            .leads_to(Refused)
            .refuses("registry index was not found"),
        home("a secret key is nothing", "")
            .with(CREDENTIALS, "[registries.my-reg]\nsecret-key = 'x'\n")
            .refuses("no token found"),
    ]
}

fn includes() -> Vec<Form> {
    let ours = format!("{INDEX}credential-provider = ['yk-cargo']\n");
    let theirs = "[registries.my-reg]\ncredential-provider = ['cargo:token']\n";
    let include =
        |text: &'static str, include: &str| Form::new(text, &[(HOME, &format!("include = {include}\n"))]);
    vec![
        include("an included file", "['more.toml']").with("home/more.toml", &ours),
        include("an included file as a table", "[{ path = 'sub/more.toml' }]")
            .with("home/sub/more.toml", &ours),
        include(
            "an optional file that is not there",
            "[{ path = 'gone.toml', optional = true }, 'more.toml']",
        )
        .with("home/more.toml", &ours),
        include("a file that is not there", "['gone.toml']")
            .leads_to(Refused)
            .refuses("failed to load config include"),
        include("one path", "'more.toml'")
            .with("home/more.toml", &ours)
            .leads_to(Refused)
            .refuses("expected a list"),
        include("a file that includes itself", "['config.toml']").leads_to(Refused).refuses("cycle detected"),
        include("a file that two include", "['a.toml', 'b.toml']")
            .with("home/a.toml", "include = ['more.toml']\n")
            .with("home/b.toml", "include = ['more.toml']\n")
            .with("home/more.toml", &ours)
            .leads_to(Refused)
            .refuses("cycle detected"),
        include("another end of the name", "['more']")
            .with("home/more", &ours)
            .leads_to(Refused)
            .refuses("ending with `.toml`"),
        include("a pattern", "['m*.toml']")
            .with("home/more.toml", &ours)
            .leads_to(Refused)
            .refuses("without glob patterns"),
        include("braces", "['{x}.toml']").leads_to(Refused).refuses("without template braces"),
        include("the later file wins", "['a.toml', 'more.toml']")
            .with("home/a.toml", theirs)
            .with("home/more.toml", &ours),
        include("the earlier file loses", "['more.toml', 'a.toml']")
            .with("home/a.toml", theirs)
            .with("home/more.toml", &ours)
            .refuses("no token found"),
        Form::new("the file itself wins", &[(HOME, &format!("include = ['a.toml']\n{ours}"))])
            .with("home/a.toml", theirs),
        include("a relative program of an included file", "['sub/more.toml']")
            .with("home/sub/more.toml", &format!("{INDEX}credential-provider = ['bin/yk-cargo']\n")),
        include("a token in an included file", "['more.toml']")
            .with("home/more.toml", &format!("{INDEX}token = 'clear-token'\n"))
            .sends("clear-token")
            .in_clear("home/more.toml"),
        project(
            "a project's included alias",
            "credential-provider = 'yk-cargo'\n",
            "include = ['more.toml']\n",
        )
        .with("work/project/.cargo/more.toml", "[credential-alias]\nyk-cargo = ['other']\n")
        .sends("other"),
        include("a list and a text", "['more.toml']")
            .with("home/more.toml", &ours)
            .with(PROJECT, "[registries.my-reg]\ncredential-provider = 'yk-cargo'\n")
            .leads_to(Refused)
            .refuses("failed to merge"),
    ]
}

fn indexes() -> Vec<Form> {
    let ours = "credential-provider = 'yk-cargo'\n";
    let table = |name: &str| format!("[registries.{name}]\n{ours}");
    let evil = "[registries.my-reg]\nindex = '{EVIL}'\n";
    let variable = "CARGO_REGISTRIES_MY_REG_INDEX";
    vec![
        home("the index in a variable too", ours).variable(variable, "{GOOD}").refuses("no token found"),
        Form::new("the index in a variable only", &[(HOME, &table("my-reg"))])
            .variable(variable, "{GOOD}")
            .refuses("no token found"),
        Form::new("a section for the name that cargo gives it", &[(HOME, &table("my_reg"))])
            .variable(variable, "{GOOD}"),
        home("a provider in a variable beside it", ours)
            .variable(variable, "{GOOD}")
            .variable("CARGO_REGISTRIES_MY_REG_CREDENTIAL_PROVIDER", "yk-cargo"),
        Form::new("a name with a capital", &[(HOME, &table("Acme"))])
            .named("Acme")
            .variable("CARGO_REGISTRIES_ACME_INDEX", "{GOOD}")
            .refuses("no token found"),
        Form::new("the same name in small letters", &[(HOME, &table("acme"))])
            .named("Acme")
            .variable("CARGO_REGISTRIES_ACME_INDEX", "{GOOD}"),
        Form::new("a name that needs no change", &[(HOME, &table("acme"))])
            .named("acme")
            .variable("CARGO_REGISTRIES_ACME_INDEX", "{GOOD}"),
        Form::new(
            "a token of the name that cargo gives it",
            &[(CREDENTIALS, "[registries.my_reg]\ntoken = 'clear-token'\n")],
        )
        .variable(variable, "{GOOD}")
        .sends("clear-token"),
        home("another index in a variable", ours)
            .variable(variable, "{EVIL}")
            .leads_to(Evil)
            .refuses("no token found"),
        home("a variable with a dash", ours)
            .variable("CARGO_REGISTRIES_other-reg_INDEX", "{GOOD}")
            .refuses("no token found"),
        home("an unused index in a variable", ours).variable("CARGO_REGISTRIES_OTHER_INDEX", "nonsense"),
        project("a project with another index", ours, evil).leads_to(Evil).refuses(NO_TOKEN),
        project("a project with the same index", ours, INDEX),
        Form::new("an index that only the project has", &[(HOME, &table("my-reg")), (PROJECT, INDEX)]),
        Form::new("a registry that only the project has", &[(PROJECT, INDEX)]).refuses("no token found"),
        home("a variable before the project", ours)
            .variable("CARGO_REGISTRIES_MY_REG_INDEX", "{GOOD}")
            .with(PROJECT, evil)
            .with("work/.cargo/config.toml", "[registries.my_reg]\ncredential-provider = 'yk-cargo'\n"),
        home("two names for one index", &format!("{ours}[registries.twin]\nindex = '{{GOOD}}'\n"))
            .refuses("multiple registries are configured"),
        project("a project's second name", ours, "[registries.twin]\nindex = '{GOOD}'\n")
            .refuses("multiple registries are configured"),
        home("the name of another", &format!("{ours}[registries.other]\nindex = '{{EVIL}}'\n")),
        home("a bad index of another", &format!("{ours}[registries.other]\nindex = 'nonsense'\n"))
            .refuses("invalid url"),
        home("no table of another", &format!("{ours}[registries]\nother = 3\n")).refuses("expected a table"),
        Form::new(
            "a URL that cargo rewrites",
            &[(HOME, &format!("[registries.my-reg]\nindex = 'SPARSE+{{GOOD_WEB}}./x/../'\n{ours}"))],
        ),
        Form::new(
            "no final slash",
            &[(HOME, &format!("[registries.my-reg]\nindex = 'sparse+https://r.example/index'\n{ours}"))],
        )
        .leads_to(Refused)
        .refuses("sparse registry url must end in a slash"),
        Form::new(
            "a password",
            &[(HOME, &format!("[registries.my-reg]\nindex = 'https://bob:hunter2@r.example/index'\n{ours}"))],
        )
        .leads_to(Refused)
        .refuses("may not contain passwords"),
        Form::new("a path", &[(HOME, &format!("[registries.my-reg]\nindex = 'git/index'\n{ours}"))])
            .leads_to(Refused)
            .refuses("invalid index URL"),
        Form::new("nothing at all", &[]).leads_to(Refused).refuses("registry index was not found"),
        home("the default registry", &format!("{ours}[registry]\ndefault = 'my-reg'\n")).named(""),
        home("the default registry in a variable", ours)
            .variable("CARGO_REGISTRY_DEFAULT", "my-reg")
            .named(""),
        project("a project's default registry", ours, "[registry]\ndefault = 'my-reg'\n").named(""),
        Form::new("a git index", &[(HOME, &format!("[registries.git]\nindex = '{{GIT}}'\n{ours}"))])
            .named("git"),
        Form::new(
            "a git index with .git behind",
            &[(
                HOME,
                &format!(
                    "[registries.git]\nindex = '{{GIT}}'\n{ours}[registries.twin]\nindex = '{{GIT}}.git'\n"
                ),
            )],
        )
        .named("git")
        .refuses("multiple registries are configured"),
    ]
}

/// crates.io with this in cargo's home. Cargo lets its own tests put another registry in its place.
fn of_crates_io(text: &'static str, home: &str) -> Form {
    Form::new(text, &[(HOME, home)])
        .named("crates-io")
        .variable("__CARGO_TEST_CRATES_IO_URL_DO_NOT_USE_THIS", "{GOOD}")
}

fn crates_io() -> Vec<Form> {
    let crates_io = of_crates_io;
    let ours = "[registry]\ncredential-provider = 'yk-cargo'\n";
    vec![
        crates_io("crates.io", ours),
        crates_io("crates.io in a variable", "").variable("CARGO_REGISTRY_CREDENTIAL_PROVIDER", "yk-cargo"),
        crates_io("crates.io as a registry", "[registries.crates-io]\ncredential-provider = 'yk-cargo'\n")
            .refuses("no token found"),
        crates_io("crates.io's token", "")
            .with(CREDENTIALS, "[registry]\ntoken = 'clear-token'\n")
            .sends("clear-token")
            .in_clear(CREDENTIALS),
        crates_io("crates.io's token at the top", "")
            .with(CREDENTIALS, "token = 'clear-token'\n")
            .sends("clear-token")
            .in_clear(CREDENTIALS),
        crates_io("crates.io's token at the top beside a table", "")
            .with(CREDENTIALS, "token = 'clear-token'\n[registry]\n")
            .refuses("no token found"),
        crates_io("crates.io's token in a variable", "")
            .variable("CARGO_REGISTRY_TOKEN", "clear-token")
            .sends("clear-token"),
        crates_io(
            "another index for crates.io",
            "[registry]\nindex = '{EVIL}'\ncredential-provider = 'yk-cargo'\n",
        )
        .leads_to(Refused)
        .refuses("no longer supported"),
        crates_io("crates.io for all", "[registry]\nglobal-credential-providers = ['yk-cargo']\n"),
        crates_io("a project with another for crates.io", ours)
            .with(PROJECT, "[registry]\ncredential-provider = 'other'\n")
            .sends("other"),
    ]
}

/// Settings of a project's that have the token take another way: it is not opened.
fn ways() -> Vec<Form> {
    let ours = "credential-provider = 'yk-cargo'\n";
    let set = |text: &'static str, setting: &str| project(text, ours, setting).refuses("was not opened");
    let proxy = "[http]\nproxy = '{BASE}'\n";
    let same = format!("{ours}{proxy}");
    let theirs = "[source.theirs]\nregistry = '{EVIL}'\n";
    let mirror = |to: &str| format!("[source.crates-io]\nreplace-with = '{to}'\n");
    let mirrored = |text, home: &str, project: &str| {
        of_crates_io(text, &format!("[registry]\n{ours}{home}")).with(PROJECT, project)
    };
    vec![
        set("a project's proxy", proxy),
        set("a project's certificates", "[http]\ncainfo = 'ca.pem'\n"),
        set("a project's version of TLS", "[http]\nssl-version = 'tlsv1.0'\n"),
        set("a project's versions of TLS", "[http]\nssl-version.min = 'tlsv1.0'\n"),
        set("a project's unchecked revocations", "[http]\ncheck-revoke = false\n"),
        set("a project's host keys", "[net.ssh]\nknown-hosts = ['r.example ssh-ed25519 AAAA']\n"),
        set("a project's included proxy", "include = ['more.toml']\n")
            .with("work/project/.cargo/more.toml", proxy),
        home("a proxy above the project", ours)
            .with("work/.cargo/config.toml", proxy)
            .refuses("was not opened"),
        set(
            "a project's other registry in its place",
            "[source.mine]\nregistry = '{GOOD}'\nreplace-with = 'theirs'\n[source.theirs]\nregistry = '{EVIL}'\n",
        ),
        project(
            "a project's folder in its place",
            ours,
            "[source.mine]\nregistry = '{GOOD}'\nreplace-with = 'theirs'\n[source.theirs]\ndirectory = 'vendor'\n",
        ),
        mirrored("a project's mirror of crates.io", "", &(mirror("theirs") + theirs))
            .refuses("was not opened"),
        mirrored("a project's other crates.io", "", "[source.crates-io]\nregistry = '{EVIL}'\n")
            .refuses("was not opened"),
        mirrored(
            "a project's folder for crates.io",
            "",
            &(mirror("theirs") + "[source.theirs]\ndirectory = 'vendor'\n"),
        ),
        mirrored(
            "the person's mirror, which the project moves",
            &(mirror("theirs") + "[source.theirs]\nregistry = 'sparse+https://m.example/'\n"),
            theirs,
        )
        .refuses("was not opened"),
        mirrored(
            "the person's mirror by a registry's name, which the project moves",
            &(mirror("theirs") + "[registries.theirs]\nindex = 'sparse+https://m.example/'\n"),
            "[registries.theirs]\nindex = '{EVIL}'\n",
        )
        .refuses("was not opened"),
        mirrored("the person's mirror", &(mirror("theirs") + theirs), &(mirror("theirs") + theirs)),
        project("a project's other name for another", ours, "[registries.other]\nindex = '{EVIL}'\n"),
        project(
            "a project's patience",
            ours,
            "[http]\ntimeout = 5\nmultiplexing = false\nuser-agent = 'x'\n[net]\nretry = 1\n",
        ),
        project(
            "a project's request in its user agent",
            ours,
            "[http]\nuser-agent = \"x\\r\\n\\r\\nDELETE /api/v1/crates/alpha/0.1.0/yank HTTP/1.1\\r\\nX: y\"\n",
        )
        .refuses("was not opened"),
        project("the person's own proxy", &same, proxy),
        home("the person's own proxy alone", &same),
        project(
            "a project's certificates in a file of the same name",
            &format!("{ours}[http]\ncainfo = 'ca'\n"),
            "[http]\ncainfo = 'ca'\n",
        )
        .refuses("was not opened"),
        project("a variable before the project's proxy", ours, "[http]\nproxy = 'http://127.0.0.1:9'\n")
            .variable("CARGO_HTTP_PROXY", "{BASE}"),
    ]
}
