//! What the index of any registry says of a version, compared with what the signed file says.
//!
//! Registries write their lines each in their own way: one leaves out what cargo does without, another says `features` and
//! `features2` in one. What cargo would resolve by is compared, and nothing else. A dependency of tests and examples may be
//! left out, because cargo does not look at those of a crate from a registry.

use std::collections::BTreeMap;
use std::fmt::Debug;

use asymmetric_token::{Checksum, strict_json};
use semver::Version;
use serde_json::{Map, Value};

use super::Mismatch;
use crate::metadata::{
    self, CRATES_IO, CRATES_IO_SPARSE, Dependency, Kind, Metadata, Registry, described, shown, shown_json,
};

/// A version that an index has as the signed file has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Whether it is yanked, which only the index says.
    pub yanked: bool,
}

/// Why an index does not have a version as the signed file has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    /// A line is not a JSON object with each name once, so readers may differ about the version in it.
    #[error("line {0} of the index file cannot be read in one way only")]
    Unreadable(usize),
    /// No line has the version.
    #[error("the index does not have it")]
    Absent,
    /// Two lines have it. Versions that differ only in build metadata count as one.
    #[error("the index has it twice")]
    Twice,
    /// The line says something else.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

/// Compares what an index file says of a version with the metadata and the checksum of its signed file. `index_url` is that
/// of the registry.
///
/// # Errors
/// [`NotServed`].
pub fn served(
    index_file: &[u8],
    signed: &Metadata,
    checksum: Checksum,
    index_url: &str,
) -> Result<Served, NotServed> {
    let wanted = Version::parse(&signed.version).map_err(|_| NotServed::Absent)?;
    let found = line(index_file, &wanted)?;
    compare(&found, signed, checksum, index_url)?;
    Ok(Served { yanked: found.get("yanked").and_then(Value::as_bool).unwrap_or(false) })
}

/// The checksum that an index file has for a version.
///
/// # Errors
/// [`NotServed`]; [`NotServed::Mismatch`] if it has that of another version, or none.
pub fn checksum(index_file: &[u8], version: &Version) -> Result<Checksum, NotServed> {
    let found = line(index_file, version)?;
    same("vers", &found.get("vers"), &Some(&Value::from(version.to_string())))?;
    let checksum = found.get("cksum").and_then(Value::as_str).and_then(|text| text.parse().ok());
    Ok(checksum.ok_or_else(|| wrong("cksum", found.get("cksum")))?)
}

/// The only line that cargo takes for a version's.
fn line(index_file: &[u8], wanted: &Version) -> Result<Map<String, Value>, NotServed> {
    let mut found = None;
    for (position, line) in index_file.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let line = object(line).ok_or(NotServed::Unreadable(position + 1))?;
        // Cargo skips lines without a proper version.
        let version = line.get("vers").and_then(Value::as_str).and_then(|text| Version::parse(text).ok());
        if version.is_some_and(|version| version.cmp_precedence(wanted).is_eq())
            && found.replace(line).is_some()
        {
            return Err(NotServed::Twice);
        }
    }
    found.ok_or(NotServed::Absent)
}

fn object(line: &[u8]) -> Option<Map<String, Value>> {
    match strict_json::parse(std::str::from_utf8(line).ok()?) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

fn compare(
    found: &Map<String, Value>,
    signed: &Metadata,
    checksum: Checksum,
    index_url: &str,
) -> Result<(), Mismatch> {
    same("name", &found.get("name"), &Some(&Value::from(signed.name.as_str())))?;
    same("vers", &found.get("vers"), &Some(&Value::from(signed.version.as_str())))?;
    same("cksum", &found.get("cksum"), &Some(&Value::from(checksum.to_string())))?;
    same_dependencies(found, signed, index_url)?;
    same("features", &features(found)?, &sorted_features(&signed.features))?;
    // Cargo does without these where an index leaves them out; where it has them, they have to be right.
    for (field, value) in [("links", &signed.links), ("rust_version", &signed.rust_version)] {
        let signed = Value::from(value.as_deref());
        if let Some(said) = found.get(field).filter(|said| **said != signed) {
            return Err(mismatch(field, shown_json(said), shown_json(&signed)));
        }
    }
    // Only the index says these, and cargo takes no line where they are of another type.
    match found.get("yanked") {
        None | Some(Value::Null | Value::Bool(_)) => {}
        Some(yanked) => return Err(mismatch("yanked", shown_json(yanked), "true or false".to_owned())),
    }
    match found.get("pubtime") {
        None | Some(Value::Null) => {}
        Some(time) if time.as_str().is_some_and(is_pubtime) => {}
        Some(time) => return Err(mismatch("pubtime", shown_json(time), "a time in UTC".to_owned())),
    }
    // Cargo skips lines of a later version, or reads them in another way.
    match found.get("v") {
        None | Some(Value::Null) => Ok(()),
        Some(version) if matches!(version.as_u64(), Some(1 | 2)) => Ok(()),
        Some(version) => Err(mismatch("v", shown_json(version), "1 or 2".to_owned())),
    }
}

/// Whether cargo can read a time of publishing, as `2026-02-28T12:00:00Z` (Cargo book, "Registry Index").
fn is_pubtime(text: &str) -> bool {
    const SHAPE: &[u8; 20] = b"0000-00-00T00:00:00Z";
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    if text.len() != SHAPE.len() || !text.as_bytes().iter().zip(SHAPE).all(fits) {
        return false;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u32>().unwrap_or(u32::MAX);
    let (year, month) = (number(0, 4), number(5, 7));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    };
    (1..=12).contains(&month)
        && (1..=days).contains(&number(8, 10))
        && number(11, 13) < 24
        && number(14, 16) < 60
        && number(17, 19) <= 60
}

fn same<T: PartialEq + Debug>(field: &str, found: &T, signed: &T) -> Result<(), Mismatch> {
    if found == signed { Ok(()) } else { Err(mismatch(field, shown(found), shown(signed))) }
}

fn mismatch(field: &str, found: String, signed: String) -> Mismatch {
    Mismatch { field: field.to_owned(), found, signed }
}

fn same_dependencies(found: &Map<String, Value>, signed: &Metadata, index_url: &str) -> Result<(), Mismatch> {
    let mut left: Vec<_> = signed.dependencies.iter().cloned().map(normal).collect();
    for item in list(found, "deps").ok_or_else(|| wrong("deps", found.get("deps")))? {
        let dependency = dependency(item, index_url).ok_or_else(|| wrong("deps", Some(item)))?;
        match left.iter().position(|one| *one == dependency) {
            Some(position) => drop(left.swap_remove(position)),
            None => return Err(mismatch("deps", described(Some(&dependency)), described(None))),
        }
    }
    match left.iter().find(|dependency| dependency.kind != Kind::Dev) {
        Some(missing) => Err(mismatch("deps", described(None), described(Some(missing)))),
        None => Ok(()),
    }
}

/// A dependency of a line; `None` if it is none, or one that a published crate cannot have.
fn dependency(item: &Value, index_url: &str) -> Option<Dependency> {
    let fields = item.as_object()?;
    let is_set = |name: &&str| fields.get(*name).is_some_and(|value| !value.is_null());
    if ["artifact", "bindep_target"].iter().any(is_set) {
        return None;
    }
    let text = |name| match fields.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.as_str().map(Some),
    };
    let flag = |name, absent| match fields.get(name) {
        None | Some(Value::Null) => Some(absent),
        Some(value) => value.as_bool(),
    };
    // Whether it is public does not matter to a build, and a crate from a registry has no libraries of binaries.
    let (_is_public, is_library) = (flag("public", false)?, flag("lib", false)?);
    if is_library {
        return None;
    }
    let name = text("name")??;
    let package = text("package")?;
    Some(normal(Dependency {
        name: package.unwrap_or(name).to_owned(),
        rename: package.map(|_| name.to_owned()),
        requirement: metadata::requirement(text("req")??)?,
        features: texts(fields, "features")?,
        optional: flag("optional", false)?,
        default_features: flag("default_features", true)?,
        target: text("target")?.map(metadata::target).transpose().ok()?,
        kind: match text("kind")? {
            None | Some("normal") => Kind::Normal,
            Some("dev") => Kind::Dev,
            Some("build") => Kind::Build,
            Some(_) => return None,
        },
        registry: match text("registry")? {
            None => Registry::Same,
            Some(url) if url == index_url => Registry::Same,
            Some(CRATES_IO | CRATES_IO_SPARSE) => metadata::crates_io(index_url),
            Some(url) => Registry::Other(url.to_owned()),
        },
    }))
}

/// The dependency as cargo takes it: features are a set, and a renaming to the crate's own name is no renaming.
fn normal(mut dependency: Dependency) -> Dependency {
    dependency.features = set(dependency.features);
    dependency.rename = dependency.rename.filter(|rename| *rename != dependency.name);
    dependency
}

/// `features` and `features2` in one, as cargo puts them together.
fn features(found: &Map<String, Value>) -> Result<BTreeMap<String, Vec<String>>, Mismatch> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for field in ["features", "features2"] {
        let features = match found.get(field) {
            None | Some(Value::Null) => continue,
            Some(value) => value.as_object().ok_or_else(|| wrong(field, Some(value)))?,
        };
        for name in features.keys() {
            let values = texts(features, name).ok_or_else(|| wrong(field, features.get(name)))?;
            all.entry(name.clone()).or_default().extend(values);
        }
    }
    Ok(sorted_features(&all))
}

fn sorted_features(features: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    features.iter().map(|(name, values)| (name.clone(), set(values.clone()))).collect()
}

fn set(mut values: Vec<String>) -> Vec<String> {
    values.sort_unstable();
    values.dedup();
    values
}

/// A list of an object, empty if it is not there.
fn list<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a [Value]> {
    match object.get(name) {
        None | Some(Value::Null) => Some(&[]),
        Some(value) => value.as_array().map(Vec::as_slice),
    }
}

fn texts(object: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
    list(object, name)?.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

fn wrong(field: &str, found: Option<&Value>) -> Mismatch {
    mismatch(field, found.map_or_else(|| "absent".to_owned(), shown_json), "something else".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::index::Line;
    use crate::metadata::Description;

    const URL: &str = "sparse+https://crates.example/index/";
    const CHECKSUM: Checksum = Checksum([7; 32]);

    fn metadata() -> Metadata {
        let dependency = |name: &str, kind| Dependency {
            name: name.to_owned(),
            rename: None,
            requirement: "^1".to_owned(),
            features: vec!["b".to_owned(), "a".to_owned(), "a".to_owned()],
            optional: false,
            default_features: true,
            target: None,
            kind,
            registry: Registry::CratesIo,
        };
        let renamed = Dependency {
            rename: Some("other".to_owned()),
            target: Some("cfg(target_os = \"linux\")".to_owned()),
            optional: true,
            registry: Registry::Same,
            ..dependency("beta", Kind::Build)
        };
        Metadata {
            name: "hello".to_owned(),
            version: "1.0.0+b".to_owned(),
            dependencies: vec![dependency("alpha", Kind::Normal), renamed, dependency("gamma", Kind::Dev)],
            features: [("f", vec!["dep:other", "a"]), ("g", vec![])]
                .map(|(name, values)| (name.to_owned(), values.into_iter().map(str::to_owned).collect()))
                .into(),
            links: Some("z".to_owned()),
            rust_version: Some("1.90".to_owned()),
            description: Description::default(),
        }
    }

    fn line() -> Value {
        serde_json::from_str(&Line::new(&metadata(), CHECKSUM).to_json()).unwrap()
    }

    fn found(lines: &[Value]) -> Result<Served, NotServed> {
        let file: String = lines.iter().map(|line| format!("{line}\n")).collect();
        served(file.as_bytes(), &metadata(), CHECKSUM, URL)
    }

    fn changed(change: impl FnOnce(&mut Value)) -> Result<Served, NotServed> {
        let mut line = line();
        change(&mut line);
        found(&[json!({ "name": "hello", "vers": "0.9.0" }), line])
    }

    #[test]
    fn what_registries_write_in_their_own_ways() {
        assert_eq!(changed(|_| {}), Ok(Served { yanked: false }));
        assert_eq!(changed(|line| line["yanked"] = true.into()), Ok(Served { yanked: true }));
        for left_out in ["links", "rust_version", "v", "yanked"] {
            assert!(changed(|line| _ = line.as_object_mut().unwrap().remove(left_out)).is_ok(), "{left_out}");
        }
        let one_table = |line: &mut Value| {
            line["features"]["f"] = line["features2"]["f"].take();
            line["features2"] = Value::Null;
        };
        assert!(changed(one_table).is_ok());
        let without_dev = |line: &mut Value| line["deps"].as_array_mut().unwrap().truncate(2);
        assert!(changed(without_dev).is_ok());
        let other_spellings = |line: &mut Value| {
            line["deps"][0]["req"] = "1".into();
            line["deps"][0]["features"] = json!(["a", "b"]);
            line["deps"][0]["package"] = "alpha".into();
            line["deps"][0]["registry"] = CRATES_IO_SPARSE.into();
            line["deps"][0]["kind"] = Value::Null;
            line["deps"][1]["registry"] = URL.into();
            line["deps"][1]["target"] = "cfg(target_os=\"linux\")".into();
            line["deps"].as_array_mut().unwrap().reverse();
            line["pubtime"] = "2028-02-29T23:59:60Z".into();
            line["deps"][0]["public"] = true.into();
            line["deps"][1]["lib"] = false.into();
        };
        assert!(changed(other_spellings).is_ok());
    }

    #[test]
    fn every_change_that_cargo_would_go_by_is_named() {
        let mismatch = |field: &str, change: &dyn Fn(&mut Value)| {
            let Err(NotServed::Mismatch(mismatch)) = changed(|line| change(line)) else {
                panic!("{field}: not noticed");
            };
            assert_eq!(mismatch.field, field, "{mismatch}");
        };
        mismatch("name", &|line| line["name"] = "Hello".into());
        mismatch("vers", &|line| line["vers"] = "1.0.0+c".into());
        mismatch("cksum", &|line| line["cksum"] = "00".into());
        mismatch("links", &|line| line["links"] = Value::Null);
        mismatch("rust_version", &|line| line["rust_version"] = "1.91".into());
        for wrong in [json!(true), json!({}), json!(5), json!(["1.90"])] {
            mismatch("rust_version", &|line| line["rust_version"] = wrong.clone());
            mismatch("links", &|line| line["links"] = wrong.clone());
        }
        let without = Metadata { links: None, rust_version: None, ..metadata() };
        for field in ["links", "rust_version"] {
            let (mut line, other) = (line(), if field == "links" { "rust_version" } else { "links" });
            line[other] = Value::Null;
            line[field] = 5.into();
            let file = line.to_string();
            let Err(NotServed::Mismatch(mismatch)) = served(file.as_bytes(), &without, CHECKSUM, URL) else {
                panic!("{field}: not noticed");
            };
            assert_eq!((mismatch.field.as_str(), mismatch.found.as_str()), (field, "5"));
        }
        mismatch("yanked", &|line| line["yanked"] = "x".into());
        mismatch("yanked", &|line| line["yanked"] = 1.into());
        for wrong in [
            "2026",
            "garbage",
            "2026-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00+0",
            "2026-01-01t00:00:00Z",
        ] {
            mismatch("pubtime", &|line| line["pubtime"] = wrong.into());
        }
        mismatch("pubtime", &|line| line["pubtime"] = 5.into());
        mismatch("v", &|line| line["v"] = 3.into());
        mismatch("features", &|line| line["features"]["h"] = json!([]));
        mismatch("features", &|line| line["features2"] = json!({}));
        mismatch("features", &|line| line["features"]["g"] = json!(["f"]));
        mismatch("features", &|line| line["features"] = json!([]));
        mismatch("deps", &|line| line["deps"] = json!({}));
        mismatch("deps", &|line| line["deps"].as_array_mut().unwrap().truncate(1));
        for (field, value) in [
            ("name", json!("evil")),
            ("package", json!("evil")),
            ("req", json!("^2")),
            ("req", json!("?")),
            ("features", json!(["a"])),
            ("features", json!("a")),
            ("optional", json!(true)),
            ("default_features", json!(false)),
            ("target", json!("cfg(unix)")),
            ("target", json!("not(".repeat(8000))),
            ("kind", json!("build")),
            ("kind", json!("other")),
            ("registry", Value::Null),
            ("registry", json!("sparse+https://evil.example/")),
            ("artifact", json!(["bin"])),
            ("artifact", json!(false)),
            ("lib", json!(true)),
            ("lib", json!("x")),
            ("public", json!("x")),
        ] {
            mismatch("deps", &|line| line["deps"][0][field] = value.clone());
        }
        for kind in ["normal", "build", "dev"] {
            let evil = json!({ "name": "evil", "req": "*", "kind": kind });
            mismatch("deps", &|line| line["deps"].as_array_mut().unwrap().push(evil.clone()));
        }
        let twice = |line: &mut Value| {
            let first = line["deps"][0].clone();
            line["deps"].as_array_mut().unwrap().push(first);
        };
        mismatch("deps", &twice);
    }

    #[test]
    fn one_line_and_one_reading_of_it() {
        assert_eq!(found(&[]), Err(NotServed::Absent));
        assert_eq!(found(&[json!({ "name": "hello", "vers": "1.0.1" })]), Err(NotServed::Absent));
        assert_eq!(found(&[line(), line()]), Err(NotServed::Twice));
        let mut other_build = line();
        other_build["vers"] = "1.0.0+z".into();
        assert_eq!(found(&[line(), other_build]), Err(NotServed::Twice));
        let text = line().to_string();
        let twice = text.replacen("\"deps\":", "\"deps\":[],\"deps\":", 1);
        for (file, at) in [(twice, 1), (format!("{text}\n[]"), 2), (format!("{text}\n\n{{"), 3)] {
            let found = served(file.as_bytes(), &metadata(), CHECKSUM, URL);
            assert_eq!(found, Err(NotServed::Unreadable(at)), "{file}");
        }
    }

    #[test]
    fn a_stored_line_is_the_one_that_is_made_from_the_file() {
        let signed = Line::new(&metadata(), CHECKSUM);
        assert_eq!(signed.is(&signed.to_json()), Ok(()));
        let field = |stored: &str| signed.is(stored).unwrap_err().field;
        assert_eq!(field(&signed.to_json().replace("alpha", "evil")), "deps");
        assert_eq!(field(&signed.to_json().replacen('{', "{\"public\":1,", 1)), "public");
        assert_eq!(field(&signed.to_json().replacen('{', "{\"cksum\":\"\",", 1)), "line");
        assert_eq!(field("[]"), "cksum");
        assert_eq!(field(""), "line");
    }
}
