//! The tar of a layer that an image adds to those of its base.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

use nix_compat::StorePath;
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
                visit_all(trees, paths, &mut tar)?;
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

/// With fewer store paths in a layer, the start of a thread takes what it saves.
const FEW: usize = 100;

/// Shows the trees of a layer, which one thread hashes. Where there are many, another one prepares them from
/// the end on, until the two meet.
fn visit_all(
    trees: &dyn Trees,
    paths: &[StorePath],
    visitor: &mut dyn Visit,
) -> Result<(), TreeError> {
    let visited = AtomicUsize::new(0);
    thread::scope(|scope| {
        if paths.len() >= FEW {
            let prepare = || {
                let from_end = paths.iter().enumerate().rev();
                let ahead = from_end.take_while(|(at, _)| *at > visited.load(Ordering::Relaxed));
                ahead.for_each(|(_, path)| trees.prepare(path));
            };
            // Where the system gives no more threads, nothing is prepared.
            let _ = Builder::new().spawn_scoped(scope, prepare);
        }
        let shown = paths.iter().enumerate().try_for_each(|(at, path)| {
            visited.store(at, Ordering::Relaxed);
            trees.visit(path, visitor)
        });
        // Also after a failure.
        visited.store(usize::MAX, Ordering::Relaxed);
        shown
    })
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
