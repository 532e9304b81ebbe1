//! containerd by itself, as Kubernetes' nodes run it.
//!
//! Its interface is gRPC; `ctr`, which is installed with it, speaks that. An import of an OCI
//! archive takes blobs that are not in the archive from the content store, and unpacks the image,
//! which fails where a layer is not there: so an image that was imported is whole.
//!
//! containerd calls `ctr` an unsupported tool for debugging, whose words may change with any
//! release. Why it all the same? The interface below it would bring gRPC, protocol buffers and an
//! asynchronous runtime, ten times the dependencies, for five calls; `ctr` is on every machine that
//! has containerd, since both are one release. So its version is read, and a warning names one that
//! was not tried.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use image::{Documents, LayerTable, hash_unknown_layers};
use nix_compat::tree::Trees;
use oci::reference::full_name;
use oci::{Digest, Platform};

use crate::error::{Error, Tried};
use crate::load::{Loaded, OciArchive, Options};
use crate::missing_layers::wanted_layers;
use crate::observer::Observer;
use crate::send::Archive;
use crate::temporary_name::Owner;
use crate::timeouts::Timeouts;

/// Where containerd listens unless the environment says otherwise.
const ADDRESS: &str = "/run/containerd/containerd.sock";

/// The namespace, in the same case. Kubernetes has `k8s.io`.
const NAMESPACE: &str = "default";

/// Releases of `ctr` that were tried.
const TRIED: [&str; 2] = ["1.6.", "2.1."];

/// Name of an image while it is loaded, before its owner.
const LOADING: &str = "stream-layered.invalid/loading:";

/// How long `ctr` may take to end after it failed to read its input.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A containerd that runs.
pub(crate) struct Containerd {
    address: String,
    namespace: String,
    name: String,
    /// The program `ctr`.
    client: OsString,
    /// Its version, if it tells.
    version: Option<String>,
    timeouts: Timeouts,
}

impl Containerd {
    /// Looks where `CONTAINERD_ADDRESS` says, in the namespace that `CONTAINERD_NAMESPACE` names,
    /// for one that answers within some time.
    pub(crate) fn find(
        environment: impl Fn(&str) -> Option<OsString>,
        client: &OsStr,
        within: Duration,
        timeouts: Timeouts,
    ) -> Result<Self, Tried> {
        let setting = |name, default: &str| {
            let set = environment(name).and_then(|text| text.into_string().ok());
            set.filter(|text| !text.is_empty())
                .unwrap_or_else(|| default.to_owned())
        };
        let address = setting("CONTAINERD_ADDRESS", ADDRESS);
        let address = address.strip_prefix("unix://").unwrap_or(&address);
        let namespace = setting("CONTAINERD_NAMESPACE", NAMESPACE);
        let mut containerd = Self {
            name: format!("containerd at {address}, namespace {namespace}"),
            address: address.to_owned(),
            namespace,
            client: client.to_owned(),
            version: None,
            timeouts,
        };
        let tried = |why: String| Tried {
            place: address.to_owned(),
            why,
        };
        // `ctr` waits ten seconds for a connection on its own, and for an answer for ever.
        let (connect, total) = (format!("{within:?}"), format!("{:?}", within * 2));
        let words = [
            "--connect-timeout",
            &connect,
            "--timeout",
            &total,
            "version",
        ];
        match containerd.run("cannot ask for its version", &words) {
            Ok(text) => {
                containerd.version = client_version(&text);
                Ok(containerd)
            }
            Err(Error::Client { source, .. }) => Err(tried(format!("cannot run ctr: {source}"))),
            Err(Error::Refused { message, .. }) => Err(tried(message)),
            Err(error) => Err(tried(error.to_string())),
        }
    }

    /// The engine's name, where it listens, and the namespace.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// See [`crate::Engine::load`].
    pub(crate) fn load(
        &self,
        table: &LayerTable<'_>,
        trees: &dyn Trees,
        options: Options,
        observer: &dyn Observer,
    ) -> Result<Loaded, Error> {
        if let Some(warning) = self.version.as_deref().and_then(untried) {
            observer.warning(&warning);
        }
        self.remove_names(Owner::is_gone);
        // Of this process alone, so that two that load the same image do not take it from each other.
        let own = format!("{LOADING}{}", Owner::this_process());
        let archive = OciArchive {
            table,
            names: std::slice::from_ref(&own),
            trees,
            options,
            observer,
        };
        let loaded = self.load_as(&archive);
        let loaded = loaded.and_then(|loaded| {
            for name in &table.image().repo_tags {
                let name = full_name(name);
                let what = format!("cannot name the image {name}");
                self.run(&what, &["images", "tag", "--force", &own, &name])?;
            }
            Ok(loaded)
        });
        // Also what failed half way may have that name.
        let removed = self.run("cannot remove a name", &["images", "remove", &own]);
        let loaded = loaded?;
        removed?;
        Ok(loaded)
    }

    /// Loads an image under the names of the archive.
    fn load_as(&self, archive: &OciArchive<'_>) -> Result<Loaded, Error> {
        let table = archive.table;
        // What is remembered is believed: if it is wrong, containerd has no such layer.
        hash_unknown_layers(table, archive.trees, archive.options.jobs)?;
        let present = self.blobs()?;
        let blobs = table.blobs()?;
        let left_out = blobs.iter().map(|blob| present.contains(&blob.digest));
        let mut left_out: Vec<bool> = left_out.collect();
        let platform = &table.image().platform;
        let send = |left_out: &[bool]| archive.send(left_out, |bytes| self.import(platform, bytes));
        match send(&left_out) {
            Err(Error::Refused { .. }) if left_out.contains(&true) => {
                archive.observer.again();
                left_out.fill(false);
                send(&left_out)?;
            }
            sent => sent?,
        }
        let image_id = Documents::new(table, &BTreeMap::new())?.image_id;
        Ok(Loaded::new(image_id, &wanted_layers(table)?, &left_out))
    }

    /// Removes the temporary names of those whom `is_meant` names. A name that stays keeps its
    /// image from being collected, and is no reason to fail.
    pub(crate) fn remove_names(&self, is_meant: impl Fn(&Owner) -> bool) {
        let names = self.run("cannot ask which images there are", &["images", "ls", "-q"]);
        for name in names.unwrap_or_default().lines() {
            let owner = name.strip_prefix(LOADING).and_then(Owner::parse);
            if owner.is_some_and(|owner| is_meant(&owner)) {
                let _ = self.run("cannot remove a name", &["images", "remove", name]);
            }
        }
    }

    /// Digests of all blobs in the content store.
    fn blobs(&self) -> Result<BTreeSet<Digest>, Error> {
        let text = self.run("cannot ask which blobs there are", &["content", "ls", "-q"])?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Has `ctr` import an archive.
    fn import(&self, platform: &Platform, mut archive: Archive<'_>) -> Result<(), Error> {
        const WHAT: &str = "cannot import the image";
        let client = |source| client_error(WHAT, source);
        let platform = platform.to_string();
        let mut child = self
            .command(&["images", "import", "--platform", &platform, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(client)?;
        if let Some(mut stdin) = child.stdin.take()
            && io::copy(&mut archive, &mut stdin).is_err()
        {
            // What it has is no image. It sees the end of its input and says why it stopped, if
            // it was the one that stopped.
            drop(stdin);
            stop(&mut child);
        }
        let output = child.wait_with_output().map_err(client)?;
        self.succeeded(WHAT, &output)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.client);
        command.args(["--address", &self.address, "--namespace", &self.namespace]);
        command.args(words);
        command
    }

    /// Runs `ctr`, and gives what it prints.
    fn run(&self, what: &str, words: &[&str]) -> Result<String, Error> {
        let timeout = format!("{:?}", self.timeouts.request);
        let output = self
            .command(&[&["--timeout", &timeout], words].concat())
            .stdin(Stdio::null())
            .output()
            .map_err(|source| client_error(what, source))?;
        self.succeeded(what, &output)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What `ctr` says where it failed.
    fn succeeded(&self, what: &str, output: &process::Output) -> Result<(), Error> {
        if output.status.success() {
            return Ok(());
        }
        let told = String::from_utf8_lossy(&output.stderr);
        let last = told.lines().rfind(|line| !line.trim().is_empty());
        let message = last.unwrap_or("nothing").trim_start_matches("ctr: ");
        Err(Error::Refused {
            what: what.to_owned(),
            engine: self.name.clone(),
            message: message.to_owned(),
        })
    }
}

/// Waits for a process that has nothing more to do, and ends it if it goes on.
fn stop(child: &mut Child) {
    let start = Instant::now();
    while start.elapsed() < LAST_WORDS {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
}

/// The version that `ctr version` gives of itself, before that of containerd.
fn client_version(text: &str) -> Option<String> {
    let lines = text.lines().map(str::trim);
    let mut versions = lines.filter_map(|line| line.strip_prefix("Version:"));
    let version = versions.next()?.trim().trim_start_matches('v');
    (!version.is_empty()).then(|| version.to_owned())
}

/// A warning about a version that was not tried.
fn untried(version: &str) -> Option<String> {
    let is_tried = TRIED.iter().any(|release| version.starts_with(release));
    (!is_tried).then(|| {
        let tried = TRIED.map(|release| format!("{release}x")).join(" and ");
        format!("ctr {version} was not tried with this program ({tried} were)")
    })
}

fn client_error(what: &str, source: io::Error) -> Error {
    Error::Client {
        what: what.to_owned(),
        client: "ctr",
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_ctr_is_read_and_judged() {
        let text = "Client:\n  Version:  1.6.20~ds1\n  Revision: x\n\nServer:\n  Version:  9\n";
        assert_eq!(client_version(text).as_deref(), Some("1.6.20~ds1"));
        assert_eq!(
            client_version("Client:\n  Version:  v2.1.9\n").as_deref(),
            Some("2.1.9")
        );
        assert_eq!(client_version(""), None);
        assert_eq!(untried("1.6.20~ds1"), None);
        assert_eq!(untried("2.1.9"), None);
        let warning = untried("3.0.0").unwrap();
        assert!(warning.contains("ctr 3.0.0 was not tried"), "{warning}");
    }
}
