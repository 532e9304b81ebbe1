//! containerd by itself, as Kubernetes' nodes run it: on this machine, or behind a command that runs its client `ctr`.
//!
//! Its interface is gRPC; its client `ctr` speaks that. An import of an OCI archive takes blobs that are not in
//! the archive from the content store, and unpacks the image. It fails where a layer is neither there nor
//! unpacked; where one is unpacked alone, it passes, so the store is asked once more.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use image::{Documents, LayerTable};
use nix_compat::tree::Trees;
use oci::Digest;
use oci::reference::full_name;

use crate::ctr::{Ctr, untried};
use crate::error::{Error, Tried};
use crate::load::{Loaded, OciArchive, Options, correcting, learn, left_out};
use crate::missing_layers::wanted_layers;
use crate::observer::Observer;
use crate::program::Program;
use crate::temporary_name::{Owner, loading_name};
use crate::timeouts::Timeouts;

/// Where containerd listens unless the environment says otherwise.
const ADDRESS: &str = "/run/containerd/containerd.sock";

/// The namespace, in the same case. Kubernetes has `k8s.io`.
const NAMESPACE: &str = "default";

/// A containerd that runs.
pub(crate) struct Containerd {
    ctr: Ctr,
    /// The version of `ctr`, if it tells.
    version: Option<String>,
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
        let words = ["--address", address, "--namespace", &namespace];
        let words = [client].into_iter().chain(words.map(OsStr::new));
        let ctr = Ctr {
            engine: format!("containerd at {address}, namespace {namespace}"),
            socket: Some(address.to_owned()),
            program: Program::new(words).apart(),
            timeouts,
        };
        let version = ctr.version(within)?;
        Ok(Self { ctr, version })
    }

    /// The one whose `ctr` a command runs, which stands before the arguments of each call. It says
    /// itself which containerd it is, and which namespace.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub(crate) fn behind(
        command: impl IntoIterator<Item = impl Into<OsString>>,
        timeouts: Timeouts,
    ) -> Result<Self, Error> {
        let program = Program::new(command);
        let engine = format!("containerd behind `{program}`");
        Self::by(program, engine, timeouts).map_err(Error::NoCtr)
    }

    /// The one whose `ctr` a command runs that nobody is asked anything by. `engine` is its name.
    ///
    /// # Errors
    ///
    /// Why it does not answer.
    pub(crate) fn behind_ssh(
        command: Vec<OsString>,
        engine: String,
        timeouts: Timeouts,
    ) -> Result<Self, Tried> {
        Self::by(Program::new(command).apart(), engine, timeouts)
    }

    fn by(program: Program, engine: String, timeouts: Timeouts) -> Result<Self, Tried> {
        let ctr = Ctr {
            engine,
            socket: None,
            program,
            timeouts,
        };
        let version = ctr.version(timeouts.named)?;
        Ok(Self { ctr, version })
    }

    /// The engine's name, where it listens, and the namespace.
    pub(crate) fn name(&self) -> &str {
        &self.ctr.engine
    }

    /// See [`crate::Engine::load`].
    pub(crate) fn load(
        &self,
        table: &LayerTable<'_>,
        trees: &dyn Trees,
        options: Options<'_>,
        observer: &dyn Observer,
    ) -> Result<Loaded, Error> {
        if let Some(warning) = self.version.as_deref().and_then(untried) {
            observer.warning(&warning);
        }
        let own = loading_name();
        let archive = OciArchive {
            table,
            names: std::slice::from_ref(&own),
            trees,
            options,
            observer,
        };
        let loaded = correcting(table, trees, options, || self.load_as(&archive));
        let loaded = loaded.and_then(|loaded| {
            self.name_image(&own, &table.image().repo_tags)?;
            Ok(loaded)
        });
        if self.ctr.program.is_stopped() {
            // Who stopped it removes the name.
            return loaded;
        }
        // Also what failed half way may have that name. Only now are those of others removed: what a
        // killed run left may well be what this one needs.
        let this = Owner::this_process();
        let removed = self.remove_names(|owner| *owner == this || owner.is_gone());
        let loaded = loaded?;
        removed?;
        Ok(loaded)
    }

    /// Gives the image of this name others.
    fn name_image(&self, own: &str, names: &[String]) -> Result<(), Error> {
        let names: Vec<String> = names.iter().map(|name| full_name(name)).collect();
        if names.is_empty() {
            return Ok(());
        }
        let what = format!("cannot name the image {}", names.join(", "));
        let mut words = vec!["images", "tag", "--force", own];
        words.extend(names.iter().map(String::as_str));
        self.ctr.run(&what, &words).map(drop)
    }

    /// Loads an image under the names of the archive.
    fn load_as(&self, archive: &OciArchive<'_>) -> Result<Loaded, Error> {
        let table = archive.table;
        learn(table, archive.trees, archive.options)?;
        let mut there = self.blobs()?;
        let mut sent = self.send_whole(archive, &there);
        if matches!(sent, Err(Error::Refused { .. } | Error::NotWhole { .. }))
            && left_out(table, &there).contains(&true)
        {
            archive.observer.again();
            there.clear();
            sent = self.send_whole(archive, &there);
        }
        sent?;
        let image_id = documents(table)?.image_id;
        Ok(Loaded::new(
            image_id,
            &wanted_layers(table)?,
            &left_out(table, &there),
        ))
    }

    /// Sends the image without the blobs that are there; fails if it is not whole then.
    fn send_whole(&self, archive: &OciArchive<'_>, there: &BTreeSet<Digest>) -> Result<(), Error> {
        let platform = &archive.table.image().platform;
        archive.send(there, |bytes| self.ctr.import(platform, bytes))?;
        if self.is_whole(archive.table)? {
            return Ok(());
        }
        Err(Error::NotWhole {
            engine: self.name().to_owned(),
            id: documents(archive.table)?.image_id.to_string(),
        })
    }

    /// Whether the content store has all of the image.
    fn is_whole(&self, table: &LayerTable<'_>) -> Result<bool, Error> {
        let present = self.blobs()?;
        let documents = documents(table)?;
        let layers = table.blobs()?.into_iter().map(|blob| blob.digest);
        let mut all = layers.chain([documents.image_id, documents.descriptor.digest]);
        Ok(all.all(|digest| present.contains(&digest)))
    }

    /// Ends a load, and removes the names of this process.
    pub(crate) fn abandon(&self) {
        self.ctr.program.stop();
        let this = Owner::this_process();
        let _ = self.remove_names(|owner| *owner == this);
    }

    /// Removes the temporary names of those whom `is_meant` names.
    ///
    /// # Errors
    ///
    /// containerd cannot be asked, or refuses.
    fn remove_names(&self, is_meant: impl Fn(&Owner) -> bool) -> Result<(), Error> {
        const WHAT: &str = "cannot remove a name";
        let names = self
            .ctr
            .run("cannot ask which images there are", &["images", "ls", "-q"])?;
        let is_meant = |name: &&str| Owner::of_name(name).is_some_and(|owner| is_meant(&owner));
        let mut meant: Vec<&str> = names.lines().filter(is_meant).collect();
        if meant.is_empty() {
            return Ok(());
        }
        let has_ids = names.lines().any(|name| name.parse::<Digest>().is_ok());
        let list = match has_ids {
            true => self.ctr.run(WHAT, &["images", "ls"])?,
            false => String::new(),
        };
        meant.extend(ids_without_names(&list, &meant));
        let words = [&["images", "remove"], &meant[..]].concat();
        self.ctr.run(WHAT, &words).map(drop)
    }

    /// Digests of all blobs in the content store.
    fn blobs(&self) -> Result<BTreeSet<Digest>, Error> {
        let text = self
            .ctr
            .run("cannot ask which blobs there are", &["content", "ls", "-q"])?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }
}

fn documents(table: &LayerTable<'_>) -> Result<Documents, Error> {
    Ok(Documents::new(table, &BTreeMap::new())?)
}

/// What `ctr images ls` lists of images that have no names but these. Kubernetes' side of containerd names
/// each image that it sees by its ID as well, which would keep it.
fn ids_without_names<'a>(list: &'a str, names: &[&str]) -> Vec<&'a str> {
    let rows = list.lines().filter_map(|line| {
        // The name, the media type and the digest of the manifest.
        let mut columns = line.split_ascii_whitespace();
        Some((columns.next()?, columns.nth(1)?))
    });
    let is_id = |name: &str| name.parse::<Digest>().is_ok();
    let (meant, others): (Vec<_>, Vec<_>) = rows.partition(|(name, _)| names.contains(name));
    let is_meant = |digest: &str| meant.iter().any(|(_, of)| *of == digest);
    let is_named = |digest: &str| {
        others
            .iter()
            .any(|(name, of)| *of == digest && !is_id(name))
    };
    let ids = others.iter().filter(|(name, _)| is_id(name));
    let ids = ids.filter(|(_, digest)| is_meant(digest) && !is_named(digest));
    ids.map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_goes_with_the_last_name_of_its_image() {
        let id = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let list = [
            "REF TYPE DIGEST SIZE PLATFORMS LABELS".to_owned(),
            format!("own t {} 1 KiB linux/amd64 -", id("a")),
            format!("{} t {} 1 KiB linux/amd64 a=b", id("1"), id("a")),
            format!("gone t {} - - -", id("b")),
            format!("{} t {} - - -", id("2"), id("b")),
            format!("docker.io/library/app:1 t {} - - -", id("b")),
            format!("{} t {} - - -", id("3"), id("c")),
        ]
        .join("\n");
        assert_eq!(ids_without_names(&list, &["own", "gone"]), [id("1")]);
        assert_eq!(ids_without_names("", &["own"]), [""; 0]);
    }
}
