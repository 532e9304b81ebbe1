//! containerd by itself, as Kubernetes' nodes run it.
//!
//! Its interface is gRPC; `ctr`, which is installed with it, speaks that. An import of an OCI
//! archive takes blobs that are not in the archive from the content store, and unpacks the image,
//! which fails where a layer is not there: so an image that was imported is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{self, Read as _};
use std::mem;
use std::process::{ChildStdin, Command, Stdio, id};

use image::oci::{self, Documents, LayerBlob, LayerBlobs};
use image::{Digest, Image, Layer, LayerDigest, Output, Promise, take_digests};
use nix_compat::tree::Trees;

use crate::load::plain_blobs;
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
        let own = format!("stream-layered.invalid/loading:{}", id());
        image.repo_tags = vec![own.clone()];
        let loaded = self.load_unnamed(image, trees, options, observer);
        let loaded = loaded.and_then(|loaded| {
            for name in &names {
                let name = oci::containerd_name(name);
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
        let promises = image.store_layers.iter().map(|layer| layer.promise);
        let promises: Vec<Option<Promise>> = promises.collect();
        // What is remembered is believed here: if it is wrong, there is no such blob.
        for layer in &mut image.store_layers {
            layer.promise = layer.promise.map(Promise::given);
        }
        let layers = take_digests(&image.layers(), trees, &image.rules, options.jobs)?;
        let present = self.blobs()?;
        let above_base = image.base.as_ref().map_or(0, |base| base.layers.len());
        for (index, layer) in image.store_layers.iter_mut().enumerate() {
            let digest = layers[above_base + index];
            layer.promise = match promises[index] {
                // It is to be read, so that its length can be compared.
                Some(Promise::Remembered(digest)) if !present.contains(&digest.diff_id) => {
                    Some(Promise::Remembered(digest))
                }
                _ => Some(Promise::Given(digest)),
            };
        }
        let mut sending = Sending {
            present,
            layers: &layers,
            observer,
        };
        let blobs = plain_blobs(image, trees, options.jobs, &layers)?;
        let mut loaded = self.import(&blobs, &sending, options);
        if matches!(loaded, Err(Error::Refused { .. })) && !sending.present.is_empty() {
            observer.again();
            sending.present.clear();
            loaded = self.import(&blobs, &sending, options);
        }
        loaded
    }

    /// Digests of all blobs in the content store.
    fn blobs(&self) -> Result<BTreeSet<Digest>, Error> {
        let text = self.run("cannot ask which blobs there are", &["content", "ls", "-q"])?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    fn import(
        &self,
        blobs: &LayerBlobs<'_>,
        sending: &Sending<'_>,
        options: Options,
    ) -> Result<Loaded, Error> {
        const WHAT: &str = "cannot import the image";
        let known = (0..blobs.len()).map(|index| blobs.get(index));
        let is_missing = |blob: &Option<LayerBlob>| {
            blob.is_none_or(|blob| !sending.present.contains(&blob.digest))
        };
        let missing: Vec<bool> = known.map(|blob| is_missing(&blob)).collect();
        let sent = sending.layers.iter().zip(&missing);
        let sent = sent
            .filter(|(_, missing)| **missing)
            .map(|(layer, _)| layer.size);
        let (count, bytes) = (sent.clone().count(), sent.sum());
        sending.observer.missing(count, missing.len(), bytes);
        let platform = format!("linux/{}", blobs.image().architecture);
        let words = ["images", "import", "--platform", &platform, "-"];
        let options = oci::Options {
            index: false,
            annotations: &BTreeMap::new(),
            verify: options.verify,
            destination: sending,
        };
        let (written, imported) = self.feed(WHAT, &words, |stdin| {
            let mut output = Output::new(stdin).map_err(image::Error::Output)?;
            let summary = oci::write_archive(blobs, &mut output, &options)?;
            output.finish().map_err(image::Error::Output)?;
            Ok(summary)
        })?;
        match written {
            // ctr's own words say why it went away.
            Err(image::Error::Output(error)) => {
                imported?;
                return Err(image::Error::Output(error).into());
            }
            Err(error) => return Err(error.into()),
            Ok(_) => imported?,
        }
        Ok(Loaded {
            image_id: Documents::new(blobs, &BTreeMap::new())?.image_id,
            layers: sending.layers.to_vec(),
            sent: count,
            sent_bytes: bytes,
        })
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
        if !output.status.success() {
            return Err(self.refused(what, &output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `ctr` while `write` writes what it reads; gives what came of that, and what of `ctr`.
    fn feed<T>(
        &self,
        what: &str,
        words: &[&str],
        write: impl FnOnce(ChildStdin) -> Result<T, image::Error>,
    ) -> Result<Fed<T>, Error> {
        let client = |source| client_error(what, source);
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(client)?;
        let stdin = child.stdin.take();
        let mut stderr = child.stderr.take();
        std::thread::scope(|scope| {
            let told = scope.spawn(move || {
                let mut told = Vec::new();
                // What cannot be read is not told.
                let _ = stderr.as_mut().map(|pipe| pipe.read_to_end(&mut told));
                told
            });
            let pipe = stdin.ok_or_else(|| client(io::ErrorKind::BrokenPipe.into()))?;
            let written = write(pipe);
            if written.is_err() {
                // What it has is no image; it need not look. It may be gone already.
                let _ = child.kill();
            }
            let status = child.wait().map_err(client)?;
            let told = told.join().unwrap_or_default();
            let ended = if status.success() {
                Ok(())
            } else {
                Err(self.refused(what, &told))
            };
            Ok((written, ended))
        })
    }

    fn refused(&self, what: &str, told: &[u8]) -> Error {
        let told = String::from_utf8_lossy(told);
        let last = told.lines().rfind(|line| !line.trim().is_empty());
        let message = last.unwrap_or("nothing").trim_start_matches("ctr: ");
        Error::Refused {
            what: what.to_owned(),
            engine: self.name.clone(),
            message: message.to_owned(),
        }
    }
}

fn client_error(what: &str, source: io::Error) -> Error {
    Error::Client {
        what: what.to_owned(),
        client: "ctr",
        source,
    }
}

/// What came of writing, and what of reading.
type Fed<T> = (Result<T, image::Error>, Result<(), Error>);

/// What an archive is to leave out, and who is told what it holds.
struct Sending<'a> {
    present: BTreeSet<Digest>,
    layers: &'a [LayerDigest],
    observer: &'a dyn Observer,
}

impl oci::Destination for Sending<'_> {
    fn has(&self, digest: &Digest) -> bool {
        self.present.contains(digest)
    }

    fn making(&self, index: usize, of: usize, layer: &Layer<'_>) {
        self.observer.layer(index, of, layer, &self.layers[index]);
    }

    fn done(&self, _index: usize, blob: &LayerBlob, made: bool) {
        if made {
            self.observer.bytes(blob.size);
        }
    }
}
