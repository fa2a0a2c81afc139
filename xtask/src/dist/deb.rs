//! A .deb for each program, built by Debian's own dpkg-deb (deb(5), Debian Policy 4.6).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::{Compression, GzBuilder};

use super::build::{self, Build};
use super::date::Date;
use super::licences::{Apache, Licences};
use super::{Printed, Program, VERSION, files, has, of_workspace};
use crate::workspace::{root, succeeds};
use crate::{Failure, Outcome};

/// What the package of a service is made of, below `dist/` of its program.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
/// Its configuration, of which dpkg keeps what the administrator changed.
const CONFIGURATION: &str = "/etc/registry-gateway/registry-gateway.toml";
/// The line of the configuration that says where the store is, and what it is where systemd makes the folder.
const STORE: [&str; 2] = ["store = \"registry\"", "store = \"/var/lib/registry-gateway\""];
/// Who answers for the package, where `DEBFULLNAME` and `DEBEMAIL` do not say it (debchange(1)): nobody whom mail could reach.
const MAINTAINER: [&str; 2] = ["yk-cargo contributors", "noreply@yk-cargo.invalid"];

/// Whether this system has packages of this kind.
pub(super) fn is_for_here() -> bool {
    cfg!(target_os = "linux") && succeeds("apt-get", &["--version"])
}

/// Whether they can be made.
pub(super) fn is_possible() -> bool {
    is_for_here() && has("dpkg-deb") && has("dpkg-shlibdeps")
}

/// Makes the package of one program.
pub(super) fn make(
    folder: &Path,
    program: &Program,
    build: &Build,
    licences: &Licences,
    printed: &Printed,
    (date, revision): (Date, u32),
) -> Outcome {
    let architecture = build::text_of(Path::new("dpkg"), &["--print-architecture"])?.trim().to_owned();
    let tree = Tree::new(files::fresh(&folder.join("debian"))?)?;
    let version = format!("{VERSION}-{revision}");
    tree.put_executable(&format!("usr/bin/{}", program.name), &files::read(&build.binary(program))?)?;
    document(&tree, program, build, licences, (&version, date))?;
    for (name, page) in &printed.man_pages {
        tree.put(&format!("usr/share/man/man1/{name}.gz"), gzip(page)?)?;
    }
    for (shell, script) in &printed.completions {
        let path = match *shell {
            "bash" => format!("bash-completion/completions/{}", program.name),
            "zsh" => format!("zsh/vendor-completions/_{}", program.name),
            shell => format!("{shell}/vendor_completions.d/{}.{shell}", program.name),
        };
        tree.put(&format!("usr/share/{path}"), script)?;
    }
    let mut depends =
        shared_libraries(&folder.join("shlibdeps"), &tree.0.join("usr/bin").join(program.name))?;
    if program.is_service() {
        serve(&tree, program)?;
        depends.push_str(", systemd (>= 250)");
    }
    let size = tree.kilobytes()?;
    let control = control(program, &version, &architecture, &depends, size);
    tree.put("DEBIAN/control", control)?;
    tree.put("DEBIAN/md5sums", tree.md5sums()?)?;
    let package = folder.join(format!("{}_{version}_{architecture}.deb", program.name));
    build_package(&tree.0, &package, date)?;
    fs::remove_dir_all(&tree.0).map_err(|error| files::cannot("remove", &tree.0, &error))
}

/// Copyright, changelog, and what the lint is not to complain of.
fn document(
    tree: &Tree,
    program: &Program,
    build: &Build,
    licences: &Licences,
    (version, date): (&str, Date),
) -> Outcome {
    let documents = format!("usr/share/doc/{}", program.name);
    tree.put(&format!("{documents}/copyright"), licences.text(program.name, &Apache::OfDebian)?)?;
    if let Some(text) = build.copyright_of_std() {
        tree.put(&format!("{documents}/COPYRIGHT-library.html.gz"), gzip(&text)?)?;
    }
    tree.put(&format!("{documents}/changelog.gz"), gzip(&of_workspace("CHANGELOG.md")?)?)?;
    let changes = format!(
        "{} ({version}) unstable; urgency=medium\n\n  * Built from the sources of {VERSION}, whose changes are in changelog.gz.\n\n -- {}  {}\n",
        program.name,
        maintainer(),
        date.rfc_5322()
    );
    tree.put(&format!("{documents}/changelog.Debian.gz"), gzip(changes.as_bytes())?)
}

/// Unit, user, configuration, and the scripts that dpkg runs.
fn serve(tree: &Tree, program: &Program) -> Outcome {
    let of_dist = |name: &str| of_workspace(&format!("{}/dist/{name}", program.folder));
    let unit = format!("{}.service", program.name);
    tree.put(&format!("lib/systemd/system/{unit}"), of_dist(&unit)?)?;
    tree.put(
        &format!("usr/lib/sysusers.d/{}.conf", program.name),
        of_dist(&format!("{}.sysusers", program.name))?,
    )?;
    let example = of_workspace("gateway/src/registry-gateway.toml")?;
    let example = String::from_utf8_lossy(&example);
    if !example.lines().any(|line| line == STORE[0]) {
        return Err(Failure::new(format!("the example of a configuration has no line `{}`", STORE[0])));
    }
    tree.put(CONFIGURATION.trim_start_matches('/'), example.replacen(STORE[0], STORE[1], 1))?;
    tree.put("DEBIAN/conffiles", format!("{CONFIGURATION}\n"))?;
    for script in SCRIPTS {
        tree.put_executable(&format!("DEBIAN/{script}"), &of_dist(&format!("debian/{script}"))?)?;
    }
    Ok(())
}

/// The fields of deb-control(5).
fn control(program: &Program, version: &str, architecture: &str, depends: &str, kilobytes: u64) -> String {
    let mut control = format!(
        "Package: {}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {}\nInstalled-Size: {kilobytes}\nDepends: {depends}\n",
        program.name,
        maintainer()
    );
    if !program.recommends.is_empty() {
        control += &format!("Recommends: {}\n", program.recommends);
    }
    control += &format!("Section: devel\nPriority: optional\nDescription: {}\n", program.summary);
    let paragraphs: Vec<_> = program.description.iter().map(|text| folded(text)).collect();
    control + &paragraphs.join(" .\n")
}

/// Lines that fit a terminal, each with the blank that continues a field.
fn folded(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut line = lines.pop().unwrap_or_default();
        if line.len() + word.len() > 76 {
            lines.push(std::mem::take(&mut line));
        }
        line += " ";
        line += word;
        lines.push(line);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn maintainer() -> String {
    let set = |name, default: &str| {
        std::env::var(name).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned())
    };
    format!("{} <{}>", set("DEBFULLNAME", MAINTAINER[0]), set("DEBEMAIL", MAINTAINER[1]))
}

/// The packages that have the libraries, as dpkg-shlibdeps(1) finds them. It wants to be where a source package is.
fn shared_libraries(folder: &Path, binary: &Path) -> Outcome<String> {
    let source = files::fresh(folder)?;
    files::write(&source.join("debian/control"), "Source: a\n\nPackage: a\nArchitecture: any\n")?;
    let mut command = Command::new("dpkg-shlibdeps");
    command.args(["-O", "-e"]).arg(binary).current_dir(&source).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().ok().filter(|output| output.status.success());
    let output =
        output.ok_or_else(|| Failure::new("dpkg-shlibdeps does not tell which libraries are needed"))?;
    fs::remove_dir_all(&source).map_err(|error| files::cannot("remove", &source, &error))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let depends = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    depends
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("dpkg-shlibdeps says something else: {said}")))
}

/// dpkg-deb clamps the files' times to `SOURCE_DATE_EPOCH`.
fn build_package(tree: &Path, package: &Path, date: Date) -> Outcome {
    let mut command = Command::new("dpkg-deb");
    command.args(["--root-owner-group", "-Zxz", "--build"]).arg(tree).arg(package);
    command.env("SOURCE_DATE_EPOCH", date.0.to_string()).current_dir(root());
    match command.stdin(Stdio::null()).stdout(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("dpkg-deb failed ({status})"))),
        Err(error) => Err(Failure::new(format!("dpkg-deb could not be started: {error}"))),
    }
}

/// Without a name and a time, as Debian Policy 12.3 has it.
fn gzip(bytes: &[u8]) -> Outcome<Vec<u8>> {
    let mut packer = GzBuilder::new().write(Vec::new(), Compression::best());
    let packed = std::io::Write::write_all(&mut packer, bytes).and_then(|()| packer.finish());
    packed.map_err(|error| Failure::new(format!("cannot pack: {error}")))
}

/// The folder that becomes a package.
struct Tree(PathBuf);

impl Tree {
    /// By the folder `DEBIAN` dpkg's programs know it for a package.
    fn new(folder: PathBuf) -> Outcome<Self> {
        files::fresh(&folder.join("DEBIAN"))?;
        Ok(Self(folder))
    }

    fn put(&self, path: &str, content: impl AsRef<[u8]>) -> Outcome {
        self.put_with_mode(path, content.as_ref(), 0o644)
    }

    fn put_executable(&self, path: &str, content: &[u8]) -> Outcome {
        self.put_with_mode(path, content, 0o755)
    }

    /// Whatever the umask is, the folders above can be read as well.
    fn put_with_mode(&self, path: &str, content: &[u8], mode: u32) -> Outcome {
        let file = self.0.join(path);
        files::write(&file, content)?;
        set_mode(&file, mode)?;
        let above = file.ancestors().skip(1);
        for folder in above.take_while(|folder| folder.starts_with(&self.0)) {
            set_mode(folder, 0o755)?;
        }
        Ok(())
    }

    /// All files but dpkg's own, sorted, as paths in the package.
    fn paths(&self) -> Outcome<Vec<String>> {
        let mut open = vec![String::new()];
        let mut paths = Vec::new();
        while let Some(folder) = open.pop() {
            for name in files::names(&self.0.join(&folder))? {
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                match () {
                    () if path == "DEBIAN" => {}
                    () if self.0.join(&path).is_dir() => open.push(path),
                    () => paths.push(path),
                }
            }
        }
        paths.sort_unstable();
        Ok(paths)
    }

    /// Rounded up for each file (deb-substvars(5), Installed-Size).
    fn kilobytes(&self) -> Outcome<u64> {
        let size = |path: &String| files::read(&self.0.join(path)).map(|bytes| bytes.len().div_ceil(1024));
        let sizes = self.paths()?.iter().map(size).collect::<Outcome<Vec<_>>>()?;
        Ok(sizes.into_iter().sum::<usize>() as u64)
    }

    /// What `dpkg --verify` compares. Of the configuration dpkg has a sum of its own.
    fn md5sums(&self) -> Outcome<Vec<u8>> {
        let paths = self.paths()?.into_iter().filter(|path| !path.starts_with("etc/"));
        let output = Command::new("md5sum").args(paths).current_dir(&self.0).stdin(Stdio::null()).output();
        let output = output.ok().filter(|output| output.status.success());
        output.map(|output| output.stdout).ok_or_else(|| Failure::new("md5sum failed"))
    }
}

fn set_mode(path: &Path, mode: u32) -> Outcome {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|error| files::cannot("set the mode of", path, &error))
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn a_description_is_folded_and_indented() {
        let text = folded(&"word ".repeat(40));
        assert!(text.lines().all(|line| line.starts_with(" word") && line.len() <= 80), "{text}");
        assert_eq!(text.split_whitespace().count(), 40);
    }
}
