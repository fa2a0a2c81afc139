//! A program with what belongs to it, as a .tar.gz: for systems without a package, and for those who want none.

use std::path::Path;

use flate2::{Compression, GzBuilder};

use super::build::Build;
use super::date::Date;
use super::licences::{Apache, Licences};
use super::{Printed, Program, files, of_workspace, stem};
use crate::workspace::root;
use crate::{Failure, Outcome};

/// Files that go along as they are.
const TEXTS: [&str; 3] = ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// Makes it.
pub(super) fn make(
    folder: &Path,
    program: &Program,
    build: &Build,
    licences: &Licences,
    printed: &Printed,
    date: Date,
) -> Outcome {
    let stem = stem(program, build);
    let mut content = vec![
        (format!("{}{}", program.name, build.suffix()), files::read(&build.binary(program))?, 0o755),
        (
            "LICENSES-OF-CRATES.txt".to_owned(),
            licences.text(program.name, &Apache::Below)?.into_bytes(),
            0o644,
        ),
    ];
    if let Some(text) = build.copyright_of_std() {
        content.push(("COPYRIGHT-library.html".to_owned(), text, 0o644));
    }
    for name in TEXTS {
        content.push((name.to_owned(), of_workspace(name)?, 0o644));
    }
    let readme = files::read(&root().join(program.folder).join("README.md"))?;
    content.push(("README.md".to_owned(), readme, 0o644));
    for (shell, script) in &printed.completions {
        let name = match *shell {
            "bash" => program.name.to_owned(),
            "zsh" => format!("_{}", program.name),
            shell => format!("{}.{shell}", program.name),
        };
        content.push((format!("completions/{name}"), script.clone(), 0o644));
    }
    for (name, page) in &printed.man_pages {
        content.push((format!("man/{name}"), page.clone(), 0o644));
    }
    for &name in program.service_files() {
        content.push((name.to_owned(), of_workspace(&format!("{}/dist/{name}", program.folder))?, 0o644));
    }
    content.sort();
    let path = folder.join(format!("{stem}.tar.gz"));
    let bytes = pack(&stem, &content, date)
        .map_err(|error| Failure::new(format!("cannot pack {}: {error}", path.display())))?;
    files::write(&path, bytes)
}

fn pack(stem: &str, content: &[(String, Vec<u8>, u32)], date: Date) -> std::io::Result<Vec<u8>> {
    let packer = GzBuilder::new().write(Vec::new(), Compression::best());
    let mut archive = tar::Builder::new(packer);
    for (name, bytes, mode) in content {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_mtime(date.0);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, format!("{stem}/{name}"), bytes.as_slice())?;
    }
    archive.into_inner()?.finish()
}
