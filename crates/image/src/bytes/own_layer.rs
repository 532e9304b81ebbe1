//! The tar of a layer that an image adds to those of its base.

use std::fs::File;
use std::path::Path;

use nix_compat::tree::{TreeError, Trees, Visit};

use super::tar::{Kind, LayerTar, TarRules};
use crate::error::Error;
use crate::recipe::{OwnLayer, Root, StoreLayer};
use crate::sink::{CopyError, Sink};

impl OwnLayer<'_> {
    /// Writes the layer's tar to `sink`; gives its length in bytes.
    ///
    /// # Errors
    ///
    /// A tree cannot be read, or the sink takes no more.
    pub fn write_tar(
        &self,
        trees: &dyn Trees,
        rules: &TarRules,
        sink: &mut impl Sink,
    ) -> Result<u64, Error> {
        match self {
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
            Self::Root(Root::Tar { file, .. }) => copy_root(file, sink),
        }
    }
}

/// Copies the tar of an image's root as it is.
fn copy_root(path: &Path, sink: &mut impl Sink) -> Result<u64, Error> {
    let read = |source| Error::RootLayer {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    let expected = file.metadata().map_err(read)?.len();
    match sink.copy_file(&file, expected) {
        Ok(found) if found == expected => Ok(found),
        Ok(found) => Err(TreeError::Changed {
            path: path.to_owned(),
            expected,
            found,
        }
        .into()),
        Err(CopyError::Read(source)) => Err(read(source)),
        Err(CopyError::Write(stop)) => Err(stop.into()),
    }
}
