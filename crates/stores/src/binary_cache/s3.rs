//! Buckets of S3, or of servers that speak as it does.

use std::time::Duration;

use rusty_s3::actions::{GetObject, S3Action};
use rusty_s3::{Bucket, Credentials, UrlStyle};
use url::Url;

use super::aws_profile::Profile;
use super::environment::Environment;
use super::error::BinaryCacheError;
use super::http::Request;

/// How long a signed request holds. Each try signs anew.
const VALIDITY: Duration = Duration::from_secs(3600);

/// A bucket, or a folder in one.
#[derive(Debug)]
pub(super) struct S3 {
    bucket: Bucket,
    /// Empty, or ends with `/`.
    prefix: String,
    /// Without them, only a public bucket answers.
    credentials: Option<Credentials>,
}

impl S3 {
    /// `s3://BUCKET[/FOLDER]?endpoint=…&region=…&profile=…&scheme=…`, as for Nix.
    pub(super) fn open(url: &Url, environment: &Environment) -> Result<Self, BinaryCacheError> {
        let wrong = |why: &str| BinaryCacheError::Address {
            url: url.to_string(),
            why: why.to_owned(),
        };
        let parameter = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs
                .find(|(key, value)| key == name && !value.is_empty())
                .map(|(_, value)| value.into_owned())
        };
        let name = url
            .host_str()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| wrong("it names no bucket"))?
            .to_owned();
        let profile = parameter("profile");
        let aws = Profile::read(environment, profile.as_deref())?;
        let region = parameter("region")
            .or_else(|| environment.get("AWS_REGION").map(str::to_owned))
            .or_else(|| environment.get("AWS_DEFAULT_REGION").map(str::to_owned))
            .or_else(|| aws.get("region").map(str::to_owned))
            .unwrap_or_else(|| "us-east-1".to_owned());
        let scheme = parameter("scheme").unwrap_or_else(|| "https".to_owned());
        let (endpoint, style) = match parameter("endpoint") {
            Some(endpoint) if endpoint.contains("://") => (endpoint, UrlStyle::Path),
            Some(endpoint) => (format!("{scheme}://{endpoint}"), UrlStyle::Path),
            None => (
                format!("{scheme}://s3.{region}.amazonaws.com"),
                // A certificate for one name below the server's does not hold for two.
                if name.contains('.') {
                    UrlStyle::Path
                } else {
                    UrlStyle::VirtualHost
                },
            ),
        };
        let endpoint: Url = endpoint
            .parse()
            .map_err(|error| wrong(&format!("its endpoint `{endpoint}` is not a URL: {error}")))?;
        if !matches!(endpoint.scheme(), "http" | "https") {
            return Err(wrong("its endpoint is not reached by http or https"));
        }
        let bucket = Bucket::new(endpoint, style, name, region)
            .map_err(|error| wrong(&error.to_string()))?;
        let mut prefix = url.path().trim_matches('/').to_owned();
        if !prefix.is_empty() {
            prefix.push('/');
        }
        Ok(Self {
            bucket,
            prefix,
            credentials: aws.credentials()?,
        })
    }

    /// A signed request for a file.
    pub(super) fn request(&self, name: &str) -> Request {
        let key = format!("{}{name}", self.prefix);
        let get = GetObject::new(&self.bucket, self.credentials.as_ref(), &key);
        Request {
            url: get.sign(VALIDITY).into(),
            authorization: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn open(url: &str, variables: &[(&str, &str)]) -> S3 {
        S3::open(&url.parse().unwrap(), &environment(variables)).unwrap()
    }

    #[test]
    fn addresses() {
        for (url, expected) in [
            ("s3://b", "https://b.s3.us-east-1.amazonaws.com/x.narinfo"),
            (
                "s3://b.c?region=eu-west-1",
                "https://s3.eu-west-1.amazonaws.com/b.c/x.narinfo",
            ),
            (
                "s3://b/some/folder/",
                "https://b.s3.us-east-1.amazonaws.com/some/folder/x.narinfo",
            ),
            (
                "s3://b?endpoint=localhost:9000&scheme=http",
                "http://localhost:9000/b/x.narinfo",
            ),
            (
                "s3://b?endpoint=http%3A%2F%2F127.0.0.1:9000",
                "http://127.0.0.1:9000/b/x.narinfo",
            ),
            (
                "s3://b?endpoint=https://s3.example&profile=p",
                "https://s3.example/b/x.narinfo",
            ),
        ] {
            assert_eq!(open(url, &[]).request("x.narinfo").url, expected);
        }
        let region = open("s3://b", &[("AWS_REGION", "eu-north-1")]);
        assert!(region.request("x").url.contains("s3.eu-north-1."));
        for url in ["s3://", "s3://b?endpoint=ftp://x", "s3://b?endpoint=a%20b"] {
            let error = url
                .parse()
                .map_err(|_| ())
                .and_then(|url| S3::open(&url, &environment(&[])).map_err(|_| ()));
            assert!(error.is_err(), "{url}");
        }
    }

    #[test]
    fn credentials_from_the_environment_and_files() {
        let directory = tempfile::tempdir().unwrap();
        let credentials = directory.path().join("credentials");
        let config = directory.path().join("config");
        std::fs::write(
            &credentials,
            "[default]\naws_access_key_id = one\naws_secret_access_key=1\n\
             [ci]\naws_access_key_id = two\naws_secret_access_key = 2\naws_session_token = t\n",
        )
        .unwrap();
        std::fs::write(
            &config,
            "[default]\nregion = eu-one-1\ns3 =\n  region = no\n# region = no\n[profile ci]\nregion = eu-two-1\n",
        )
        .unwrap();
        let files = [
            ("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap()),
            ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ];
        let variables = [("AWS_ACCESS_KEY_ID", "env"), ("AWS_SECRET_ACCESS_KEY", "0")];
        let profile = ("AWS_PROFILE", "ci");
        for (url, variables, key, region) in [
            ("s3://b", files.to_vec(), Some("one"), "eu-one-1"),
            ("s3://b?profile=ci", files.to_vec(), Some("two"), "eu-two-1"),
            (
                "s3://b",
                [&files[..], &[profile]].concat(),
                Some("two"),
                "eu-two-1",
            ),
            (
                "s3://b",
                [&files[..], &variables].concat(),
                Some("env"),
                "eu-one-1",
            ),
            (
                "s3://b?profile=ci",
                [&files[..], &variables].concat(),
                Some("two"),
                "eu-two-1",
            ),
            ("s3://b?profile=none", variables.to_vec(), None, "us-east-1"),
            ("s3://b", vec![], None, "us-east-1"),
        ] {
            let s3 = open(url, &variables);
            assert_eq!(s3.credentials.as_ref().map(Credentials::key), key, "{url}");
            assert_eq!(s3.bucket.region(), region, "{url}");
            let signed = s3.request("x").url;
            assert_eq!(signed.contains("X-Amz-Signature="), key.is_some());
            assert_eq!(signed.contains("X-Amz-Security-Token="), key == Some("two"));
        }
    }
}
