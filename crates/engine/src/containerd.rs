//! containerd by itself, as Kubernetes' nodes run it.
//!
//! Its interface is gRPC; its client `ctr` speaks that. An import of an OCI archive takes blobs that are not in the archive from the content store, and unpacks the image,
//! which fails where a layer is not there: so an image that was imported is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use image::{Documents, LayerTable, hash_unknown_layers};
use nix_compat::tree::Trees;
use oci::Digest;
use oci::reference::full_name;

use crate::ctr::{Ctr, untried};
use crate::error::{Error, Tried};
use crate::load::{Loaded, OciArchive, Options, correcting};
use crate::missing_layers::wanted_layers;
use crate::observer::Observer;
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
        let ctr = Ctr {
            engine: format!("containerd at {address}, namespace {namespace}"),
            address: address.to_owned(),
            namespace,
            program: client.to_owned(),
            timeouts,
        };
        let version = ctr.version(within)?;
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
            for name in &table.image().repo_tags {
                let name = full_name(name);
                let what = format!("cannot name the image {name}");
                self.ctr
                    .run(&what, &["images", "tag", "--force", &own, &name])?;
            }
            Ok(loaded)
        });
        // Also what failed half way may have that name.
        let removed = self
            .ctr
            .run("cannot remove a name", &["images", "remove", &own]);
        // Only now: what a killed run left may well be what this one needs.
        self.remove_names(Owner::is_gone);
        let loaded = loaded?;
        removed?;
        Ok(loaded)
    }

    /// Loads an image under the names of the archive.
    fn load_as(&self, archive: &OciArchive<'_>) -> Result<Loaded, Error> {
        let table = archive.table;
        // What is remembered is believed: if it is wrong, containerd has no such layer.
        let options = archive.options;
        hash_unknown_layers(table, archive.trees, options.jobs, options.spool)?;
        let present = self.blobs()?;
        let blobs = table.blobs()?;
        let left_out = blobs.iter().map(|blob| present.contains(&blob.digest));
        let mut left_out: Vec<bool> = left_out.collect();
        let platform = &table.image().platform;
        let send =
            |left_out: &[bool]| archive.send(left_out, |bytes| self.ctr.import(platform, bytes));
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
        let names = self
            .ctr
            .run("cannot ask which images there are", &["images", "ls", "-q"]);
        for name in names.unwrap_or_default().lines() {
            if Owner::of_name(name).is_some_and(|owner| is_meant(&owner)) {
                let _ = self
                    .ctr
                    .run("cannot remove a name", &["images", "remove", name]);
            }
        }
    }

    /// Digests of all blobs in the content store.
    fn blobs(&self) -> Result<BTreeSet<Digest>, Error> {
        let text = self
            .ctr
            .run("cannot ask which blobs there are", &["content", "ls", "-q"])?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }
}
