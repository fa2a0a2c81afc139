//! What kind of computer this is, as far as it decides who may reach a smart card.

use std::path::{Path, PathBuf};

/// The computer below a folder that stands for its root, and the environment of this process. Not to be printed: an
/// environment may hold secrets.
pub(super) struct Surroundings {
    root: PathBuf,
    variables: Vec<(String, String)>,
}

/// A wall between this process and the system's smart card service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sandbox {
    /// With the application's id.
    Flatpak(String),
    /// With the package's name.
    Snap(String),
    /// Docker, Podman and their like.
    Container,
    /// Linux on Windows.
    Wsl,
}

impl Surroundings {
    /// This computer, this process.
    pub(super) fn here() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self { root: PathBuf::from("/"), variables: variables.collect() }
    }

    /// A variable that is set, and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn sandbox(&self) -> Option<Sandbox> {
        if let Some(info) = self.read(".flatpak-info") {
            let id = info.lines().find_map(|line| line.strip_prefix("name="));
            return Some(Sandbox::Flatpak(id.unwrap_or("APPLICATION").trim().to_owned()));
        }
        if let Some(name) = self.variable("SNAP_NAME") {
            return Some(Sandbox::Snap(name.to_owned()));
        }
        if self.has(".dockerenv") || self.has("run/.containerenv") {
            return Some(Sandbox::Container);
        }
        let kernel = self.read("proc/sys/kernel/osrelease").unwrap_or_default();
        kernel.to_lowercase().contains("microsoft").then_some(Sandbox::Wsl)
    }

    /// To polkit such sessions are not active, and pcsc-lite's defaults let in active ones only.
    pub(super) fn is_remote_session(&self) -> bool {
        ["SSH_CONNECTION", "TMUX", "STY"].iter().any(|name| self.variable(name).is_some())
    }

    /// Of an absolute path.
    pub(super) fn has(&self, path: impl AsRef<Path>) -> bool {
        self.at(path).exists()
    }

    pub(super) fn has_any(&self, paths: &[&str]) -> bool {
        paths.iter().any(|path| self.has(path))
    }

    /// Whether a program is found as the operating system finds it: on PATH, unless its name is a path.
    pub(super) fn finds_program(&self, program: &str) -> bool {
        if program.contains(['/', '\\']) {
            let path = Path::new(program);
            return if path.is_absolute() { self.at(path).is_file() } else { path.is_file() };
        }
        let names = [program.to_owned(), format!("{program}{}", std::env::consts::EXE_SUFFIX)];
        let mut folders = std::env::split_paths(self.variable("PATH").unwrap_or_default());
        folders.any(|folder| names.iter().any(|name| self.at(folder.join(name)).is_file()))
    }

    /// YubiKeys that the kernel sees at the USB (Yubico's vendor id is 1050), whatever becomes of them.
    pub(super) fn usb_yubikeys(&self) -> Vec<UsbYubikey> {
        let devices = self.names("sys/bus/usb/devices");
        let is_yubico = |name: &&String| {
            self.read(format!("sys/bus/usb/devices/{name}/idVendor")).is_some_and(|id| id.trim() == "1050")
        };
        let with_ccid = |name: &String| {
            // The interfaces of device 1-2 are 1-2:1.0, 1-2:1.1 and so on; class 0b is CCID.
            let interfaces = devices.iter().filter(|other| other.starts_with(&format!("{name}:")));
            interfaces
                .filter_map(|other| self.read(format!("sys/bus/usb/devices/{other}/bInterfaceClass")))
                .any(|class| class.trim() == "0b")
        };
        devices.iter().filter(is_yubico).map(|name| UsbYubikey { has_ccid: with_ccid(name) }).collect()
    }

    /// Whether a program of this name runs.
    pub(super) fn runs(&self, program: &str) -> bool {
        self.processes().any(|process| {
            self.read(format!("proc/{process}/comm")).is_some_and(|name| name.trim() == program)
        })
    }

    /// Whether a pcscd out of a snap package runs, beside or instead of the system's.
    pub(super) fn runs_pcscd_of_snap(&self) -> bool {
        self.processes().any(|process| {
            self.read(format!("proc/{process}/cmdline"))
                .is_some_and(|line| line.starts_with("/snap/") && line.contains("pcscd"))
        })
    }

    /// Whether scdaemon keeps to pcscd instead of driving readers itself.
    pub(super) fn scdaemon_has_ccid_disabled(&self) -> bool {
        let home = self.variable("GNUPGHOME").map(PathBuf::from);
        let home = home.or_else(|| Some(Path::new(self.variable("HOME")?).join(".gnupg")));
        let settings = home.and_then(|home| self.read(home.join("scdaemon.conf"))).unwrap_or_default();
        settings.lines().any(|line| line.trim() == "disable-ccid")
    }

    /// The distribution and what it is like: `debian`, `ubuntu`, `fedora`, `arch`, `nixos`, …
    pub(super) fn is_like(&self, distribution: &str) -> bool {
        let release = self.read("etc/os-release").unwrap_or_default();
        let ids = release.lines().filter_map(|line| {
            line.strip_prefix("ID=")
                .or_else(|| line.strip_prefix("ID_LIKE="))
                .map(|ids| ids.trim_matches('"'))
        });
        ids.flat_map(str::split_whitespace).any(|id| id == distribution)
    }

    fn processes(&self) -> impl Iterator<Item = String> {
        self.names("proc").into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.at(directory)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let bytes = std::fs::read(self.at(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// A YubiKey at the USB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UsbYubikey {
    /// Whether it offers itself as a card reader.
    pub(super) has_ccid: bool,
}

#[cfg(test)]
impl Surroundings {
    /// A computer with these files, and these variables.
    pub(super) fn with(root: &Path, files: &[(&str, &str)], variables: &[(&str, &str)]) -> Self {
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { root: root.to_owned(), variables: variables.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandboxes_are_known_by_what_they_leave() {
        let sandbox = |files: &[(&str, &str)], variables: &[(&str, &str)]| {
            let root = tempfile::tempdir().unwrap();
            Surroundings::with(root.path(), files, variables).sandbox()
        };
        assert_eq!(sandbox(&[("proc/sys/kernel/osrelease", "6.12.0-amd64\n")], &[]), None);
        assert_eq!(
            sandbox(&[("proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n")], &[]),
            Some(Sandbox::Wsl)
        );
        let flatpak = [(".flatpak-info", "[Application]\nname=com.visualstudio.code\nruntime=x\n")];
        assert_eq!(sandbox(&flatpak, &[]), Some(Sandbox::Flatpak("com.visualstudio.code".into())));
        assert_eq!(sandbox(&[], &[("SNAP_NAME", "code")]), Some(Sandbox::Snap("code".into())));
        assert_eq!(sandbox(&[(".dockerenv", "")], &[]), Some(Sandbox::Container));
    }

    #[test]
    fn sees_yubikeys_at_the_usb() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("sys/bus/usb/devices/1-2/idVendor", "1050\n"),
            ("sys/bus/usb/devices/1-2:1.0/bInterfaceClass", "03\n"),
            ("sys/bus/usb/devices/1-2:1.1/bInterfaceClass", "0b\n"),
            ("sys/bus/usb/devices/1-21/idVendor", "1050\n"),
            ("sys/bus/usb/devices/1-21:1.0/bInterfaceClass", "03\n"),
            ("sys/bus/usb/devices/1-3/idVendor", "046d\n"),
        ];
        let mut found = Surroundings::with(root.path(), &files, &[]).usb_yubikeys();
        found.sort_by_key(|yubikey| yubikey.has_ccid);
        assert_eq!(found, [UsbYubikey { has_ccid: false }, UsbYubikey { has_ccid: true }]);
    }

    #[test]
    fn sees_programs_and_their_settings() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("proc/77/comm", "scdaemon\n"),
            ("proc/78/cmdline", "/snap/yubioath-desktop/9/usr/sbin/pcscd\0--foreground\0"),
            ("home/me/.gnupg/scdaemon.conf", "# no\ndisable-ccid\n"),
            ("etc/os-release", "ID=ubuntu\nID_LIKE=\"debian\"\n"),
        ];
        let surroundings = Surroundings::with(root.path(), &files, &[("HOME", "/home/me"), ("EMPTY", "")]);
        assert!(surroundings.runs("scdaemon") && !surroundings.runs("pcscd"));
        assert!(surroundings.runs_pcscd_of_snap() && surroundings.scdaemon_has_ccid_disabled());
        assert!(surroundings.is_like("debian") && surroundings.is_like("ubuntu"));
        assert!(!surroundings.is_like("fedora"));
        assert_eq!(surroundings.variable("EMPTY"), None);
    }
}
