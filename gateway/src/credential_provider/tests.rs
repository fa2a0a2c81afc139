use std::os::unix::fs::PermissionsExt as _;

use jiff::ToSpan as _;
use tempfile::TempDir;

use super::*;

const INDEX: &str = "sparse+https://registry.example/index/";
const HELLO: &str = r#"echo '{"v":[1]}'; read request"#;

fn provider<const N: usize>(words: [&str; N]) -> Result<Provider, NotAProvider> {
    Provider::new(words.map(ToOwned::to_owned))
}

/// Asks a provider that is this shell script.
fn ask(script: &str, change: Option<&Mutation>) -> (TempDir, Result<Given, ProviderError>) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("provider");
    std::fs::write(&program, format!("#!/bin/sh\ncd {}\n{script}\n", folder.path().display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let provider = provider([program.to_str().unwrap(), "--profile", "a b"]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let given = runtime.block_on(provider.ask(INDEX, change, Duration::from_secs(30)));
    (folder, given)
}

fn answers(answer: &str) -> Result<Given, ProviderError> {
    ask(&format!("{HELLO}; printf '%s\\n' '{answer}'"), None).1
}

fn gives(rest: &str) -> Result<Given, ProviderError> {
    answers(&format!(r#"{{"Ok":{{"kind":"get",{rest}}}}}"#))
}

#[test]
fn it_is_asked_as_cargo_asks() {
    let publish = Mutation::Publish {
        name: "hello".parse().unwrap(),
        version: "1.0.0-a+b".parse().unwrap(),
        checksum: asymmetric_token::Checksum([0xab; 32]),
    };
    let script = r#"echo "$*" > args; env > env
        echo '{"v":[1]}'; read request; echo "$request" > request
        echo '{"Ok":{"kind":"get","token":"Bearer s3cret!","cache":"session","operation_independent":false}}'"#;
    let (folder, given) = ask(script, Some(&publish));
    let given = given.unwrap();
    assert_eq!(
        (given.credential.to_str().unwrap(), given.lasts, given.for_all),
        ("Bearer s3cret!", Lasts::Session, false)
    );
    assert!(given.credential.is_sensitive());
    let found = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(found("args"), "--cargo-plugin\n");
    let request: serde_json::Value = serde_json::from_str(&found("request")).unwrap();
    let expected = serde_json::json!({
        "v": 1, "registry": { "index-url": INDEX }, "kind": "get", "operation": "publish", "name": "hello",
        "vers": "1.0.0-a+b", "cksum": "ab".repeat(32), "args": ["--profile", "a b"],
    });
    assert_eq!(request, expected);
    let env = found("env");
    let names: Vec<_> = env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let known = ["HOME", "PATH", "PWD", "OLDPWD", "_", "SHLVL", "CARGO_REGISTRY_INDEX_URL"];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
}

#[test]
fn what_it_gives_lasts_as_long_as_it_says() {
    let token = r#""token":"s3cret","operation_independent":true"#;
    let lasts = |cache: &str| gives(&format!("{token},{cache}")).map(|given| given.lasts);
    assert_eq!(lasts(r#""cache":"session""#).unwrap(), Lasts::Session);
    assert_eq!(lasts(r#""cache":"never""#).unwrap(), Lasts::Once);
    assert_eq!(lasts(r#""cache":"for ever and a day""#).unwrap(), Lasts::Once);
    let end = Timestamp::from_second((Timestamp::now() + 1.hour()).as_second()).unwrap();
    let expires = |end: i64| lasts(&format!(r#""cache":"expires","expiration":{end}"#));
    assert_eq!(expires(end.as_second()).unwrap(), Lasts::Until(end));
    assert!(matches!(expires(1), Err(ProviderError::Expired(_))));
    assert!(matches!(expires(253_402_300_799), Ok(_) | Err(ProviderError::Nonsense(_))));
}

#[test]
fn what_is_no_credential_is_refused() {
    let token =
        |token: &str| gives(&format!(r#""token":{token},"cache":"session","operation_independent":true"#));
    assert_eq!(token(r#"" Bearer a ""#).unwrap().credential, "Bearer a");
    for bad in [r#""""#, r#"" ""#, r#""a\nb""#, r#""é""#, r#""\u0000""#] {
        assert!(matches!(token(bad), Err(ProviderError::NotACredential)), "{bad}");
    }
    assert!(matches!(token(&format!("\"{}\"", "x".repeat(5000))), Err(ProviderError::NotACredential)));
    token(&format!("\"{}\"", "x".repeat(4096))).unwrap();
    assert!(matches!(answers(r#"{"Ok":{"kind":"logout"}}"#), Err(ProviderError::Nonsense(_))));
    assert!(matches!(answers("hello"), Err(ProviderError::Nonsense(_))));
    let refused = answers(r#"{"Err":{"kind":"other","message":"log in \u001b[2J first","caused-by":[]}}"#);
    let Err(ProviderError::Refuses(words)) = refused else { panic!("{refused:?}") };
    assert_eq!(words, "log in \\u{1b}[2J first");
    assert!(matches!(answers(r#"{"Err":{"kind":"not-found"}}"#), Err(ProviderError::Refuses(_))));
}

#[test]
fn a_program_that_is_no_provider_is_an_error() {
    let error = |script: &str| ask(script, None).1.unwrap_err();
    assert!(matches!(error("exit 3"), ProviderError::Ended(status) if status.code() == Some(3)));
    assert!(matches!(error("echo '{\"v\":[2]}'; read x"), ProviderError::Nonsense(_)));
    assert!(matches!(error("echo hello"), ProviderError::Nonsense(_)));
    assert!(matches!(error(&format!("{HELLO}; exit 0")), ProviderError::Ended(_)));
    assert!(matches!(error("yes | tr -d '\\n'"), ProviderError::Nonsense(_)), "a line without an end");
    let ok = r#"{"Ok":{"kind":"get","token":"s3cret","cache":"session","operation_independent":true}}"#;
    assert!(
        matches!(error(&format!("{HELLO}; echo '{ok}'; exit 1")), ProviderError::Ended(_)),
        "cargo takes none of it"
    );
    let talking = format!("{HELLO}; yes s3cret | head -c 1000000 >&2; echo '{ok}'");
    assert_eq!(ask(&talking, None).1.unwrap().credential, "s3cret");
    let lingering = format!("{HELLO}; echo '{ok}'; exec sleep 600");
    assert_eq!(ask(&lingering, None).1.unwrap().credential, "s3cret");
    let gone = Provider { program: "/no/such/program".into(), args: Vec::new(), prints_token: false };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(matches!(
        runtime.block_on(gone.ask(INDEX, None, Duration::from_secs(30))),
        Err(ProviderError::Ended(_) | ProviderError::Start(_))
    ));
}

#[test]
fn a_program_that_prints_a_token() {
    let print = |script: &str| {
        let words = ["cargo:token-from-stdout", "sh", "-c", script].map(ToOwned::to_owned);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Provider::new(words).unwrap().ask(INDEX, None, Duration::from_secs(30)))
    };
    let given = print("echo token-of-$CARGO_REGISTRY_INDEX_URL").unwrap();
    assert_eq!(given.credential, format!("token-of-{INDEX}"));
    assert!(given.for_all && matches!(given.lasts, Lasts::Until(_)));
    assert_eq!(print("printf s3cret; read x || exit 0").unwrap().credential, "s3cret");
    assert_eq!(print("echo s3cret; sleep 600 &").unwrap().credential, "s3cret", "whatever it leaves behind");
    let words = ["cargo:token-from-stdout", "/bin/sh", "-c"].map(ToOwned::to_owned);
    assert_eq!(Provider::new(words).unwrap().shown(), "cargo:token-from-stdout /bin/sh -c");
    assert!(matches!(print("echo a; echo b"), Err(ProviderError::Nonsense(_))));
    assert!(matches!(print("echo a; exit 1"), Err(ProviderError::Ended(_))));
    assert!(matches!(print("exit 0"), Err(ProviderError::Ended(_))));
    assert!(matches!(print("echo"), Err(ProviderError::NotACredential)));
    assert!(matches!(print("yes | tr -d '\\n'"), Err(ProviderError::Nonsense(_))));
}

#[test]
fn a_program_is_looked_up_once() {
    assert!(provider(["sh"]).unwrap().shown().starts_with('/'));
    assert!(matches!(provider(["cargo:token"]), Err(NotAProvider::BuiltIn(_))));
    for none in ["no-such-program", "/etc/passwd", "/", ""] {
        assert!(matches!(provider([none]), Err(NotAProvider::NoProgram(_))), "{none}");
    }
}
