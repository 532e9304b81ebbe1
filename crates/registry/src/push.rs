//! A push: first the blobs that the repository lacks, several at once; then the manifest.
//!
//! A blob of known digest is skipped if a manifest in the repository lists it, or if the registry says
//! that it has it; otherwise it is mounted from another repository, or else uploaded. A listed blob is
//! not asked for. If the registry refuses the manifest because a blob is missing, all listed ones are.
//!
//! The manifest goes last, and only when everything it lists has arrived. So an interrupted
//! push never leaves a tag on a broken image, and the next one sends only what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Builder};

use oci::Digest;
use oci::media_type::is_foreign_layer;
use ureq::http::Method;

use crate::blob::{Blob, Content};
use crate::error::{Error, Result};
use crate::manifest::{BLOB_UNKNOWN, StoredManifest};
use crate::progress::{Arrival, Arrived, Event, Meter, Observer, Summary};
use crate::quirks::Quirks;
use crate::repository::Repository;
use crate::upload::{Session, Upload};
use crate::url::escape;

/// The settings of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushOptions {
    /// How many blobs are sent at once.
    pub jobs: usize,
    /// Repositories of the same registry that may have any of the blobs.
    pub mount_from: Vec<String>,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            jobs: 4,
            mount_from: Vec::new(),
        }
    }
}

/// The result of trying to mount a blob.
enum Mount {
    Done,
    /// The registry may have opened an upload instead.
    Refused(Option<Session>),
}

/// A push into one repository.
pub struct Push<'a> {
    repository: &'a Repository<'a>,
    options: PushOptions,
    observer: &'a dyn Observer,
    /// Blobs that manifests in the repository list, with their sizes in bytes.
    listed: BTreeMap<Digest, u64>,
    /// Tags, and the digests of the manifests that they name.
    tagged: BTreeMap<String, Digest>,
    arrived: BTreeMap<Digest, Arrived>,
    /// Blobs that were not looked for, because a manifest lists them.
    unchecked: Vec<&'a dyn Blob>,
    quirks: Quirks,
    /// Set when a blob failed: the others stop.
    stop: AtomicBool,
    bytes_out: AtomicU64,
}

impl<'a> Push<'a> {
    /// A push into `repository`, which must have been opened for [`crate::Access::Push`].
    pub fn new(
        repository: &'a Repository<'a>,
        options: PushOptions,
        observer: &'a dyn Observer,
    ) -> Self {
        Self {
            repository,
            options,
            observer,
            listed: BTreeMap::new(),
            tagged: BTreeMap::new(),
            arrived: BTreeMap::new(),
            unchecked: Vec::new(),
            quirks: Quirks::default(),
            stop: AtomicBool::new(false),
            bytes_out: AtomicU64::new(0),
        }
    }

    /// Takes the blobs of a manifest that the repository has for present: the registry is not asked
    /// for each. Should it turn out that one is missing, they are all looked for.
    pub fn assume_present(&mut self, manifest: &StoredManifest) {
        self.listed
            .extend(manifest.blobs().map(|blob| (blob.digest, blob.size)));
        self.tagged
            .insert(manifest.identifier.clone(), manifest.digest);
    }

    /// Brings these blobs into the repository, and tells how, in their order.
    ///
    /// # Errors
    ///
    /// The first that occurs; the other uploads are then stopped.
    pub fn blobs(&mut self, blobs: &[&'a dyn Blob]) -> Result<Vec<Arrived>> {
        let mut results: Vec<Option<Arrived>> = vec![None; blobs.len()];
        loop {
            // Of several blobs with the same digest, the first is sent. It may turn out to be another
            // than it said; then the next one is.
            let mut first: BTreeSet<Digest> = BTreeSet::new();
            let mut todo = Vec::new();
            for (index, blob) in blobs.iter().enumerate() {
                if results[index].is_some() {
                    continue;
                }
                match blob.content() {
                    Content::Known { digest, .. } => {
                        results[index] = self.arrived.get(&digest).copied();
                        if results[index].is_none() && first.insert(digest) {
                            todo.push(index);
                        }
                    }
                    Content::Unknown => todo.push(index),
                }
            }
            if todo.is_empty() {
                return Ok(results.into_iter().flatten().collect());
            }
            for (index, arrived, is_checked) in self.send_all(blobs, &todo)? {
                results[index] = Some(arrived);
                self.arrived.entry(arrived.digest).or_insert(arrived);
                if !is_checked {
                    self.unchecked.push(blobs[index]);
                }
            }
        }
    }

    /// Brings the blobs at these indices into the repository, on several threads.
    fn send_all(
        &self,
        blobs: &[&'a dyn Blob],
        todo: &[usize],
    ) -> Result<Vec<(usize, Arrived, bool)>> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        let failure = Mutex::new(None);
        let work = || {
            while let Some(&index) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                match self.send(blobs[index]) {
                    Ok((arrived, is_checked)) => {
                        done.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push((index, arrived, is_checked));
                    }
                    Err(error) => {
                        self.stop.store(true, Ordering::Relaxed);
                        let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                        if !matches!(error, Error::Stopped) {
                            failure.get_or_insert(error);
                        }
                        return;
                    }
                }
            }
        };
        thread::scope(|scope| {
            // This thread is one of them.
            for _ in 1..self.options.jobs.min(todo.len()) {
                // Where the system gives no more, those that there are do all of it.
                if Builder::new().spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None if self.stop.load(Ordering::Relaxed) => Err(Error::Stopped),
            None => Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Brings one blob into the repository, and once more if it turned out to be another than it said.
    /// Also returns whether the registry itself confirmed that it has the blob.
    fn send(&self, blob: &'a dyn Blob) -> Result<(Arrived, bool)> {
        let said = blob.content();
        match self.send_once(blob) {
            Err(Error::Blob { .. } | Error::BlobSize { .. })
                if said != Content::Unknown && said != blob.content() =>
            {
                self.send_once(blob)
            }
            other => other,
        }
    }

    fn send_once(&self, blob: &'a dyn Blob) -> Result<(Arrived, bool)> {
        let name = blob.name();
        let arrived = |digest, size, how| {
            let arrived = Arrived { digest, size, how };
            self.observer.event(&name, &Event::Arrived(arrived));
            arrived
        };
        let mut session = None;
        if let Content::Known { digest, size } = blob.content() {
            let listed = self.listed.get(&digest) == Some(&size);
            if listed || self.repository.has_blob(digest, size)? {
                return Ok((arrived(digest, size, Arrival::Present), !listed));
            }
            session = match self.mount(digest)? {
                Mount::Done => return Ok((arrived(digest, size, Arrival::Mounted), true)),
                Mount::Refused(session) => session,
            };
        }
        let meter = Meter::new(self.observer, &self.bytes_out, name.clone());
        let upload = Upload::new(self.repository, blob, &self.quirks, &self.stop, meter);
        let (digest, size) = upload.run(session)?;
        Ok((arrived(digest, size, Arrival::Sent), true))
    }

    /// Asks the registry to take the blob over from another of its repositories.
    fn mount(&self, digest: Digest) -> Result<Mount> {
        let mut session = None;
        for source in &self.options.mount_from {
            if source == self.repository.name() {
                continue;
            }
            let repository = self.repository.with_sources([source.as_str()]);
            let place = repository.place(format!("mount of blob {digest} from {source}"));
            let path = format!("blobs/uploads/?mount={digest}&from={}", escape(source));
            let call = repository.call(Method::POST, &path, place.clone())?;
            let answer = match repository.transport.answer(&call, Some(&[])) {
                Ok(answer) => answer,
                // That repository is not for us; this one may well be.
                Err(Error::Unauthorized { .. } | Error::Status { .. }) => continue,
                Err(error) => return Err(error),
            };
            match answer.status.as_u16() {
                201 => {
                    repository.expect_digest(&answer, &place, digest)?;
                    return Ok(Mount::Done);
                }
                202 if session.is_none() => session = Some(Session::of(&answer, &place)?),
                _ => {}
            }
        }
        Ok(Mount::Refused(session))
    }

    /// Puts the image's manifest under `identifier`, a tag or its own digest, and gives its digest.
    /// Where that tag names the very same manifest ([`Self::assume_present`]), nothing is sent.
    ///
    /// # Errors
    ///
    /// A blob that it lists did not arrive in this push, or the registry refuses it.
    pub fn manifest(&mut self, identifier: &str, media_type: &str, bytes: &[u8]) -> Result<Digest> {
        let place = self
            .repository
            .place(format!("push of manifest {identifier}"));
        let manifest =
            StoredManifest::read(identifier, media_type, bytes.to_vec()).map_err(|why| {
                Error::Answer {
                    place: place.clone(),
                    why,
                }
            })?;
        let missing = manifest.blobs().find(|blob| {
            !is_foreign_layer(&blob.media_type) && !self.arrived.contains_key(&blob.digest)
        });
        if let Some(missing) = missing {
            return Err(Error::Incomplete {
                place,
                digest: missing.digest,
            });
        }
        if self.tagged.get(identifier) == Some(&manifest.digest) {
            return Ok(manifest.digest);
        }
        match self
            .repository
            .put_manifest(identifier, &manifest.media_type, bytes)
        {
            Err(error) if error.has_code(&BLOB_UNKNOWN) && !self.unchecked.is_empty() => {
                self.check()?;
                self.repository
                    .put_manifest(identifier, &manifest.media_type, bytes)
            }
            other => other,
        }
    }

    /// Looks for every blob that was taken for present, and sends those that are missing.
    fn check(&mut self) -> Result<()> {
        self.listed.clear();
        let blobs = std::mem::take(&mut self.unchecked);
        for blob in &blobs {
            if let Content::Known { digest, .. } = blob.content() {
                self.arrived.remove(&digest);
            }
        }
        self.blobs(&blobs).map(|_| ())
    }

    /// What this push did so far.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        self.arrived
            .values()
            .for_each(|arrived| summary.add(arrived));
        summary
    }
}
