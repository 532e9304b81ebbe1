//! What an image is made of, and the bytes of its layers.

use std::fs::File;
use std::path::PathBuf;

use nix_compat::StorePath;
use nix_compat::tree::{TreeError, Trees, Visit};
use serde_json::Value;

use crate::base::{BaseImage, BaseLayer};
use crate::root_links::RootLinks;
use crate::sink::{CopyError, Sink};
use crate::tar::{Kind, LayerTar, TarRules};
use crate::time::Timestamp;
use crate::{Digest, Error};

/// An image that is to be written.
#[derive(Debug)]
pub struct Image {
    /// `amd64`, `arm64`, …, as Go names them.
    pub architecture: String,
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
}

/// A layer of store paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLayer {
    /// The paths, in the order of the tar.
    pub paths: Vec<StorePath>,
    /// Digest and length that were taken before.
    pub promise: Option<Promise>,
}

/// A layer's digest and length, known before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// It came with the image's configuration: a layer of another length is an error.
    Given(LayerDigest),
    /// It was remembered: a layer of another length is hashed anew.
    Remembered(LayerDigest),
}

impl Promise {
    /// The same digest, given.
    #[must_use]
    pub fn given(self) -> Self {
        let (Self::Given(digest) | Self::Remembered(digest)) = self;
        Self::Given(digest)
    }
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
        /// Its digest, where that is known.
        diff_id: Option<Digest>,
    },
    /// Links to what is in store paths.
    Links(RootLinks),
}

/// One layer of an image.
#[derive(Debug, Clone, Copy)]
pub enum Layer<'a> {
    /// A layer of the base image.
    Base(&'a BaseLayer),
    /// Store paths.
    Store(&'a StoreLayer),
    /// The image's root.
    Root(&'a Root),
}

/// Digest and length of a layer's tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerDigest {
    /// SHA-256 of the tar.
    pub diff_id: Digest,
    /// Its length in bytes.
    pub size: u64,
}

impl Image {
    /// The configuration's `config`: the image's own, with what it takes over from its base.
    pub fn finished_config(&self) -> Value {
        match &self.base {
            None => self.config.clone(),
            Some(base) => base.inherited_by(&self.config),
        }
    }

    /// All layers, bottom first.
    pub fn layers(&self) -> Vec<Layer<'_>> {
        let base = self
            .base
            .iter()
            .flat_map(|base| &base.layers)
            .map(Layer::Base);
        let store = self.store_layers.iter().map(Layer::Store);
        base.chain(store).chain([Layer::Root(&self.root)]).collect()
    }
}

impl Layer<'_> {
    /// Digest and length, where they are known before the layer is read.
    ///
    /// # Errors
    ///
    /// The root's tar is not there.
    pub fn known_digest(&self) -> Result<Option<LayerDigest>, Error> {
        match self {
            Self::Base(layer) => Ok(Some(LayerDigest {
                diff_id: layer.diff_id,
                size: layer.size(),
            })),
            Self::Root(Root::Tar {
                file,
                diff_id: Some(diff_id),
                ..
            }) => {
                let metadata = std::fs::metadata(file).map_err(|source| Error::RootLayer {
                    path: file.clone(),
                    source,
                })?;
                Ok(Some(LayerDigest {
                    diff_id: *diff_id,
                    size: metadata.len(),
                }))
            }
            Self::Store(StoreLayer {
                promise: Some(Promise::Given(digest)),
                ..
            }) => Ok(Some(*digest)),
            Self::Store(_) | Self::Root(_) => Ok(None),
        }
    }

    /// Writes the layer's tar to `sink`; gives its length in bytes. A base image's layers are
    /// written by its own reader.
    ///
    /// # Errors
    ///
    /// A tree cannot be read, or the sink cannot take it.
    pub fn write(
        &self,
        trees: &dyn Trees,
        rules: &TarRules,
        sink: &mut impl Sink,
    ) -> Result<u64, Error> {
        match self {
            Self::Base(_) => Ok(0),
            Self::Store(StoreLayer { paths, .. }) => {
                let mut tar = LayerTar::new(sink, rules);
                tar.member(b"/nix", Kind::Directory, 0o755)?;
                tar.member(b"/nix/store", Kind::Directory, 0o755)?;
                for path in paths {
                    trees.visit(path, &mut tar as &mut dyn Visit)?;
                }
                Ok(tar.finish()?.1)
            }
            Self::Root(Root::Links(root)) => Ok(root.write_layer(sink, rules)?.1),
            Self::Root(Root::Tar { file: path, .. }) => {
                let read = |source| Error::RootLayer {
                    path: path.clone(),
                    source,
                };
                let file = File::open(path).map_err(read)?;
                let expected = file.metadata().map_err(read)?.len();
                match sink.copy_file(&file, expected) {
                    Ok(found) if found == expected => Ok(found),
                    Ok(found) => Err(TreeError::Changed {
                        path: path.clone(),
                        expected,
                        found,
                    }
                    .into()),
                    Err(CopyError::Read(source)) => Err(read(source)),
                    Err(CopyError::Write(error)) => Err(Error::Output(error)),
                }
            }
        }
    }

    /// What the layer's entry in the image's history says, after `store paths: `, as a Python list.
    pub(crate) fn history_names(&self) -> Vec<&str> {
        match self {
            Self::Base(layer) => vec![&layer.name],
            Self::Store(layer) => layer.paths.iter().map(StorePath::as_str).collect(),
            Self::Root(Root::Tar { name, .. }) => vec![name],
            Self::Root(Root::Links(_)) => vec!["/"],
        }
    }

    /// A few words for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Base(layer) => format!("base image: {}", layer.name),
            Self::Store(layer) => match layer.paths.as_slice() {
                [] => "no store paths".to_owned(),
                [path] => path.name().to_owned(),
                [path, rest @ ..] => format!("{} and {} more", path.name(), rest.len()),
            },
            Self::Root(_) => "the image's root".to_owned(),
        }
    }
}
