//! Redirects of the registry behind: which of them are followed.

use axum::http::{StatusCode, header};
use url::Url;

use super::RemoteError;
use crate::http_client::Response;

/// Whether an answer leads elsewhere. 304 is of the same class, and does not.
pub(super) fn is_one(response: &Response) -> bool {
    matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

/// The target, if it is reached over TLS or on the server that was asked.
pub(super) fn anywhere(at: &Url, response: &Response) -> Result<Url, RemoteError> {
    let next = target(at, response)?;
    let is_safe = next.scheme() == "https" || next.origin() == at.origin();
    is_safe.then_some(next).ok_or_else(nowhere)
}

/// The target, if it is on the server that was asked: the same origin, or the same name with TLS instead of plain HTTP.
pub(super) fn within_the_registry(at: &str, response: &Response) -> Result<Url, RemoteError> {
    let at = Url::parse(at).map_err(|_| nowhere())?;
    let next = target(&at, response)?;
    if next.origin() == at.origin() || is_upgrade(&at, &next) {
        return Ok(next);
    }
    Err(RemoteError::Nonsense(format!(
        "a redirect to another server, {}; if that is right, name it in the gateway's [upstream]",
        next.origin().ascii_serialization()
    )))
}

pub(super) fn too_many() -> RemoteError {
    RemoteError::Nonsense("too many redirects".to_owned())
}

/// The usual ports only: whatever listens on another port of the same host may be somebody else's.
fn is_upgrade(at: &Url, next: &Url) -> bool {
    let is_usual = |url: &Url, scheme| url.scheme() == scheme && url.port().is_none();
    is_usual(at, "http") && is_usual(next, "https") && at.host() == next.host()
}

fn target(at: &Url, response: &Response) -> Result<Url, RemoteError> {
    let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
    location.and_then(|location| at.join(location).ok()).ok_or_else(nowhere)
}

fn nowhere() -> RemoteError {
    RemoteError::Nonsense("a redirect has no usable address".to_owned())
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::is_upgrade;

    #[test]
    fn only_the_usual_ports_of_one_name_are_one_server() {
        let upgrade = |at: &str, next: &str| is_upgrade(&Url::parse(at).unwrap(), &Url::parse(next).unwrap());
        assert!(upgrade("http://crates.example.org/index/a", "https://crates.example.org/index/a"));
        for (at, next) in [
            ("http://crates.example.org/", "https://example.org/"),
            ("http://crates.example.org:8000/", "https://crates.example.org/"),
            ("http://crates.example.org/", "https://crates.example.org:8443/"),
            ("https://crates.example.org/", "http://crates.example.org/"),
        ] {
            assert!(!upgrade(at, next), "{at} {next}");
        }
    }
}
