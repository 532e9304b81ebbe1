use std::num::NonZeroUsize;
use std::sync::atomic::AtomicUsize;

use nix_compat::tree::{Contents, Opened, TreeError, Trees, Visit};
use nix_compat::{NarHash, StoreDir, StorePath};
use oci::{Digest, DigestWriter};

use super::*;
use crate::blob_writer::BlobWriters;
use crate::bytes::compression::Compression;
use crate::bytes::tar::{Owner, TarRules};
use crate::filling::Filling;
use crate::layer_hashing::hash_unknown_layers;
use crate::layer_id::TarId;
use crate::layer_table::LayerTable;
use crate::recipe::{Image, Layer, StoreLayer};
use crate::schedule::Schedule;
use crate::sink::WriteSink;
use crate::write::docker_archive::{self, Observer, Options};
use crate::write::{OciOptions, write_oci_archive};

const LAYERS: usize = 20;

/// Trees of one file, which count how often they are shown.
struct Counted {
    is_cheap: bool,
    shown: AtomicUsize,
    broken: Option<usize>,
}

struct Bytes(Vec<u8>);

impl Contents for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&mut self) -> Result<Opened<'_>, TreeError> {
        Ok(Opened::Stream(Box::new(self.0.as_slice())))
    }
}

fn path(number: usize) -> StorePath {
    let name = format!("{number:032}-path");
    StoreDir::default().parse_base_name(&name).unwrap()
}

impl Trees for Counted {
    fn visit(&self, path: &StorePath, visitor: &mut dyn Visit) -> Result<(), TreeError> {
        self.shown.fetch_add(1, Ordering::Relaxed);
        let number: usize = path.hash().parse().unwrap();
        if self.broken == Some(number) {
            let path = path.as_str().into();
            return Err(TreeError::Kind { path });
        }
        let mut contents = Bytes(vec![number as u8; 10_000 * number]);
        visitor.file(path.as_str().as_bytes(), false, &mut contents)
    }

    fn rereads_cheaply(&self) -> bool {
        self.is_cheap
    }
}

struct Silent;

impl Observer for Silent {
    fn layer(&mut self, _: usize, _: usize, _: &Layer<'_>, _: u64) {}
}

fn image() -> Image {
    let rules = TarRules {
        mtime: 1,
        owner: Owner::root(),
    };
    let layer = |number| StoreLayer {
        paths: vec![path(number)],
        size: 0,
        tar: None,
    };
    Image::of_layers(rules, (0..LAYERS).map(layer).collect())
}

/// How an archive is written.
#[derive(Debug, Clone, Copy)]
enum Form {
    Docker,
    /// A docker-archive after all layers were hashed, without some of the lowest.
    Loaded(usize),
    Oci(Compression),
}

/// A test's way to write one.
#[derive(Clone, Copy)]
struct Way {
    form: Form,
    is_cheap: bool,
    /// Bytes on disk.
    room: u64,
    jobs: usize,
    verify: bool,
    broken: Option<usize>,
}

const DEAR: Way = Way {
    form: Form::Docker,
    is_cheap: false,
    room: 1 << 30,
    jobs: 3,
    verify: false,
    broken: None,
};

const CHEAP: Way = Way {
    is_cheap: true,
    ..DEAR
};

/// What came of writing an archive.
struct Written {
    /// The layers' tars, or why there is no archive.
    tars: Result<Vec<TarId>, Error>,
    /// Digest of all bytes.
    digest: Digest,
    /// How many trees were shown.
    shown: usize,
    /// How many layers were made twice for lack of room.
    made_twice: usize,
}

impl Way {
    /// Writes layers, some of which are remembered.
    fn write(self, remembered: impl Fn(usize) -> Option<TarId>) -> Written {
        let image = image();
        let compression = match self.form {
            Form::Oci(compression) => compression,
            Form::Docker | Form::Loaded(_) => Compression::None,
        };
        let table = LayerTable::new(&image, compression).unwrap();
        let hashes = (0..LAYERS).map(|number| (path(number), NarHash([number as u8; 32])));
        let table = table.with_keys(&hashes.collect());
        for index in 0..LAYERS {
            if let Some(tar) = remembered(index) {
                table.remember_tar(index, tar);
            }
        }
        let trees = Counted {
            is_cheap: self.is_cheap,
            shown: AtomicUsize::new(0),
            broken: self.broken,
        };
        let spool = Spool::new(self.room);
        let mut sink = WriteSink::new(DigestWriter::default());
        let written = self.write_to(&mut sink, &table, &trees, &spool);
        let tars = written.map(|()| {
            let tars = (0..LAYERS).map(|index| table.tar(index).value().unwrap());
            tars.collect()
        });
        if tars.is_ok() {
            assert_eq!(spool.used.load(Ordering::Relaxed), 0, "room is given back");
        }
        Written {
            tars,
            digest: sink.into_inner().finish().0,
            shown: trees.shown.into_inner(),
            made_twice: spool.made_twice(),
        }
    }

    fn write_to(
        self,
        sink: &mut impl Sink,
        table: &LayerTable<'_>,
        trees: &Counted,
        spool: &Spool,
    ) -> Result<(), Error> {
        let names = &["x:y".to_owned()];
        let jobs = NonZeroUsize::new(self.jobs).unwrap();
        if let Form::Oci(_) = self.form {
            let options = OciOptions {
                names,
                annotations: &BTreeMap::new(),
                verify: self.verify,
                index: false,
                spool,
                destination: &(),
            };
            let writers = BlobWriters::new(table, trees, jobs);
            return write_oci_archive(&writers, sink, &options).map(drop);
        }
        let mut left_out = 0;
        if let Form::Loaded(present) = self.form {
            hash_unknown_layers(table, trees, jobs, spool)?;
            left_out = present;
        }
        let options = Options {
            names,
            jobs,
            verify: self.verify,
            left_out,
            spool,
        };
        docker_archive::write(table, trees, sink, options, &mut Silent).map(drop)
    }
}

#[test]
fn what_is_dear_is_shown_once_and_gives_the_same_bytes() {
    let zstd = Form::Oci("zstd".parse().unwrap());
    let plain = Form::Oci(Compression::None);
    for form in [Form::Docker, Form::Loaded(0), Form::Loaded(7), plain, zstd] {
        let expected = Way { form, ..CHEAP }.write(|_| None);
        let tars = expected.tars.unwrap();
        let some = |number: usize| number.is_multiple_of(3).then(|| tars[number]);
        let all = |number: usize| Some(tars[number]);
        for jobs in [1, 2, 7] {
            let dear = Way { form, jobs, ..DEAR };
            let verified = Way {
                verify: true,
                ..dear
            };
            // Of layers that are left out, those that are known are not read.
            let unread = match form {
                Form::Loaded(present) => present,
                Form::Docker | Form::Oci(_) => 0,
            };
            for (written, shown) in [
                (dear.write(|_| None), LAYERS),
                (dear.write(some), LAYERS - unread.div_ceil(3)),
                (dear.write(all), LAYERS - unread),
                (verified.write(|_| None), LAYERS),
                (verified.write(all), LAYERS),
            ] {
                written.tars.unwrap();
                assert_eq!(written.digest, expected.digest, "{jobs}");
                assert_eq!(written.shown, shown, "{jobs}");
                assert_eq!(written.made_twice, 0, "{jobs}");
            }
        }
    }
}

#[test]
fn without_room_layers_are_made_twice_and_give_the_same_bytes() {
    let zstd = Form::Oci("zstd".parse().unwrap());
    let plain = Form::Oci(Compression::None);
    for form in [Form::Docker, Form::Loaded(0), plain, zstd] {
        let expected = Way { form, ..CHEAP }.write(|_| None);
        let tars = expected.tars.unwrap();
        // No room is wanted; none, some or all but a little of what the layers need.
        for room in [0, 1, 100_000, 150_000] {
            let dear = Way { form, room, ..DEAR };
            let written = dear.write(|_| None);
            written.tars.unwrap();
            assert_eq!(written.digest, expected.digest, "{form:?} {room}");
            let twice = written.shown - LAYERS;
            match room {
                0 => assert_eq!((twice, written.made_twice), (LAYERS, 0)),
                // The root's layer shows no tree.
                _ => assert!((twice..=twice + 1).contains(&written.made_twice), "{room}"),
            }
            // What is known needs no room.
            let written = dear.write(|number| Some(tars[number]));
            written.tars.unwrap();
            assert_eq!(written.digest, expected.digest, "{form:?} {room}");
            if !matches!(form, Form::Oci(Compression::Zstd(_))) {
                assert_eq!(written.shown, LAYERS, "{room}");
            }
        }
    }
}

#[test]
fn what_is_remembered_wrongly_is_hashed() {
    let expected = CHEAP.write(|_| None);
    let tars = expected.tars.unwrap();
    let wrong = |number: usize| TarId {
        digest: Digest::of(&[]),
        size: number as u64,
    };
    for way in [CHEAP, DEAR] {
        let written = way.write(|number| Some(wrong(number)));
        assert_eq!(written.tars.unwrap(), tars);
        assert_eq!(written.digest, expected.digest);
    }
}

#[test]
fn an_error_ends_all_that_wait() {
    let zstd = Form::Oci("zstd".parse().unwrap());
    for form in [Form::Docker, Form::Loaded(3), zstd] {
        for broken in [0, 7, LAYERS - 1] {
            for jobs in [1, 4] {
                let way = Way {
                    form,
                    jobs,
                    broken: Some(broken),
                    ..DEAR
                };
                let error = way.write(|_| None).tars.unwrap_err().to_string();
                assert!(error.contains(path(broken).as_str()), "{error}");
            }
        }
    }
}

#[test]
fn few_layers_wait_at_a_time() {
    let schedule = Schedule::default();
    let spool = Spool::new(1 << 20);
    let filling = Filling::ahead(&spool, NonZeroUsize::MIN, &schedule);
    let fill = |index| {
        let digest = filling.fill(index, None, |out| {
            out.write_all(b"layer").map_err(Error::Output)?;
            Ok((Digest::of(b"layer"), ()))
        });
        digest.map(drop)
    };
    let indices: Vec<usize> = (0..9).collect();
    let written = schedule.run(NonZeroUsize::MIN, &indices, fill, || {
        for index in 0..9 {
            filling.advance_to(index);
            let layer = schedule.wait_until(|| {
                assert!(spool.lock().layers.len() <= 3);
                filling.take(index, &Digest::of(b"layer"))
            })?;
            let mut sink = WriteSink::new(DigestWriter::default());
            assert_eq!(layer.write(&mut sink)?, 5);
            assert_eq!(sink.into_inner().finish().0, Digest::of(b"layer"));
        }
        Ok(())
    });
    written.unwrap();
    schedule.stop();
    let stopped = filling.fill(99, None, |_| Ok((Digest::of(&[]), ())));
    assert!(matches!(stopped, Err(Error::Cancelled)));
}

#[test]
fn a_shared_layer_is_read_by_several_from_its_start() {
    let digest = Digest::of(b"layer");
    let spool = Spool::new(1 << 20).shared();
    let mut writer = spool.writer(spool.hold(0).unwrap()).unwrap();
    writer.write_all(b"layer").unwrap();
    spool.put(3, digest, writer.finish().unwrap().unwrap());
    spool.drop_below(4);
    let layers = [(); 2].map(|()| spool.take(3, &digest).unwrap());
    for layer in layers {
        let mut sink = WriteSink::new(DigestWriter::default());
        assert_eq!(layer.write(&mut sink).unwrap(), 5);
        assert_eq!(sink.into_inner().finish().0, digest);
    }
    assert!(spool.take(3, &Digest::of(b"another")).is_none());
    assert!(spool.take(2, &digest).is_none());
}
