//! URLs as the protocol uses them: resolved against another one, with queries added.

use std::fmt::Write as _;

use ureq::http::Uri;
use ureq::http::uri::Authority;

/// `text` with everything escaped that a query would not take for itself.
pub(crate) fn escape(text: &str) -> String {
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut escaped, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                escaped.push(char::from(byte));
            } else {
                let _ = write!(escaped, "%{byte:02X}");
            }
            escaped
        })
}

/// `url` with `name=value` added to its query; the value is escaped.
pub(crate) fn with_query(url: &str, name: &str, value: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{name}={}", escape(value))
}

/// What `location` in an answer to a request of `base` means (RFC 3986, section 5).
///
/// A location that would go from https back to http on the same host stays with https: it
/// comes from registries that do not know that a proxy in front of them speaks TLS.
pub(crate) fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let lower = location.get(..8).unwrap_or(location).to_ascii_lowercase();
    let absolute = if lower.starts_with("http://") || lower.starts_with("https://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else {
        let parent = base
            .path()
            .rsplit_once('/')
            .map_or("", |(parent, _)| parent);
        format!("{scheme}://{authority}{parent}/{location}")
    };
    let absolute = absolute.split('#').next().unwrap_or_default();
    let target: Uri = absolute.parse().ok()?;
    if scheme == "https" && target.scheme_str() == Some("http") && target.host() == base.host() {
        let port = target.port_u16().filter(|port| *port != 80);
        let host = match port {
            Some(_) => target.authority().map(Authority::as_str)?,
            None => authority.as_str(),
        };
        let path = target.path_and_query().map_or("/", |path| path.as_str());
        return format!("https://{host}{path}").parse().ok();
    }
    Some(target)
}

/// Whether credentials for `a` may be shown to `b`: same scheme, host and port.
pub(crate) fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| {
        uri.port_u16().or(match uri.scheme_str() {
            Some("https") => Some(443),
            Some("http") => Some(80),
            _ => None,
        })
    };
    a.scheme() == b.scheme() && a.host() == b.host() && port(a) == port(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved() {
        let base: Uri = "https://host:5000/v2/app/blobs/uploads/?x=1"
            .parse()
            .unwrap();
        for (location, expected) in [
            (
                "/v2/app/blobs/uploads/7?_state=a%3D",
                "https://host:5000/v2/app/blobs/uploads/7?_state=a%3D",
            ),
            ("https://other/x#part", "https://other/x"),
            ("http://other/x", "http://other/x"),
            ("http://host/x?y", "https://host:5000/x?y"),
            ("http://host:5001/x", "https://host:5001/x"),
            ("HTTPS://other/x", "https://other/x"),
            ("//other/x", "https://other/x"),
            ("7?a=b", "https://host:5000/v2/app/blobs/uploads/7?a=b"),
            ("?a=b", "https://host:5000/v2/app/blobs/uploads/?a=b"),
        ] {
            assert_eq!(
                resolve(&base, location)
                    .map(|uri| uri.to_string())
                    .as_deref(),
                Some(expected),
                "{location}"
            );
        }
        assert_eq!(resolve(&base, "https://a b/"), None);
    }

    #[test]
    fn queries_are_added_and_escaped() {
        assert_eq!(
            with_query("http://h/x", "digest", "sha256:a+b"),
            "http://h/x?digest=sha256%3Aa%2Bb"
        );
        assert_eq!(
            with_query("http://h/x?a=b", "c", "d e"),
            "http://h/x?a=b&c=d%20e"
        );
    }

    #[test]
    fn origins_are_compared_with_their_default_ports() {
        let same = |a: &str, b: &str| same_origin(&a.parse().unwrap(), &b.parse().unwrap());
        assert!(same("https://host/a", "https://host:443/b"));
        assert!(!same("https://host/a", "http://host/a"));
        assert!(!same("http://host:1/a", "http://host:2/a"));
        assert!(!same("http://host/a", "http://other/a"));
    }
}
