//! A registry that runs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::peer;

/// A registry that takes everything, and a repository of a test's own there.
pub struct Registry {
    /// Host and port.
    pub host: String,
    /// The repository.
    pub repository: String,
    /// What it has answered.
    pub log: PathBuf,
    /// skopeo, which reads it.
    pub skopeo: PathBuf,
}

impl Registry {
    /// The one that runs, with a repository for this test.
    pub fn find(test: &str) -> Self {
        // Another run's images would be found there.
        let unique = std::process::id();
        Self {
            host: peer::setting("STREAM_LAYERED_TEST_REGISTRY"),
            repository: format!("stream-layered-test/{test}-{unique}"),
            log: peer::program("STREAM_LAYERED_TEST_REGISTRY_LOG"),
            skopeo: peer::program("STREAM_LAYERED_TEST_SKOPEO"),
        }
    }

    /// The name of an image there.
    pub fn reference(&self, tag: &str) -> String {
        format!("{}/{}:{tag}", self.host, self.repository)
    }

    /// Lines of the log about this repository: methods and paths.
    pub fn requests(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap();
        let path = format!("/v2/{}/", self.repository);
        text.lines()
            .filter(|line| !line.starts_with("time="))
            .filter_map(|line| line.split('"').nth(1))
            .filter(|request| request.contains(&path))
            .map(str::to_owned)
            .collect()
    }

    /// The manifest as the registry gives it.
    pub fn manifest(&self, tag: &str) -> Option<Vec<u8>> {
        let source = format!("docker://{}", self.reference(tag));
        let output = Command::new(&self.skopeo)
            .args(["inspect", "--raw", "--tls-verify=false", &source])
            .output()
            .unwrap();
        output.status.success().then_some(output.stdout)
    }
}
