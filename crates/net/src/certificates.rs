//! Which certificate authorities are trusted, and certificates of this side.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::Error;

/// Longest file with certificates, in bytes; those of systems have a few hundred kB.
const LONGEST: u64 = 16 << 20;

/// Variables that name a file of authorities; the first that is set counts. Nix sets the first for
/// its own programs, the second is OpenSSL's.
const VARIABLES: [&str; 2] = ["NIX_SSL_CERT_FILE", "SSL_CERT_FILE"];

/// What Nix sets them to in builds that must not reach anything.
const NO_FILE: &str = "/no-cert-file.crt";

/// Where systems keep their authorities, those included that a company has added.
const BUNDLES: [&str; 5] = [
    // Debian, Arch, Alpine, NixOS.
    "/etc/ssl/certs/ca-certificates.crt",
    // NixOS's and openSUSE's older name.
    "/etc/ssl/certs/ca-bundle.crt",
    // Fedora, Red Hat.
    "/etc/pki/tls/certs/ca-bundle.crt",
    // openSUSE.
    "/etc/ssl/ca-bundle.pem",
    // macOS, OpenBSD, Alpine.
    "/etc/ssl/cert.pem",
];

/// The certificate authorities to trust: the file that `NIX_SSL_CERT_FILE` or `SSL_CERT_FILE`
/// names, else the system's bundle, else the authorities that are built in (Mozilla's); and
/// `files` beside them.
///
/// # Errors
///
/// A file that a variable names or that is one of `files` cannot be read, or holds no certificate.
/// It is not passed over: whoever names a file does not mean other authorities.
pub fn trusted_certificates(
    environment: impl Fn(&str) -> Option<OsString>,
    files: &[PathBuf],
) -> Result<RootCerts, Error> {
    let bundles = BUNDLES.map(Path::new);
    let machine = machine_bundle(environment, &bundles);
    if machine.is_none() && files.is_empty() {
        return Ok(RootCerts::WebPki);
    }
    let mut certificates = Vec::new();
    if let Some(Bundle { origin, path }) = &machine {
        certificates.extend(read(origin, path)?);
    }
    for path in files {
        certificates.extend(read(&path.display().to_string(), path)?);
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// TLS with the files of Docker's clients in a directory: `ca.pem` holds the authorities that the server's
/// certificate comes from, those of the machine where there is no such file; `cert.pem` and `key.pem` are
/// the client's own, if they are there. Without `verify`, any server is believed.
///
/// # Errors
///
/// A file cannot be read, or is not what its name says.
pub fn client_tls(
    environment: impl Fn(&str) -> Option<OsString>,
    directory: &Path,
    verify: bool,
) -> Result<TlsConfig, Error> {
    let file = |name: &str| Some(directory.join(name)).filter(|path| path.exists());
    let shown = |path: &Path| path.display().to_string();
    let roots = match file("ca.pem") {
        Some(path) => RootCerts::new_with_certs(&read(&shown(&path), &path)?),
        None => trusted_certificates(environment, &[])?,
    };
    let own = match (file("cert.pem"), file("key.pem")) {
        (Some(certificates), Some(key)) => {
            let chain = read(&shown(&certificates), &certificates)?;
            let unusable = |why: String| Error::Key {
                path: key.clone(),
                why,
            };
            let text = files::read(&key, LONGEST).map_err(|error| unusable(error.to_string()))?;
            let private = PrivateKey::from_pem(&text).map_err(|_| {
                unusable("it holds no key in PEM form without a passphrase".to_owned())
            })?;
            Some(ClientCert::new_with_certs(&chain, private))
        }
        _ => None,
    };
    let tls = TlsConfig::builder().root_certs(roots).client_cert(own);
    Ok(tls.disable_verification(!verify).build())
}

/// A file of authorities.
#[derive(Debug, PartialEq, Eq)]
struct Bundle {
    /// The file as errors name it.
    origin: String,
    path: PathBuf,
}

fn machine_bundle(
    environment: impl Fn(&str) -> Option<OsString>,
    bundles: &[&Path],
) -> Option<Bundle> {
    let named = VARIABLES.into_iter().find_map(|name| {
        let value = environment(name).filter(|value| !value.is_empty() && value != NO_FILE)?;
        let path = PathBuf::from(value);
        let origin = format!("{name}={}", path.display());
        Some(Bundle { origin, path })
    });
    named.or_else(|| {
        let path = bundles.iter().find(|path| path.is_file())?;
        let origin = path.display().to_string();
        let path = path.to_path_buf();
        Some(Bundle { origin, path })
    })
}

fn read(origin: &str, path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let unusable = |why: String| Error::Certificates {
        origin: origin.to_owned(),
        why,
    };
    let text = files::read(path, LONGEST).map_err(|error| unusable(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) =
            item.map_err(|error| unusable(error.to_string()))?
        {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(unusable("it has none".to_owned()));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn bundle(variables: &[(&str, &str)], bundles: &[&Path]) -> Option<String> {
        let environment = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| OsString::from(value))
        };
        machine_bundle(environment, bundles).map(|bundle| bundle.origin)
    }

    #[test]
    fn variables_go_before_the_systems_bundle() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.crt");
        fs::write(&file, "").unwrap();
        let missing = directory.path().join("missing.crt");
        let there = file.display().to_string();
        let system: &[&Path] = &[&missing, &file];
        for (variables, bundles, expected) in [
            (&[][..], &[][..], None),
            (&[], system, Some(there.as_str())),
            (&[("SSL_CERT_FILE", "")], system, Some(&there)),
            (&[("SSL_CERT_FILE", NO_FILE)], system, Some(&there)),
            (&[("SSL_CERT_FILE", "/a")], system, Some("SSL_CERT_FILE=/a")),
            (
                &[("SSL_CERT_FILE", "/a"), ("NIX_SSL_CERT_FILE", "/b")],
                system,
                Some("NIX_SSL_CERT_FILE=/b"),
            ),
        ] {
            assert_eq!(bundle(variables, bundles).as_deref(), expected);
        }
    }

    #[test]
    fn a_file_that_is_named_must_hold_certificates() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.crt");
        fs::write(&file, "no certificate").unwrap();
        for (variable, files, expected) in [
            (
                Some("/there/is/none"),
                vec![],
                "SSL_CERT_FILE=/there/is/none: ",
            ),
            (
                None,
                vec![PathBuf::from("/there/is/none")],
                "/there/is/none: ",
            ),
            (None, vec![file], "it has none"),
        ] {
            let environment = |name: &str| {
                variable
                    .filter(|_| name == "SSL_CERT_FILE")
                    .map(OsString::from)
            };
            let error = trusted_certificates(environment, &files).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
