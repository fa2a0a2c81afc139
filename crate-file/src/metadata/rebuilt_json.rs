//! The JSON part of a publish request as it is sent to the registry behind, made anew from the crate file.

use serde_json::{Value, json};

use super::{CRATES_IO, Dependency, Metadata, Registry};

impl Metadata {
    /// As cargo writes it; a dependency on the same registry has no `registry`.
    #[must_use]
    pub fn to_publish_json(&self) -> Value {
        let people = &self.description;
        json!({
            "name": self.name,
            "vers": self.version,
            "deps": self.dependencies.iter().map(dependency).collect::<Vec<_>>(),
            "features": self.features,
            "authors": people.authors,
            "description": people.description,
            "documentation": people.documentation,
            "homepage": people.homepage,
            "readme": people.readme,
            "readme_file": people.readme_file,
            "keywords": people.keywords,
            "categories": people.categories,
            "license": people.license,
            "license_file": people.license_file,
            "repository": people.repository,
            "badges": people.badges,
            "links": self.links,
            "rust_version": self.rust_version,
        })
    }
}

fn dependency(dependency: &Dependency) -> Value {
    let mut value = json!({
        "name": dependency.name,
        "version_req": dependency.requirement,
        "features": dependency.features,
        "optional": dependency.optional,
        "default_features": dependency.default_features,
        "target": dependency.target,
        "kind": dependency.kind.to_string(),
    });
    match &dependency.registry {
        Registry::Same => {}
        Registry::CratesIo => value["registry"] = CRATES_IO.into(),
        Registry::Other(url) => value["registry"] = url.as_str().into(),
    }
    if let Some(rename) = &dependency.rename {
        value["explicit_name_in_toml"] = rename.as_str().into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::super::{Description, Kind, Metadata, Sent};
    use super::{Dependency, Registry};

    /// What goes out is what came in, read as a request.
    #[test]
    fn read_again_it_is_the_same() {
        let dependency = |registry, rename: Option<&str>, target: Option<&str>| Dependency {
            name: "serde".to_owned(),
            rename: rename.map(str::to_owned),
            requirement: "^1.0".to_owned(),
            features: vec!["derive".to_owned(), "derive".to_owned()],
            optional: rename.is_some(),
            default_features: target.is_none(),
            target: target.map(str::to_owned),
            kind: Kind::Build,
            registry,
        };
        let mut dependencies = vec![
            dependency(Registry::Same, None, None),
            dependency(Registry::CratesIo, Some("s"), None),
            dependency(Registry::Other("sparse+https://other/".to_owned()), None, Some("cfg(unix)")),
        ];
        dependencies.sort();
        let metadata = Metadata {
            name: "hello".to_owned(),
            version: "1.0.0+build".to_owned(),
            dependencies,
            features: [("default".to_owned(), vec!["dep:s".to_owned()])].into(),
            links: Some("z".to_owned()),
            rust_version: Some("1.90.0".to_owned()),
            description: Description {
                authors: vec!["A".to_owned()],
                description: Some(" two\nlines".to_owned()),
                documentation: Some("d".to_owned()),
                homepage: Some("h".to_owned()),
                readme: Some("# readme".to_owned()),
                readme_file: Some("README.md".to_owned()),
                keywords: vec!["k".to_owned()],
                categories: vec!["c".to_owned()],
                license: Some("MIT".to_owned()),
                license_file: Some("LICENSE".to_owned()),
                repository: Some("r".to_owned()),
                badges: [("m".to_owned(), [("status".to_owned(), "x".to_owned())].into())].into(),
            },
        };
        let json = metadata.to_publish_json().to_string();
        let sent = Sent::parse(json.as_bytes(), "sparse+https://ours/").unwrap();
        assert_eq!(sent.metadata, metadata);
        assert!(sent.unknown.is_empty());
    }
}
