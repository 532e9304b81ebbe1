//! Addresses as the protocol uses them: resolved against another one, with queries added.

use ureq::http::Uri;
use url::{Url, form_urlencoded};

/// `text` as a value in a query.
pub(crate) fn escape(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// `url` with `name=value` added to its query; the value is escaped. What is there stays as it is,
/// also where it is escaped in another way: it may be signed.
pub(crate) fn with_query(url: &str, name: &str, value: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{name}={}", escape(value))
}

/// What `location` in an answer to a request of `base` means; `None` where that is not HTTP.
///
/// A location that would go from https back to http on the same host stays with https: it
/// comes from registries that do not know that a proxy in front of them speaks TLS.
pub(crate) fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let base = parse(base)?;
    let mut target = base.join(location).ok()?;
    target.set_fragment(None);
    match (base.scheme(), target.scheme()) {
        ("https", "http") if base.host() == target.host() => {
            let port = target.port().or(base.port());
            target.set_scheme("https").ok()?;
            target.set_port(port).ok()?;
        }
        (_, "http" | "https") => {}
        _ => return None,
    }
    target.as_str().parse().ok()
}

/// Whether credentials for `a` may be shown to `b`: same scheme, host and port.
pub(crate) fn same_origin(a: &Uri, b: &Uri) -> bool {
    let origin = |uri| parse(uri).map(|url| url.origin());
    origin(a).is_some() && origin(a) == origin(b)
}

fn parse(uri: &Uri) -> Option<Url> {
    Url::parse(&uri.to_string()).ok()
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
        for location in ["https://a b/", "ftp://host/x", "data:,x"] {
            assert_eq!(resolve(&base, location), None, "{location}");
        }
    }

    #[test]
    fn queries_are_added_and_escaped() {
        assert_eq!(
            with_query("http://h/x", "digest", "sha256:a+b"),
            "http://h/x?digest=sha256%3Aa%2Bb"
        );
        assert_eq!(
            with_query("http://h/x?a=b", "c", "d e"),
            "http://h/x?a=b&c=d+e"
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
