//! Uploads that are signed well and must not get in: the request's frame, its JSON, the crate file.

use serde_json::json;

use crate::common::{Fixture, Upload, archive, crate_file, gzip, plain_header};

const MANIFEST: &str = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";

fn hello() -> Upload {
    Upload::new("hello", "1.0.0")
}

/// A crate `hello` 1.0.0 whose file has these entries, paths and all.
fn with_entries(entries: &[(&str, &[u8])]) -> Upload {
    let entries = entries.iter().map(|(path, content)| ((*path).to_owned(), *content));
    with_archive(archive(entries))
}

fn with_archive(tar: Vec<u8>) -> Upload {
    Upload { file: gzip(&tar), ..hello() }
}

/// Refused, and nothing of it is left behind.
#[track_caller]
fn refused(upload: &Upload, status: u16, text: &str) {
    let fixture = Fixture::new();
    fixture.publish(upload).assert_refused(status, text);
    assert_eq!(fixture.get("/index/he/ll/hello").status, 404);
    let left: Vec<_> = std::fs::read_dir(fixture.running().store().folder().join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_good_one_gets_in() {
    let fixture = Fixture::new();
    fixture.publish(&hello()).assert_ok();
    let file = fixture.get("/api/v1/crates/hello/1.0.0/download");
    file.assert_ok();
    assert_eq!(file.body, hello().file);
}

mod frame {
    use super::*;

    fn refused_body(body: &[u8], text: &str) {
        let fixture = Fixture::new();
        let token = fixture.publish_token(&hello());
        fixture.send("PUT", "/api/v1/crates/new", Some(&token), body).assert_refused(400, text);
        fixture.put_new(&token, &hello()).assert_ok();
    }

    #[test]
    fn bytes_after_the_crate() {
        let mut body = hello().body();
        body.push(0);
        refused_body(&body, "the lengths in the request do not add up");
    }

    #[test]
    fn a_crate_shorter_than_said() {
        let mut body = hello().body();
        body.pop();
        refused_body(&body, "the lengths in the request do not add up");
    }

    #[test]
    fn json_longer_than_everything() {
        refused_body(&[0xff, 0, 0, 0, b'{'], "the lengths in the request do not add up");
    }

    #[test]
    fn no_body() {
        refused_body(b"", "the request's body ended early");
    }

    #[test]
    fn no_length() {
        let fixture = Fixture::new();
        let token = fixture.publish_token(&hello());
        let header = format!(
            "PUT /api/v1/crates/new HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n"
        );
        fixture.raw(&header, b"").assert_refused(400, "this request needs a Content-Length");
    }

    /// Two ways to say how long it is could be two readings.
    #[test]
    fn chunks_and_a_length() {
        let fixture = Fixture::new();
        let token = fixture.publish_token(&hello());
        let body = hello().body();
        let header = format!(
            "PUT /api/v1/crates/new HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: {}\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n",
            body.len(),
            body.len()
        );
        let response = fixture.raw(&header, &[&body, &b"\r\n0\r\n\r\n"[..]].concat());
        response.assert_refused(400, "this request needs a Content-Length");
    }

    #[test]
    fn metadata_too_large() {
        let fixture = Fixture::new();
        let mut upload = hello();
        upload.json.resize((2 << 20) + 1, b' ');
        fixture
            .publish(&upload)
            .assert_refused(413, "the metadata has 2097153 bytes, but at most 2097152 are accepted");
    }

    #[test]
    fn a_crate_too_large() {
        let fixture = Fixture::with(|config| config.max_crate = 10_000);
        let mut upload = hello();
        upload.file.resize(10_001, 0);
        fixture
            .publish(&upload)
            .assert_refused(413, "the crate file has 10001 bytes, but at most 10000 are accepted");
    }
}

mod strict_json {
    use super::*;

    #[track_caller]
    fn refused_json(json: &str, text: &str) {
        refused(&Upload { json: json.as_bytes().to_vec(), ..hello() }, 400, text);
    }

    #[test]
    fn a_name_twice() {
        refused_json(
            r#"{"name":"hello","vers":"1.0.0","deps":[],"deps":[]}"#,
            "`deps` appears twice in one object",
        );
    }

    #[test]
    fn a_name_twice_deep_inside() {
        refused_json(
            r#"{"name":"hello","vers":"1.0.0","features":{"a":[],"a":["b"]}}"#,
            "`a` appears twice in one object",
        );
    }

    #[test]
    fn a_case_twin() {
        refused_json(
            r#"{"name":"hello","Name":"evil","vers":"1.0.0"}"#,
            "appears twice in one object of the metadata, in different case",
        );
    }

    #[test]
    fn a_case_twin_in_a_dependency() {
        refused_json(
            r#"{"name":"hello","vers":"1.0.0","deps":[{"name":"a","Name":"b","version_req":"1"}]}"#,
            "in different case",
        );
    }

    #[test]
    fn something_after_it() {
        refused_json(r#"{"name":"hello","vers":"1.0.0"}{}"#, "trailing characters");
        refused_json("{\"name\":\"hello\",\"vers\":\"1.0.0\"}\0", "trailing characters");
    }

    #[test]
    fn not_utf8() {
        refused(
            &Upload { json: b"{\"name\":\"hello\xff\"}".to_vec(), ..hello() },
            400,
            "the metadata is not UTF-8",
        );
    }

    #[test]
    fn not_an_object() {
        refused_json("[]", "the metadata is not a JSON object");
    }

    #[test]
    fn too_deep() {
        let deep = format!(r#"{{"name":"hello","vers":"1.0.0","x":{}1{}}}"#, "[".repeat(16), "]".repeat(16));
        refused_json(&deep, "nested deeper than 16 levels");
    }

    #[test]
    fn an_unknown_name_in_a_dependency() {
        refused_json(
            r#"{"name":"hello","vers":"1.0.0","deps":[{"name":"a","version_req":"1","source":"x"}]}"#,
            "a dependency in the metadata has the unknown field `source`",
        );
    }

    #[test]
    fn a_name_that_would_write_on_a_terminal() {
        refused_json(
            r#"{"name":"hello","vers":"1.0.0","deps":[{"name":"a","version_req":"1","\u001b[31m":1}]}"#,
            r"the unknown field `\u{1b}[31m`",
        );
    }

    #[test]
    fn an_artifact_dependency() {
        refused_json(
            r#"{"name":"hello","vers":"1.0.0","deps":[{"name":"a","version_req":"1","artifact":["bin"]}]}"#,
            "artifact dependencies are not supported",
        );
    }

    #[test]
    fn an_unknown_name_at_the_top_is_dropped() {
        let fixture = Fixture::new();
        let json = br#"{"name":"hello","vers":"1.0.0","newer_cargo":{"x":1}}"#.to_vec();
        fixture.publish(&Upload { json, ..hello() }).assert_ok();
        assert!(!fixture.get("/index/he/ll/hello").text().contains("newer_cargo"));
    }
}

mod file {
    use super::*;

    #[test]
    fn not_gzip() {
        refused(&Upload { file: b"not a crate".to_vec(), ..hello() }, 422, "not a gzipped tar archive");
        refused(&Upload { file: Vec::new(), ..hello() }, 422, "not a gzipped tar archive");
    }

    #[test]
    fn cut_off() {
        let mut upload = hello();
        upload.file.truncate(upload.file.len() - 10);
        refused(&upload, 422, "not a gzipped tar archive");
    }

    #[test]
    fn a_bomb() {
        let zeros = vec![0; 3 << 20];
        let upload =
            with_entries(&[("hello-1.0.0/Cargo.toml", MANIFEST.as_bytes()), ("hello-1.0.0/zeros", &zeros)]);
        assert!(upload.file.len() < 10_000);
        refused(&upload, 422, "far more bytes in it than its size allows");
    }

    /// Zeros may follow an archive, but not without end.
    #[test]
    fn a_bomb_after_the_archive() {
        let mut tar = archive([("hello-1.0.0/Cargo.toml".to_owned(), MANIFEST.as_bytes())]);
        tar.resize(3 << 20, 0);
        refused(&with_archive(tar), 422, "far more bytes in it than its size allows");
    }

    #[test]
    fn two_gzip_members() {
        let mut upload = hello();
        upload.file.extend(gzip(b"more"));
        refused(&upload, 422, "bytes after its archive");
    }

    #[test]
    fn bytes_after_gzip() {
        let mut upload = hello();
        upload.file.push(0);
        refused(&upload, 422, "bytes after its archive");
    }

    #[test]
    fn a_second_archive_inside() {
        let mut tar = archive([("hello-1.0.0/Cargo.toml".to_owned(), MANIFEST.as_bytes())]);
        tar.extend(archive([("hello-1.0.0/build.rs".to_owned(), &b"fn main() {}"[..])]));
        refused(&with_archive(tar), 422, "bytes after its archive");
    }

    #[test]
    fn links_directories_devices_and_pax() {
        use tar::EntryType as Type;
        for (kind, text) in [
            (Type::Symlink, "symbolic link"),
            (Type::Link, "is a link"),
            (Type::Directory, "directory"),
            (Type::Fifo, "device"),
            (Type::XHeader, "pax header"),
            (Type::XGlobalHeader, "pax header"),
            (Type::GNUSparse, "sparse file"),
            (Type::GNULongLink, "is a link"),
            (Type::Continuous, "special entry"),
        ] {
            let mut header = plain_header("hello-1.0.0/x", 0);
            header.set_entry_type(kind);
            header.set_cksum();
            let mut tar = tar::Builder::new(Vec::new());
            tar.append(&plain_header("hello-1.0.0/Cargo.toml", MANIFEST.len() as u64), MANIFEST.as_bytes())
                .unwrap();
            tar.append(&header, &b""[..]).unwrap();
            refused(&with_archive(tar.into_inner().unwrap()), 422, text);
        }
    }

    #[test]
    fn an_old_tar_header() {
        let mut header = tar::Header::new_old();
        header.set_path("hello-1.0.0/Cargo.toml").unwrap();
        header.set_size(MANIFEST.len() as u64);
        header.set_cksum();
        let mut tar = tar::Builder::new(Vec::new());
        tar.append(&header, MANIFEST.as_bytes()).unwrap();
        refused(&with_archive(tar.into_inner().unwrap()), 422, "neither `ustar` nor GNU");
    }

    /// A crate with this file besides its manifest.
    fn with_path(path: &str) -> Upload {
        with_entries(&[("hello-1.0.0/Cargo.toml", MANIFEST.as_bytes()), (path, b"x")])
    }

    #[test]
    fn paths_that_lead_elsewhere() {
        for path in [
            "hello-1.0.1/x",
            "hello-1.0.0",
            "hello-1.0.0x/x",
            "/hello-1.0.0/x",
            "./hello-1.0.0/x",
            "hello-1.0.0/../x",
            "hello-1.0.0/a/../../x",
            "hello-1.0.0/./x",
            "hello-1.0.0//x",
            "hello-1.0.0/x/",
        ] {
            refused(&with_path(path), 422, "every path must lie below `hello-1.0.0/`");
        }
    }

    /// Windows reads them as `Cargo.toml`, or as something that is no file; a terminal shows others than these.
    #[test]
    fn paths_that_are_others_somewhere() {
        for (path, text) in [
            ("Cargo.toml.", "ends in a dot or a blank, which Windows leaves out"),
            ("Cargo.toml ", "ends in a dot or a blank, which Windows leaves out"),
            ("src./lib.rs", "`src.` ends in a dot or a blank"),
            ("Cargo.toml::$DATA", "no file on Windows can have `:` in its name"),
            ("a\\b", "no file on Windows can have `\\` in its name"),
            ("CARGO~1.TOM", "has the form of a short name, by which Windows could mean another file"),
            ("\u{1b}[31m", "it has the character U+001B, which hides or reorders what is shown"),
            ("a\u{202e}sr.b", "it has the character U+202E"),
            ("a\u{200b}", "it has the character U+200B"),
        ] {
            refused(&with_path(&format!("hello-1.0.0/{path}")), 422, text);
        }
    }

    /// Cargo packages them, and other registries take them.
    #[test]
    fn names_in_any_script() {
        let fixture = Fixture::new();
        let paths = ["été.txt", "日本語/テスト.rs", "Ελληνικά", "עברית", "👩\u{200d}🔬.png", "a b", "aux.rs"];
        let paths = paths.map(|path| format!("hello-1.0.0/{path}"));
        let files = paths.iter().map(|path| (path.clone(), &b"x"[..]));
        let manifest = [("hello-1.0.0/Cargo.toml".to_owned(), MANIFEST.as_bytes())];
        fixture.publish(&with_archive(archive(manifest.into_iter().chain(files)))).assert_ok();
    }

    /// What readers of tar disagree about is not read at all.
    #[test]
    fn headers_that_have_two_readings() {
        let plain = |change: &dyn Fn(&mut [u8; 512])| {
            let mut header = plain_header("hello-1.0.0/x", 0);
            change(header.as_mut_bytes());
            header.set_cksum();
            let mut tar = archive([("hello-1.0.0/Cargo.toml".to_owned(), MANIFEST.as_bytes())]);
            tar.truncate(tar.len() - 1024);
            tar.extend(header.as_bytes());
            tar.extend([0; 1024]);
            with_archive(tar)
        };
        let bytes = |at: usize, bytes: &'static [u8]| {
            move |header: &mut [u8; 512]| header[at..at + bytes.len()].copy_from_slice(bytes)
        };
        let fixture = Fixture::new();
        fixture.publish(&plain(&|_| {})).assert_ok();
        for change in [
            bytes(124, b"+0\0\0\0\0\0\0\0\0\0\0"), // 52 for GNU tar, which swallows the next header
            bytes(124, b"         0 \0"),
            bytes(124, b"\x80\0\0\0\0\0\0\0\0\0\0\0"),
            bytes(345, b"hello-1.0.0/src"), // a prefix for Python
            bytes(500, b"x"),
            bytes(157, b"/etc/passwd"),
            bytes(100, b"0004755\0"),
        ] {
            refused(&plain(&change), 422, "is not written as cargo writes it, and readers differ about it");
        }
    }

    #[test]
    fn an_archive_without_an_end_or_with_something_in_between() {
        let tar = archive([("hello-1.0.0/Cargo.toml".to_owned(), MANIFEST.as_bytes())]);
        for cut in [512, 1024] {
            refused(&with_archive(tar[..tar.len() - cut].to_vec()), 422, "has no end: two blocks of zeros");
        }
        let mut filled = tar.clone();
        filled[1023] = b'x';
        refused(&with_archive(filled), 422, "is not written as cargo writes it");
        let mut commented = gzip(&tar);
        commented[3] = 16;
        commented.splice(10..10, *b"more\0");
        refused(
            &Upload { file: commented, ..hello() },
            422,
            "a gzip header with more than a file's name in it",
        );
    }

    #[test]
    fn a_path_twice() {
        for (one, twin) in [
            ("src/lib.rs", "src/lib.rs"),
            ("src/lib.rs", "src/LIB.rs"),
            ("é", "É"),
            ("é", "e\u{301}"),
            ("ſrc/a", "src/a"),
            ("a\u{200d}b", "ab"),
        ] {
            let [one, twin] = [one, twin].map(|path| format!("hello-1.0.0/{path}"));
            let upload =
                with_entries(&[("hello-1.0.0/Cargo.toml", MANIFEST.as_bytes()), (&one, b""), (&twin, b"")]);
            refused(&upload, 422, "twice (case makes no difference");
        }
    }

    #[test]
    fn a_file_that_is_a_folder() {
        for [one, other] in [["x", "x/y"], ["x/y", "X"], ["cargo.toml/x", "y"]] {
            let [one, other] = [one, other].map(|path| format!("hello-1.0.0/{path}"));
            let upload =
                with_entries(&[("hello-1.0.0/Cargo.toml", MANIFEST.as_bytes()), (&one, b""), (&other, b"")]);
            refused(&upload, 422, "that is a file and a folder");
        }
    }

    #[test]
    fn no_manifest() {
        refused(&with_entries(&[("hello-1.0.0/src/lib.rs", b"")]), 422, "has no `hello-1.0.0/Cargo.toml`");
        refused(
            &with_entries(&[("hello-1.0.0/sub/Cargo.toml", b"")]),
            422,
            "has no `hello-1.0.0/Cargo.toml`",
        );
        refused(&with_entries(&[]), 422, "has no `hello-1.0.0/Cargo.toml`");
    }

    #[test]
    fn a_second_manifest() {
        let manifest = MANIFEST.as_bytes();
        let upload =
            with_entries(&[("hello-1.0.0/Cargo.toml", manifest), ("hello-1.0.0/Cargo.toml", manifest)]);
        refused(&upload, 422, "twice (case makes no difference");
        let upload = with_entries(&[("hello-1.0.0/cargo.toml", manifest)]);
        refused(&upload, 422, "must be spelt `Cargo.toml`");
    }

    #[test]
    fn long_names_as_cargo_writes_them() {
        let fixture = Fixture::new();
        let long = format!("hello-1.0.0/{}", "long/".repeat(40));
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        for (path, content) in [("hello-1.0.0/Cargo.toml", MANIFEST.as_bytes()), (&format!("{long}x"), b"x")]
        {
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content).unwrap();
        }
        fixture.publish(&with_archive(tar.into_inner().unwrap())).assert_ok();
    }

    #[test]
    fn a_long_name_that_leads_elsewhere() {
        let mut tar = tar::Builder::new(Vec::new());
        tar.append(&plain_header("hello-1.0.0/Cargo.toml", MANIFEST.len() as u64), MANIFEST.as_bytes())
            .unwrap();
        for name in ["hello-1.0.0/../../evil\0", "hello-1.0.0/good\0/../evil\0"] {
            let mut tar = tar.get_ref().clone();
            let mut header = plain_header("././@LongLink", name.len() as u64);
            header.set_entry_type(tar::EntryType::GNULongName);
            header.set_cksum();
            tar.extend(archive_of(&header, name.as_bytes()));
            tar.extend(archive_of(&plain_header("hello-1.0.0/harmless", 0), b""));
            tar.extend([0; 1024]);
            refused(&with_archive(tar), 422, "is not written as cargo writes it");
        }
    }

    /// As cargo writes one, and who reads no long names reads the beginning of this one.
    #[test]
    fn a_long_name_that_leads_elsewhere_by_itself() {
        let mut tar = tar::Builder::new(Vec::new());
        tar.append(&plain_header("hello-1.0.0/Cargo.toml", MANIFEST.len() as u64), MANIFEST.as_bytes())
            .unwrap();
        let long = format!("hello-1.0.0/{}../x", "long/".repeat(40));
        let mut tar = tar.get_ref().clone();
        let mut header = plain_header("././@LongLink", long.len() as u64 + 1);
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_cksum();
        tar.extend(archive_of(&header, format!("{long}\0").as_bytes()));
        tar.extend(archive_of(&plain_header(&long[..100], 0), b""));
        tar.extend([0; 1024]);
        refused(&with_archive(tar), 422, "every path must lie below `hello-1.0.0/`");
    }

    /// One entry, without the end of an archive.
    fn archive_of(header: &tar::Header, content: &[u8]) -> Vec<u8> {
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

mod names {
    use super::*;

    #[test]
    fn a_tarball_of_another_name_or_version() {
        let json = json!({ "name": "hello", "vers": "1.0.0" });
        for (name, version) in [("hallo", "1.0.0"), ("hello", "1.0.1"), ("Hello", "1.0.0")] {
            let manifest = MANIFEST.replace("hello", name).replace("1.0.0", version);
            let outside = Upload::of(
                "hello",
                "1.0.0",
                &json,
                &crate_file(name, version, &[("Cargo.toml", manifest.as_bytes())]),
            );
            refused(&outside, 422, "every path must lie below `hello-1.0.0/`");
            let inside = Upload::with_manifest("hello", "1.0.0", &manifest, &json);
            refused(&inside, 422, "the metadata cargo sent does not match the Cargo.toml you signed");
        }
    }

    #[test]
    fn a_version_for_ever() {
        let fixture = Fixture::new();
        fixture.publish(&hello()).assert_ok();
        fixture.publish(&hello()).assert_refused(409, "hello 1.0.0 is already published");
        let built = Upload::new("hello", "1.0.0+other.build");
        fixture.publish(&built).assert_refused(409, "hello 1.0.0 is already published");
        assert_eq!(fixture.get("/api/v1/crates/hello/1.0.0/download").body, hello().file);
    }

    #[test]
    fn a_refusal_does_not_use_the_token_up() {
        let fixture = Fixture::new();
        let token = fixture.publish_token(&hello());
        let broken = Upload { json: b"{}".to_vec(), ..hello() };
        fixture.put_new(&token, &broken).assert_refused(400, "`vers` is missing");
        fixture.put_new(&token, &hello()).assert_ok();
    }

    #[test]
    fn names_that_look_alike() {
        let fixture = Fixture::new();
        fixture.publish(&Upload::new("hello-world", "1.0.0")).assert_ok();
        for name in ["hello_world", "Hello-World"] {
            fixture
                .publish(&Upload::new(name, "1.0.0"))
                .assert_refused(409, &format!("the name `{name}` is too similar to the crate `hello-world`"));
        }
    }

    #[test]
    fn names_that_windows_reserves() {
        refused(&Upload::new("NUL", "1.0.0"), 422, "Windows reserves it");
    }
}

/// Of both, no file could be called `NAME-VERSION.crate`.
#[test]
fn a_name_and_a_version_that_are_too_long_together() {
    let fixture = Fixture::new();
    let upload = |bytes: usize| {
        let version = format!("1.0.0-{}", "a".repeat(bytes - "hello-1.0.0-.crate".len()));
        let manifest = format!("[package]\nname = \"hello\"\nversion = \"{version}\"\n");
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = plain_header("", manifest.len() as u64);
        let path = format!("hello-{version}/Cargo.toml");
        builder.append_data(&mut header, path, manifest.as_bytes()).unwrap();
        let json = json!({ "name": "hello", "vers": version });
        Upload::of("hello", &version, &json, &gzip(&builder.into_inner().unwrap()))
    };
    fixture
        .publish(&upload(256))
        .assert_refused(422, "`NAME-VERSION.crate` has 256 bytes, and no file has a name of more than 255");
    let upload = upload(255);
    fixture.publish(&upload).assert_ok();
    let token = fixture.read_token();
    let path = format!("/api/v1/crates/hello/{}/download", upload.version);
    fixture.send("GET", &path, Some(&token), b"").assert_ok();
}
