//! The digests of layers' tars, taken by several threads while the layers before are written.
//!
//! There are two ways. Where the processor can, several layers are hashed at once, see [`in_lanes`];
//! else, and where there are few layers, a thread hashes one after the other.

mod ahead;
mod hashing;
mod in_lanes;

use std::num::NonZeroUsize;

use nix_compat::tree::Trees;
use sha256_lanes::Lanes;

pub(crate) use self::hashing::Hashing;
use self::in_lanes::InLanes;
use crate::error::Error;
use crate::filling::{Filling, readers};
use crate::layer_table::{Fact, LayerTable};
use crate::recipe::{Layer, OwnLayer};
use crate::schedule::Schedule;
use crate::spool::Spool;

/// Takes the digests of all layers of `table` of whose tars nothing is known, with `jobs` threads.
/// What is remembered is believed. What is dear to read stays in `spool`, for whoever writes the
/// layers afterwards.
///
/// # Errors
///
/// A layer cannot be read.
pub fn hash_unknown_layers(
    table: &LayerTable<'_>,
    trees: &dyn Trees,
    jobs: NonZeroUsize,
    spool: &Spool,
) -> Result<(), Error> {
    hash_layers(table, trees, jobs, Some(spool), |index| {
        table.tar(index) == Fact::Unknown
    })
}

/// Takes the digests of all layers that were not read yet and did not come with their digests, also
/// where something is remembered of them. What is dear to read stays in `spool`.
///
/// # Errors
///
/// A layer cannot be read.
pub fn hash_doubtful_layers(
    table: &LayerTable<'_>,
    trees: &dyn Trees,
    jobs: NonZeroUsize,
    spool: &Spool,
) -> Result<(), Error> {
    hash_layers(table, trees, jobs, Some(spool), |index| {
        table.tar(index).certain().is_none()
    })
}

/// Takes the digests of those layers of which nothing can be remembered, because no NAR hashes are
/// known of their store paths, so that their tars name them from then on.
///
/// To hash a layer takes a tenth of the time in which it is compressed. What is dear to read is not
/// read for this.
///
/// # Errors
///
/// A layer cannot be read.
pub fn hash_unkeyed_layers(
    table: &LayerTable<'_>,
    trees: &dyn Trees,
    jobs: NonZeroUsize,
) -> Result<(), Error> {
    let may_hash = |index| match table.layer(index) {
        Layer::Own(OwnLayer::Store(_)) => trees.rereads_cheaply(),
        Layer::Own(OwnLayer::Root(_)) => true,
        Layer::Base(..) => false,
    };
    hash_layers(table, trees, jobs, None, |index| {
        let is_nameless = table.blob_key(index).is_none() && table.blob(index).is_none();
        is_nameless && may_hash(index)
    })
}

fn hash_layers(
    table: &LayerTable<'_>,
    trees: &dyn Trees,
    jobs: NonZeroUsize,
    spool: Option<&Spool>,
    wanted: impl Fn(usize) -> bool,
) -> Result<(), Error> {
    let schedule = Schedule::default();
    let spool = spool.filter(|spool| !spool.is_off() && !trees.rereads_cheaply());
    let filling = spool.map(|spool| Filling::all(spool, &schedule));
    // A base image's layers came with their digests.
    let is_own = |index| matches!(table.layer(index), Layer::Own(_));
    let wanted = (0..table.len()).filter(|&index| is_own(index) && wanted(index));
    let wanted = wanted.collect();
    let hashing = Hashing::new(table, trees, &schedule, wanted).without_belief();
    hashing.run(readers(trees, jobs), filling.as_ref(), |_| Ok(()))
}

impl Hashing<'_> {
    /// Runs `body` while `jobs` threads hash. With `filling`, layers of store paths are put on
    /// disk meanwhile.
    ///
    /// # Errors
    ///
    /// A layer cannot be read, or `body` fails: the threads are stopped then.
    pub(crate) fn run<T>(
        &self,
        jobs: NonZeroUsize,
        filling: Option<&Filling<'_>>,
        body: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // A layer that is put on disk is hashed on its way.
        let lanes = Lanes::detect().filter(|_| filling.is_none());
        self.run_with(jobs, lanes, filling, body)
    }

    fn run_with<T>(
        &self,
        jobs: NonZeroUsize,
        lanes: Option<Lanes>,
        filling: Option<&Filling<'_>>,
        body: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(in_lanes) = lanes.and_then(|lanes| InLanes::plan(self, lanes, jobs)) {
            let tasks = (0..in_lanes.threads()).map(|_| || in_lanes.run());
            return self
                .schedule
                .run_tasks(jobs, tasks.collect(), || body(self));
        }
        // Layers that are put on disk are begun in their order.
        let order = match filling {
            Some(_) => self.wanted.clone(),
            None => self.by_need(jobs.get()),
        };
        let work = |index| self.settle(index, filling);
        self.schedule.run(jobs, &order, work, || body(self))
    }
}

#[cfg(test)]
mod tests;
