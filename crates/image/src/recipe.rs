//! The recipe of an image: what it is made of.

use std::path::PathBuf;

use nix_compat::StorePath;
use oci::{Digest, Platform};
use serde_json::Value;

use crate::base::{BaseImage, BaseLayer};
use crate::bytes::root_links::RootLinks;
use crate::bytes::tar::TarRules;
use crate::layer_id::TarId;
use crate::timestamp::Timestamp;

/// An image that is to be written.
#[derive(Debug)]
pub struct Image {
    /// Where it runs.
    pub platform: Platform,
    /// The configuration's `config`, as the image's author gave it.
    pub config: Value,
    /// When the image was created; in its configuration only.
    pub created: Timestamp,
    /// Time and owner of the files of store layers; time of the archive's own members.
    pub rules: TarRules,
    /// The image that this one stands on.
    pub base: Option<BaseImage>,
    /// Layers of store paths, bottom first.
    pub store_layers: Vec<StoreLayer>,
    /// The layer on top: the image's root.
    pub root: Root,
    /// Names of the image, `REPOSITORY:TAG`.
    pub repo_tags: Vec<String>,
    /// What the image carries of the plan of its layers: the history says it of the root's layer.
    pub plan_text: Option<String>,
}

/// A layer of store paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLayer {
    /// The paths, in the order of the tar.
    pub paths: Vec<StorePath>,
    /// About how long it is, in bytes: the NAR sizes of its paths together. 0 where they are not known.
    pub size: u64,
    /// What its tar is, where the recipe says so: Nix takes digests when it builds an image.
    pub tar: Option<TarId>,
}

/// The layer on top of all others.
#[derive(Debug)]
pub enum Root {
    /// A tar, as the Nix side makes it.
    Tar {
        /// What the history calls it: the store path of its directory.
        name: String,
        /// The file.
        file: PathBuf,
        /// Its digest, where the recipe says it.
        diff_id: Option<Digest>,
    },
    /// Links to what is in store paths.
    Links(RootLinks),
}

/// One layer of an image.
#[derive(Debug, Clone, Copy)]
pub enum Layer<'a> {
    /// A layer of a base image, which is copied.
    Base(&'a BaseImage, &'a BaseLayer),
    /// A layer of this image, whose tar is written.
    Own(OwnLayer<'a>),
}

/// A layer that this image adds to those of its base.
#[derive(Debug, Clone, Copy)]
pub enum OwnLayer<'a> {
    /// Store paths.
    Store(&'a StoreLayer),
    /// The image's root.
    Root(&'a Root),
}

impl Image {
    /// An image of these layers and nothing else, to take their digests.
    pub fn of_layers(rules: TarRules, store_layers: Vec<StoreLayer>) -> Self {
        Self {
            platform: Platform::linux(""),
            config: Value::Null,
            created: Timestamp::NIX,
            rules,
            base: None,
            store_layers,
            root: Root::Links(RootLinks::default()),
            repo_tags: Vec::new(),
            plan_text: None,
        }
    }

    /// All layers, bottom first.
    pub fn layers(&self) -> Vec<Layer<'_>> {
        let base = self.base.iter().flat_map(|base| {
            let layers = base.layers.iter();
            layers.map(move |layer| Layer::Base(base, layer))
        });
        let store = self.store_layers.iter().map(OwnLayer::Store);
        let own = store.chain([OwnLayer::Root(&self.root)]).map(Layer::Own);
        base.chain(own).collect()
    }

    /// The `config` with what it takes over from the base.
    pub fn finished_config(&self) -> Value {
        match &self.base {
            Some(base) => base.inherited_by(&self.config),
            None => self.config.clone(),
        }
    }
}

impl Layer<'_> {
    /// What the layer's entry in the image's history says, after `store paths: `, as a Python list.
    pub(crate) fn history_names(&self) -> Vec<&str> {
        match self {
            Self::Base(_, layer) => vec![&layer.name],
            Self::Own(OwnLayer::Store(layer)) => {
                layer.paths.iter().map(StorePath::as_str).collect()
            }
            Self::Own(OwnLayer::Root(Root::Tar { name, .. })) => vec![name],
            Self::Own(OwnLayer::Root(Root::Links(_))) => vec!["/"],
        }
    }

    /// A few words for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Base(_, layer) => format!("base image: {}", layer.name),
            Self::Own(OwnLayer::Store(layer)) => match layer.paths.as_slice() {
                [] => "no store paths".to_owned(),
                [path] => path.name().to_owned(),
                [path, rest @ ..] => format!("{} and {} more", path.name(), rest.len()),
            },
            Self::Own(OwnLayer::Root(_)) => "the image's root".to_owned(),
        }
    }
}
