//! The tar of a layer that an image adds to those of its base.

use std::path::Path;

use nix_compat::tree::{Stamp, TreeError, Trees, Visit};

use super::tar::{Kind, LayerTar, TarRules};
use crate::error::Error;
use crate::recipe::{OwnLayer, Root, StoreLayer};
use crate::seen::Seen;
use crate::sink::{CopyError, Sink};

impl OwnLayer<'_> {
    /// Writes the layer's tar to `sink`; gives its length in bytes. Its files are compared with
    /// those in `seen`, or noted there.
    ///
    /// # Errors
    ///
    /// A tree cannot be read, or the sink takes no more.
    pub(crate) fn write_tar(
        &self,
        trees: &dyn Trees,
        rules: &TarRules,
        sink: &mut impl Sink,
        seen: &mut Seen,
    ) -> Result<u64, Error> {
        match self {
            Self::Store(StoreLayer { paths, .. }) => {
                let mut tar = begin_store_layer(sink, rules)?.with_seen(std::mem::take(seen));
                for path in paths {
                    trees.visit(path, &mut tar as &mut dyn Visit)?;
                }
                *seen = tar.take_seen();
                Ok(tar.finish()?.1)
            }
            Self::Root(Root::Links(root)) => Ok(root.write_layer(sink, rules)?.1),
            Self::Root(Root::Tar { file, .. }) => copy_root(file, sink, seen),
        }
    }
}

/// Begins a layer of store paths, whose trees follow.
///
/// # Errors
///
/// The sink takes no more.
pub(crate) fn begin_store_layer<S: Sink>(
    sink: S,
    rules: &TarRules,
) -> Result<LayerTar<'_, S>, TreeError> {
    let mut tar = LayerTar::new(sink, rules);
    tar.member(b"/nix", Kind::Directory, 0o755)?;
    tar.member(b"/nix/store", Kind::Directory, 0o755)?;
    Ok(tar)
}

/// Copies the tar of an image's root as it is.
fn copy_root(path: &Path, sink: &mut impl Sink, seen: &mut Seen) -> Result<u64, Error> {
    let read = |source| Error::RootLayer {
        path: path.to_owned(),
        source,
    };
    let file = files::open(path).map_err(read)?;
    let stamp = Stamp::of(&file.metadata().map_err(read)?);
    let expected = stamp.size;
    let is_same = seen.file(Some(stamp));
    let copied = sink.copy_file(&file, expected);
    let now = Stamp::of(&file.metadata().map_err(read)?);
    match copied {
        Ok(found) if found == expected && !(is_same && now == stamp) => Err(TreeError::Rewritten {
            path: path.to_owned(),
        }
        .into()),
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
