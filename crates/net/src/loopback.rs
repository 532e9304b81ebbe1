//! Which hosts are this machine.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether a host, with or without a port, is this machine by its text alone: an address of the
/// loopback device, `localhost`, or a name below it (RFC 6761, section 6.3).
pub fn is_loopback(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest
            .split_once(']')
            .and_then(|(address, _)| address.parse::<Ipv6Addr>().ok())
            .is_some_and(|address| address.is_loopback());
    }
    let host = authority
        .split_once(':')
        .map_or(authority, |(host, _)| host);
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for host in [
            "localhost",
            "localhost:5000",
            "registry.localhost",
            "127.0.0.1",
            "127.1.2.3:80",
            "[::1]",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "example.org",
            "localhost.example.org",
            "notlocalhost",
            "128.0.0.1",
            "127.0.0.1.example.org",
            "[::2]:5000",
            "[::1",
            "",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
