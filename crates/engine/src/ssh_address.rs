//! Addresses of engines behind ssh.

use std::fmt;

use crate::choice::Choice;

/// `ssh://[user@]host[:port][/path]`, as docker and podman have it; `ssh+containerd://…` and so on for one
/// kind of engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshAddress {
    /// The engine that is wanted there.
    pub choice: Choice,
    /// Who logs in, if it is said.
    pub user: Option<String>,
    /// A host's name or address, or an alias in the configuration of ssh. It does not start with `-`.
    pub host: String,
    /// The port of ssh, if it is said.
    pub port: Option<u16>,
    /// The engine's socket there, absolute, if it is said.
    pub path: Option<String>,
}

impl SshAddress {
    /// Reads an address; nothing where the text does not start as one does. The error says what is wrong.
    pub fn parse(text: &str) -> Option<Result<Self, &'static str>> {
        let (scheme, rest) = text.split_once("://")?;
        let choice = match scheme {
            "ssh" => Choice::Any,
            "ssh+docker" => Choice::Docker,
            "ssh+podman" => Choice::Podman,
            "ssh+containerd" => Choice::Containerd,
            _ => return None,
        };
        Some(Self::parse_rest(choice, rest))
    }

    fn parse_rest(choice: Choice, rest: &str) -> Result<Self, &'static str> {
        let (authority, path) = match rest.find('/') {
            Some(slash) => (&rest[..slash], &rest[slash..]),
            None => (rest, ""),
        };
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err("ssh takes no password in an address; use a key");
        }
        let (host, port) = match host.strip_prefix('[') {
            // An IPv6 address.
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("its `[` is not closed")?;
                match port.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if port.is_empty() => (host, None),
                    None => return Err("after `]` comes a port or nothing"),
                }
            }
            None => match host.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host, None),
            },
        };
        // `ssh` would take it for an option, and options can name programs to run.
        let is_option = |text: &str| text.starts_with('-');
        let is_odd = |text: &str| text.chars().any(|c| c.is_control() || c.is_whitespace());
        if host.is_empty() || user.is_some_and(str::is_empty) {
            return Err("its host or user is empty");
        }
        if is_option(host) || user.is_some_and(is_option) {
            return Err("no host and no user starts with `-`");
        }
        if is_odd(authority) || path.chars().any(char::is_control) {
            return Err("it has blanks or control characters");
        }
        let port = port.map(|port| port.parse().map_err(|_| "its port is not a number"));
        Ok(Self {
            choice,
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port: port.transpose()?,
            path: Some(path)
                .filter(|path| !path.is_empty() && *path != "/")
                .map(str::to_owned),
        })
    }
}

impl fmt::Display for SshAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.choice {
            Choice::Any => "ssh://",
            Choice::Docker => "ssh+docker://",
            Choice::Podman => "ssh+podman://",
            Choice::Containerd => "ssh+containerd://",
        })?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.path.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        let parse = |text| SshAddress::parse(text).unwrap();
        for text in [
            "ssh://there",
            "ssh://me@there:2222",
            "ssh+containerd://me@there",
            "ssh+docker://[::1]:22",
            "ssh+podman://there/run/podman/podman.sock",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        let address = parse("ssh://me@there:22/a b").unwrap();
        assert_eq!(address.user.as_deref(), Some("me"));
        assert_eq!((&*address.host, address.port), ("there", Some(22)));
        assert_eq!(address.path.as_deref(), Some("/a b"));
        assert_eq!(parse("ssh://there/").unwrap().path, None);
        assert_eq!(SshAddress::parse("tcp://there"), None);
        for text in [
            "ssh://",
            "ssh://@there",
            "ssh://me@",
            "ssh://-oProxyCommand=x",
            "ssh://-l@there",
            "ssh://me:secret@there",
            "ssh://the re",
            "ssh://there:port",
            "ssh://there:65536",
            "ssh://[::1",
            "ssh://[::1]22",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
