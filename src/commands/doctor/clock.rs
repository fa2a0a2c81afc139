//! This computer's clock beside a registry's: a token is good for minutes, counted from the time in it.
//!
//! Asks without TLS only, which means registries on this computer and in test networks.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use jiff::Timestamp;

use super::{Findings, name};
use crate::enrollment::Registry;

const CHECK: &str = "clock";
/// For connecting, and for each read and write.
const PATIENCE: Duration = Duration::from_secs(3);
/// No head of an answer is longer, in bytes.
const LONGEST_HEAD: u64 = 16 << 10;
/// Registries that verify tokens take one from the future if it is no further ahead than a minute.
const TOLERATED: i64 = 30;

pub(super) fn check(registry: &Registry, findings: &mut Findings) {
    let name = name(registry);
    let Some(url) = registry.index.strip_prefix("sparse+http://") else {
        findings
            .note(CHECK, format!("not compared with that of `{name}`: it is not reached over plain http"));
        return;
    };
    match date(url) {
        Ok(Some(theirs)) => judge(&name, Timestamp::now(), theirs, findings),
        Ok(None) => findings.note(CHECK, format!("`{name}` does not tell its time")),
        Err(error) => {
            let text = format!("`{name}` cannot be reached ({error})");
            findings.warn(CHECK, text, format!("curl -sI http://{}", crate::ui::escape(url)));
        }
    }
}

fn judge(name: &str, ours: Timestamp, theirs: Timestamp, findings: &mut Findings) {
    let ahead = ours.as_second() - theirs.as_second();
    if ahead.abs() <= TOLERATED {
        findings.ok(CHECK, format!("it agrees with that of `{name}`"));
        return;
    }
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let text = format!(
        "this computer is {} seconds {direction} `{name}`, which will refuse its tokens if it is much more",
        ahead.abs()
    );
    findings.fail(CHECK, text, "sudo timedatectl set-ntp true");
}

/// The `Date` of the answer to a request for the index's configuration (RFC 9110, 6.6.1).
fn date(url: &str) -> io::Result<Option<Timestamp>> {
    let (authority, path) = url.split_once('/').unwrap_or((url, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let address = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let address = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /{path}config.json HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    head(&stream).map(|head| date_in(&head))
}

/// All up to the empty line.
fn head(stream: &TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    for byte in io::BufReader::new(stream).take(LONGEST_HEAD).bytes() {
        head.push(byte?);
        if head.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn date_in(head: &str) -> Option<Timestamp> {
    let value = head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then(|| value.trim())
    })?;
    // RFC 9110 writes GMT where RFC 2822 has an offset; the parser takes both.
    jiff::fmt::rfc2822::parse(value).ok().map(|time| time.timestamp())
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn reads_the_date_of_an_answer() {
        let head = "HTTP/1.1 401 Unauthorized\r\nx: Date: no\r\ndAtE:  Fri, 20 Nov 2026 16:14:23 GMT\r\n\r\n";
        assert_eq!(date_in(head), Some("2026-11-20T16:14:23Z".parse().unwrap()));
        assert_eq!(date_in("HTTP/1.1 200 OK\r\nDate: yesterday\r\n\r\n"), None);
        assert_eq!(date_in(""), None);
    }

    #[test]
    fn half_a_minute_is_no_matter() {
        let theirs: Timestamp = "2026-11-20T16:14:23Z".parse().unwrap();
        let verdict = |seconds: i64| {
            let mut findings = Findings::default();
            let ours = Timestamp::from_second(theirs.as_second() + seconds).unwrap();
            judge("my-reg", ours, theirs, &mut findings);
            let finding = findings.0.remove(0);
            (finding.verdict, finding.text)
        };
        assert_eq!(verdict(30).0, Verdict::Ok);
        assert_eq!(verdict(-30).0, Verdict::Ok);
        let (late, text) = verdict(-31);
        assert_eq!(late, Verdict::Failed);
        assert!(text.starts_with("this computer is 31 seconds behind `my-reg`"), "{text}");
        assert!(verdict(31).1.contains("ahead of"));
    }
}
