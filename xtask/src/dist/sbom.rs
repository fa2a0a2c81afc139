//! The bill of materials of a program, as CycloneDX has it (ECMA-424, version 1.5).

use serde_json::{Value, json};

use super::build::Build;
use super::date::Date;
use super::inside::Package;
use super::{Program, VERSION};
use crate::{Failure, Outcome};

/// It has no serial number, which would be another one each time.
pub(super) fn text(program: &Program, crates: &[Package], date: Date, build: &Build) -> Outcome<String> {
    let (own, others): (Vec<_>, Vec<_>) = crates.iter().partition(|package| package.name == program.name);
    let own = own.first().ok_or_else(|| Failure::new(format!("cargo does not know {}", program.name)))?;
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": date.rfc_3339(),
            "component": component(own, "application"),
            "properties": [
                { "name": "cargo:target", "value": build.target },
                { "name": "cargo:compiler", "value": build.compiler },
            ],
        },
        "components": others.iter().map(|package| component(package, "library")).collect::<Vec<_>>(),
        "dependencies": crates.iter().map(dependencies).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&bill)
        .map(|text| text + "\n")
        .map_err(|error| Failure::new(format!("the bill of materials cannot be written: {error}")))
}

fn component(package: &Package, kind: &str) -> Value {
    let mut component = json!({
        "type": kind,
        "bom-ref": purl(&package.name, &package.version),
        "name": package.name,
        "version": if package.is_ours() { VERSION } else { &package.version },
        "licenses": [{ "expression": expression(&package.licence) }],
        "purl": purl(&package.name, &package.version),
    });
    if let Some(sum) = &package.sha256 {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    if let Some(url) = &package.repository {
        component["externalReferences"] = json!([{ "type": "vcs", "url": url }]);
    }
    component
}

fn dependencies(package: &Package) -> Value {
    let on: Vec<_> = package.links.iter().map(|(name, version)| purl(name, version)).collect();
    json!({ "ref": purl(&package.name, &package.version), "dependsOn": on })
}

/// As in `pkg:cargo/serde@1.0.0` (package-url.org, type `cargo`). In there a plus sign is encoded.
fn purl(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

/// cargo once took a slash for OR, which SPDX does not know.
fn expression(licence: &str) -> String {
    licence.replace('/', " OR ")
}
