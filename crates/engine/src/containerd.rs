//! containerd by itself, as Kubernetes' nodes run it.
//!
//! Its interface is gRPC; `ctr`, which is installed with it, speaks that. An import of an OCI
//! archive takes blobs that are not in the archive from the content store, and unpacks the image,
//! which fails where a layer is not there: so an image that was imported is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io;
use std::mem;
use std::process::{self, Command, Stdio};

use image::oci::{Documents, LayerBlob};
use image::{Digest, Image, take_digests};
use nix_compat::tree::Trees;
use oci::reference::full_name;

use crate::load::{OciArchive, announce, believe, plain_blobs, promise};
use crate::send::Archive;
use crate::{Error, Loaded, Observer, Options, Tried};

/// Where containerd listens unless the environment says otherwise.
const ADDRESS: &str = "/run/containerd/containerd.sock";

/// The namespace, in the same case. Kubernetes has `k8s.io`.
const NAMESPACE: &str = "default";

/// A containerd that runs.
pub(crate) struct Containerd {
    address: String,
    namespace: String,
    name: String,
}

impl Containerd {
    /// Looks where `CONTAINERD_ADDRESS` says, in the namespace that `CONTAINERD_NAMESPACE` names.
    pub(crate) fn find() -> Result<Self, Tried> {
        let setting = |name, default: &str| {
            let set = env::var(name).ok().filter(|text| !text.is_empty());
            set.unwrap_or_else(|| default.to_owned())
        };
        let address = setting("CONTAINERD_ADDRESS", ADDRESS);
        let address = address.strip_prefix("unix://").unwrap_or(&address);
        let namespace = setting("CONTAINERD_NAMESPACE", NAMESPACE);
        let containerd = Self {
            name: format!("containerd at {address}, namespace {namespace}"),
            address: address.to_owned(),
            namespace,
        };
        let tried = |why: String| Tried {
            place: address.to_owned(),
            why,
        };
        match containerd.run("cannot ask for its version", &["version"]) {
            Ok(_) => Ok(containerd),
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
        image: &mut Image,
        trees: &dyn Trees,
        options: Options,
        observer: &dyn Observer,
    ) -> Result<Loaded, Error> {
        let names = mem::take(&mut image.repo_tags);
        // Of this program alone, so that two that load the same image do not take it from each other.
        let own = format!("stream-layered.invalid/loading:{}", process::id());
        image.repo_tags = vec![own.clone()];
        let loaded = self.load_unnamed(image, trees, options, observer);
        let loaded = loaded.and_then(|loaded| {
            for name in &names {
                let name = full_name(name);
                let what = format!("cannot name the image {name}");
                self.run(&what, &["images", "tag", "--force", &own, &name])?;
            }
            Ok(loaded)
        });
        // Also what failed half way may have that name.
        let removed = self.run("cannot remove a name", &["images", "remove", &own]);
        image.repo_tags = names;
        let loaded = loaded?;
        removed?;
        Ok(loaded)
    }

    fn load_unnamed(
        &self,
        image: &mut Image,
        trees: &dyn Trees,
        options: Options,
        observer: &dyn Observer,
    ) -> Result<Loaded, Error> {
        let before = believe(image);
        let mut layers = take_digests(&image.layers(), trees, &image.rules, options.jobs)?;
        let plain = plain_blobs(image, trees, options.jobs, &layers)?;
        let blobs: Vec<LayerBlob> = plain.all().unwrap_or_default();
        let present = self.blobs()?;
        let left_out = blobs.iter().map(|blob| present.contains(&blob.digest));
        let mut left_out: Vec<bool> = left_out.collect();
        let mut send = |left_out: &[bool]| {
            promise(image, &before, &layers, left_out);
            announce(observer, &layers, left_out);
            let archive = OciArchive {
                image,
                trees,
                options,
                observer,
                layers: &layers,
                blobs: &blobs,
            };
            archive.send(left_out, |archive| {
                self.import(&image.architecture, archive)
            })
        };
        let sent = match send(&left_out) {
            Err(Error::Refused { .. }) if left_out.contains(&true) => {
                observer.again();
                left_out.fill(false);
                send(&left_out)?
            }
            sent => sent?,
        };
        if let Some(sent) = sent {
            layers = sent;
        }
        let blobs = plain_blobs(image, trees, options.jobs, &layers)?;
        let image_id = Documents::new(&blobs, &BTreeMap::new())?.image_id;
        Ok(Loaded::new(image_id, layers, &left_out))
    }

    /// Digests of all blobs in the content store.
    fn blobs(&self) -> Result<BTreeSet<Digest>, Error> {
        let text = self.run("cannot ask which blobs there are", &["content", "ls", "-q"])?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Has `ctr` import an archive.
    fn import(&self, architecture: &str, mut archive: Archive<'_>) -> Result<(), Error> {
        const WHAT: &str = "cannot import the image";
        let client = |source| client_error(WHAT, source);
        let platform = format!("linux/{architecture}");
        let mut child = self
            .command(&["images", "import", "--platform", &platform, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(client)?;
        if let Some(mut stdin) = child.stdin.take()
            && let Err(error) = io::copy(&mut archive, &mut stdin)
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            // What it has is no image; it need not look.
            let _ = child.kill();
        }
        let output = child.wait_with_output().map_err(client)?;
        self.succeeded(WHAT, &output)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.args(["--address", &self.address, "--namespace", &self.namespace]);
        command.args(words);
        command
    }

    /// Runs `ctr`, and gives what it prints.
    fn run(&self, what: &str, words: &[&str]) -> Result<String, Error> {
        let output = self
            .command(words)
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

fn client_error(what: &str, source: io::Error) -> Error {
    Error::Client {
        what: what.to_owned(),
        client: "ctr",
        source,
    }
}
