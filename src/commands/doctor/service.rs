//! From this process to the smart card service, and from there to a reader.

use super::surroundings::{Sandbox, Surroundings};
use super::{Findings, sentence};
use crate::card::plugged_in::{self, PluggedIn};
use crate::enrollment::Enrollments;
use crate::error::Error;
use crate::reader::{self, Readers};
use crate::text::{escape, foreign_word};

const CHECK: &str = "smart card service";
const READER: &str = "reader";

/// Where pcsc-lite's daemon listens if nobody says otherwise (pcsc-lite, configure: --enable-ipcdir).
const SOCKET: &str = "/run/pcscd/pcscd.comm";
/// The variable that moves it (pcsc-lite, src/utils.c: getSocketName).
const SOCKET_VARIABLE: &str = "PCSCLITE_CSOCK_NAME";
/// Where Debian, Fedora and Arch put the USB driver for readers.
const CCID_DRIVERS: [&str; 3] = [
    "/usr/lib/pcsc/drivers/ifd-ccid.bundle",
    "/usr/lib64/pcsc/drivers/ifd-ccid.bundle",
    "/usr/lib/x86_64-linux-gnu/pcsc/drivers/ifd-ccid.bundle",
];

/// The cards that can be reached.
pub(super) fn check(
    readers: &Readers,
    enrollments: &Enrollments,
    surroundings: &Surroundings,
    findings: &mut Findings,
) -> Vec<PluggedIn> {
    if let Some(socket) = surroundings.variable(SOCKET_VARIABLE) {
        findings.note(CHECK, format!("{SOCKET_VARIABLE} names its socket: {}", escape(socket)));
    }
    let found = match plugged_in::cards(readers, enrollments) {
        Ok(found) => found,
        Err(error) => {
            let mut text = sentence(&error);
            if matches!(error, Error::Reader(reader::Error::AccessDenied)) && surroundings.is_remote_session()
            {
                text += "; for polkit, a session over SSH or in tmux or screen is not active";
            }
            if matches!(error, Error::Reader(reader::Error::AccessDenied)) && surroundings.sandbox().is_some()
            {
                text += "; polkit runs outside this sandbox, so run the command outside it too";
            }
            findings.fail(CHECK, text, out_of_reach(&error, surroundings));
            return Vec::new();
        }
    };
    findings.ok(CHECK, "it answers");
    if surroundings.runs_pcscd_of_snap() {
        let text = "a snap package runs its own pcscd, which takes readers away from the system's";
        findings.warn(CHECK, text, "snap list | grep -i -e pcsc -e yubi");
    }
    if found.is_empty() {
        no_reader(surroundings, findings);
    }
    found
}

/// The command that brings the service within reach; on other systems than Linux, advice. A service that refuses us is within reach of the sandbox.
fn out_of_reach(error: &Error, surroundings: &Surroundings) -> String {
    if let Error::Reader(reader::Error::AccessDenied) = error {
        return allow_in_polkit(surroundings);
    }
    match surroundings.sandbox() {
        Some(Sandbox::Flatpak(id)) => {
            return format!("flatpak override --user --socket=pcsc {}", foreign_word(&id));
        }
        Some(Sandbox::Snap(name)) => return format!("sudo snap connect {}:pcscd", foreign_word(&name)),
        Some(Sandbox::Container) => {
            return "start the container with: --volume /run/pcscd/pcscd.comm:/run/pcscd/pcscd.comm".into();
        }
        Some(Sandbox::Wsl) | None => {}
    }
    if !cfg!(target_os = "linux") {
        return error.hint().unwrap_or_else(|| "restart the operating system's smart card service".into());
    }
    match error {
        Error::Reader(reader::Error::NoService) => start(surroundings),
        Error::Reader(reader::Error::Timeout { .. }) => "sudo systemctl restart pcscd.service".into(),
        error => error.hint().unwrap_or_else(|| "sudo systemctl restart pcscd.service".into()),
    }
}

/// A rule for this user, whatever the session: polkit's default lets in active local sessions only.
fn allow_in_polkit(surroundings: &Surroundings) -> String {
    let user = surroundings.variable("USER").filter(|name| is_plain(name)).unwrap_or("YOUR-NAME");
    format!(
        "echo 'polkit.addRule(function(action, subject) {{ if (action.id.indexOf(\"org.debian.pcsc-lite.access_\") == 0 && \
         subject.user == \"{user}\") return polkit.Result.YES; }});' | sudo tee /etc/polkit-1/rules.d/90-pcscd.rules"
    )
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn start(surroundings: &Surroundings) -> String {
    if surroundings.variable(SOCKET_VARIABLE).is_some() && surroundings.has(SOCKET) {
        return format!("unset {SOCKET_VARIABLE}");
    }
    let installed = surroundings.has_any(&["/usr/sbin/pcscd", "/usr/bin/pcscd"]);
    if surroundings.is_like("nixos") {
        "set `services.pcscd.enable = true;` in configuration.nix, then: sudo nixos-rebuild switch".into()
    } else if installed {
        "sudo systemctl enable --now pcscd.socket".into()
    } else {
        install(surroundings, "pcscd", "pcsc-lite pcsc-lite-ccid", "pcsclite ccid")
    }
}

fn install(surroundings: &Surroundings, debian: &str, fedora: &str, arch: &str) -> String {
    if surroundings.is_like("fedora") {
        format!("sudo dnf install {fedora}")
    } else if surroundings.is_like("arch") {
        format!("sudo pacman -S {arch}")
    } else {
        format!("sudo apt-get install {debian}")
    }
}

/// The service answers, and has no YubiKey: plugged in or not, and if so, who keeps it from us?
fn no_reader(surroundings: &Surroundings, findings: &mut Findings) {
    let at_the_usb = surroundings.usb_yubikeys();
    if at_the_usb.is_empty() {
        match surroundings.sandbox() {
            Some(Sandbox::Wsl) => findings.fail(
                READER,
                "no YubiKey has been handed over from Windows (or let cargo use the Windows program: credential-provider = \"yk-cargo.exe\")",
                "in Windows: usbipd attach --wsl --hardware-id 1050:0407",
            ),
            _ => findings.note(READER, "no YubiKey is plugged in; plug one in and run this again"),
        }
    } else if at_the_usb.iter().all(|yubikey| !yubikey.has_ccid) {
        let text = "a YubiKey is plugged in, but its card reader is switched off";
        findings.fail(READER, text, "ykman config usb --enable PIV");
    } else if surroundings.runs("scdaemon") && !surroundings.scdaemon_has_ccid_disabled() {
        let text = "a YubiKey is plugged in, but GnuPG's card daemon drives it directly";
        findings.fail(READER, text, "echo disable-ccid >> ~/.gnupg/scdaemon.conf && gpgconf --kill scdaemon");
    } else if surroundings.has("/usr/lib/pcsc/drivers") && !surroundings.has_any(&CCID_DRIVERS) {
        let text = "a YubiKey is plugged in, but the service has no driver for USB readers";
        findings.fail(READER, text, install(surroundings, "libccid", "pcsc-lite-ccid", "ccid"));
    } else {
        let text = "a YubiKey is plugged in, but the service has not noticed it";
        findings.fail(READER, text, "sudo systemctl restart pcscd.service");
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn command(error: reader::Error, files: &[(&str, &str)], variables: &[(&str, &str)]) -> String {
        let root = tempfile::tempdir().unwrap();
        out_of_reach(&error.into(), &Surroundings::with(root.path(), files, variables))
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_service_that_is_not_there() {
        let no_service = |files: &[(&str, &str)]| command(reader::Error::NoService, files, &[]);
        assert_eq!(no_service(&[("etc/os-release", "ID=debian")]), "sudo apt-get install pcscd");
        assert_eq!(
            no_service(&[("etc/os-release", "ID=fedora")]),
            "sudo dnf install pcsc-lite pcsc-lite-ccid"
        );
        assert_eq!(no_service(&[("usr/sbin/pcscd", "")]), "sudo systemctl enable --now pcscd.socket");
        let elsewhere = [(SOCKET_VARIABLE, "/nowhere")];
        assert_eq!(
            command(reader::Error::NoService, &[("run/pcscd/pcscd.comm", "")], &elsewhere),
            "unset PCSCLITE_CSOCK_NAME"
        );
    }

    #[test]
    fn a_service_behind_a_wall() {
        let flatpak = [(".flatpak-info", "[Application]\nname=org.gnome.Builder\n")];
        assert_eq!(
            command(reader::Error::NoService, &flatpak, &[]),
            "flatpak override --user --socket=pcsc org.gnome.Builder"
        );
        assert_eq!(
            command(reader::Error::NoService, &[], &[("SNAP_NAME", "code")]),
            "sudo snap connect code:pcscd"
        );
    }

    #[test]
    fn polkit_gets_a_rule_for_this_user() {
        let rule = command(reader::Error::AccessDenied, &[], &[("USER", "me")]);
        assert!(rule.contains("subject.user == \"me\"") && rule.ends_with("90-pcscd.rules"), "{rule}");
        let in_a_container = [("run/.containerenv", "")];
        assert!(command(reader::Error::AccessDenied, &in_a_container, &[]).ends_with("90-pcscd.rules"));
        let hostile = command(reader::Error::AccessDenied, &[], &[("USER", "'; reboot '")]);
        assert!(!hostile.contains("reboot"), "{hostile}");
    }

    #[test]
    fn a_yubikey_that_the_service_does_not_see() {
        let with = |files: &[(&str, &str)]| {
            let root = tempfile::tempdir().unwrap();
            let mut findings = Findings::default();
            no_reader(&Surroundings::with(root.path(), files, &[("HOME", "/home/me")]), &mut findings);
            let finding = findings.0.remove(0);
            (finding.verdict, finding.next.unwrap_or_default())
        };
        let yubikey = ("sys/bus/usb/devices/1-2/idVendor", "1050\n");
        let ccid = ("sys/bus/usb/devices/1-2:1.1/bInterfaceClass", "0b\n");
        let scdaemon = ("proc/77/comm", "scdaemon\n");
        let driver = |name: &'static str| (name, "");
        let failed = |run: &str| (Verdict::Failed, run.to_owned());
        assert_eq!(with(&[]), (Verdict::Note, String::new()));
        assert_eq!(with(&[yubikey]), failed("ykman config usb --enable PIV"));
        assert!(with(&[yubikey, ccid, scdaemon]).1.starts_with("echo disable-ccid"));
        let settled = [yubikey, ccid, scdaemon, ("home/me/.gnupg/scdaemon.conf", "disable-ccid\n")];
        assert_eq!(with(&settled), failed("sudo systemctl restart pcscd.service"));
        let other_drivers_only = [yubikey, ccid, driver("usr/lib/pcsc/drivers/other.bundle/x")];
        assert_eq!(with(&other_drivers_only), failed("sudo apt-get install libccid"));
    }
}
