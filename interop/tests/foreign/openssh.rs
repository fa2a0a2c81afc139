//! OpenSSH (Debian 12: 9.2p1) through ykcs11, as a person uses it: keys listed, loaded into the agent, used.

use std::os::unix::fs::PermissionsExt as _;

use mock_card::{Firmware, MockCard};

use crate::desk::{Desk, MANAGEMENT_KEY};
use crate::ykcs11::MODULE;

#[test]
fn lists_loads_signs_and_verifies() {
    let mut desk = Desk::with(MockCard::builder().firmware(Firmware::new(5, 4, 3)));
    desk.write("ask", "#!/bin/sh\necho 123456\n");
    std::fs::set_permissions(desk.path("ask"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let ask = desk.path("ask").to_str().unwrap().to_owned();
    desk.set("SSH_ASKPASS", ask);
    desk.set("SSH_ASKPASS_REQUIRE", "force");
    desk.write("message", "what is signed");

    let management = format!("-k{MANAGEMENT_KEY}");
    let generate = ["-a", "generate", "-s", "9a", "-A", "ECCP256", &management, "-o", "public"];
    desk.run("yubico-piv-tool", &generate).succeeds();
    let module = module(&desk);
    let listed =
        desk.run("ssh-keygen", &["-D", &module]).succeeds().says("Public key for PIV Authentication").text();
    let key =
        listed.lines().find(|line| line.ends_with("Public key for PIV Authentication")).expect("said so");
    assert!(key.starts_with("ecdsa-sha2-nistp256 AAAA"), "{listed}");
    desk.write("key.pub", key);
    let import = ["-i", "-m", "PKCS8", "-f", "public"];
    let converted = desk.run("ssh-keygen", &import).succeeds().text();
    assert!(key.starts_with(converted.trim_end()), "{key} is the key that was generated, {converted}");

    // With a command, the agent lives as long as that does.
    let session = "ssh-add -s \"$1\" && ssh-add -L && ssh-add -T key.pub && \
                   ssh-keygen -Y sign -f key.pub -n file message && ssh-add -e \"$1\"";
    let session = desk.run("ssh-agent", &["sh", "-c", session, "sh", &module]).succeeds();
    session.says("Card added").says(key).says("Write signature").says("Card removed");

    desk.write("allowed", format!("somebody {key}\n"));
    let signature = String::from_utf8(desk.read("message.sig")).unwrap();
    assert!(signature.starts_with("-----BEGIN SSH SIGNATURE-----"), "{signature}");
    let verify = ["-Y", "verify", "-f", "allowed", "-I", "somebody", "-n", "file", "-s", "message.sig"];
    desk.run_with("ssh-keygen", &verify, "what is signed")
        .succeeds()
        .says("Good \"file\" signature for somebody");
    desk.run_with("ssh-keygen", &verify, "another message").fails().says("Could not verify signature");
}

/// The agent takes only modules by their whole path.
fn module(desk: &Desk) -> String {
    let cache = desk.run("ldconfig", &["-p"]);
    let text = cache.text();
    let line = text.lines().find(|line| line.trim_start().starts_with(MODULE)).expect("Debian's ykcs11");
    line.rsplit(' ').next().expect("a path").to_owned()
}
