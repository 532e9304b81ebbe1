//! What a store path is made from, as far as its name tells.

use nix_compat::store_path::package_name;

/// The name of a store path in its parts, as Nix names them: a package's name ends where the first
/// part starts that is not a word (`perl-modules-5.36-5.36.0` is `perl-modules`), and what follows
/// the version as a word of its own is the output (`openssl-3.0.13-bin`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DerivationName<'a> {
    /// The package's name: what stays the same from one version to the next.
    pub(crate) package: &'a str,
    /// The name without the output: outputs of one derivation share it.
    pub(crate) derivation: &'a str,
}

impl<'a> DerivationName<'a> {
    pub(crate) fn parse(name: &'a str) -> Self {
        let package = package_name(name);
        if package == name {
            return Self {
                package,
                derivation: name,
            };
        }
        let derivation = match name.rsplit_once('-') {
            Some((before, output))
                if before.len() > package.len()
                    && output.bytes().all(|b| b.is_ascii_alphabetic()) =>
            {
                before
            }
            _ => name,
        };
        Self {
            package,
            derivation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_nixpkgs_and_others_write_them() {
        for (name, package, derivation) in [
            ("hello-2.10", "hello", "hello-2.10"),
            ("openssl-3.0.13-bin", "openssl", "openssl-3.0.13"),
            ("openssl-3.0.13", "openssl", "openssl-3.0.13"),
            (
                "python3.12-requests-2.32.3",
                "python3.12-requests",
                "python3.12-requests-2.32.3",
            ),
            (
                "perl-modules-5.36-5.36.0",
                "perl-modules",
                "perl-modules-5.36-5.36.0",
            ),
            (
                "hook-unstable-2024-01-02",
                "hook-unstable",
                "hook-unstable-2024-01-02",
            ),
            ("app", "app", "app"),
            ("nginx.conf", "nginx.conf", "nginx.conf"),
            ("a-", "a-", "a-"),
            ("-1", "", "-1"),
        ] {
            assert_eq!(
                DerivationName::parse(name),
                DerivationName {
                    package,
                    derivation
                },
                "{name}"
            );
        }
    }
}
