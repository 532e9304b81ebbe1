use std::io::{self, Read, Seek as _};

use nix_compat::tree::{Contents, Opened, TreeError, Visit};
use nix_compat::{StoreDir, StorePath};

use super::*;
use crate::bytes::compression::Compression;
use crate::bytes::tar::{Owner, TarRules};
use crate::layer_id::TarId;
use crate::recipe::{Image, StoreLayer};

/// One file for each store path, of a length that the path's name says: `LENGTH`, or `LENGTH-file` if
/// it is a real file. `LENGTH-shorter` and `LENGTH-longer` have another length than they say, by one;
/// `LENGTH-bad` cannot be read after a while.
struct Files;

struct File<'a> {
    length: u64,
    kind: &'a str,
}

impl Contents for File<'_> {
    fn size(&self) -> u64 {
        self.length
    }

    fn open(&mut self) -> Result<Opened<'_>, TreeError> {
        let length = match self.kind {
            "shorter" => self.length - 1,
            "longer" => self.length + 1,
            _ => self.length,
        };
        let mut contents = io::repeat(b'x').take(length);
        Ok(match self.kind {
            "" => Opened::Stream(Box::new(contents)),
            "bad" => Opened::Stream(Box::new(contents.take(length / 2).chain(Broken))),
            _ => {
                let mut file = tempfile::tempfile().unwrap();
                io::copy(&mut contents, &mut file).unwrap();
                file.rewind().unwrap();
                Opened::File(file)
            }
        })
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("broken"))
    }
}

impl Trees for Files {
    fn visit(&self, path: &StorePath, visitor: &mut dyn Visit) -> Result<(), TreeError> {
        let (length, kind) = path.name().split_once('-').unwrap_or((path.name(), ""));
        let length = length.parse().unwrap();
        let mut contents = File { length, kind };
        visitor.file(path.as_str().as_bytes(), false, &mut contents)
    }
}

fn image(names: &[&str]) -> Image {
    let path = |name| {
        StoreDir::default()
            .parse(&format!("/nix/store/{}-{name}", "a".repeat(32)))
            .unwrap()
    };
    let layers = names.iter().map(|name| StoreLayer {
        paths: vec![path(name)],
        size: 0,
        tar: None,
    });
    let rules = TarRules {
        mtime: 1,
        owner: Owner::root(),
    };
    Image::of_layers(rules, layers.collect())
}

/// Hashes the store layers of `image` in one way after the other.
fn each_way<T>(
    image: &Image,
    jobs: usize,
    body: impl Fn(&Hashing<'_>) -> Result<T, Error>,
) -> Vec<Result<T, Error>> {
    let ways = Lanes::available().into_iter().map(Some).chain([None]);
    ways.map(|lanes| {
        let table = LayerTable::new(image, Compression::None).unwrap();
        let schedule = Schedule::default();
        let wanted = (0..image.store_layers.len()).collect();
        let hashing = Hashing::new(&table, &Files, &schedule, wanted);
        hashing.run_with(NonZeroUsize::new(jobs).unwrap(), lanes, None, &body)
    })
    .collect()
}

fn all_tars(image: &Image, jobs: usize) -> Vec<Result<Vec<TarId>, Error>> {
    each_way(image, jobs, |hashing| {
        let tars = (0..image.store_layers.len()).map(|index| {
            hashing.wait(index)?;
            Ok(hashing.table.tar(index).certain().unwrap())
        });
        tars.collect()
    })
}

#[test]
fn all_ways_give_the_same_digests() {
    let names: Vec<String> = (0..60u64)
        .map(|i| (i * i * 7919 % 700_000).to_string())
        .chain(["9000000".to_owned(), "0".to_owned()])
        .chain((0..40u64).map(|i| format!("{}-file", i * i * 7919 % 700_000)))
        .chain(["3000000-file".to_owned(), "65536-file".to_owned()])
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let image = image(&names);
    let mut found = [1, 2, 3, 8, 100]
        .into_iter()
        .flat_map(|jobs| all_tars(&image, jobs));
    let expected = found.next().unwrap().unwrap();
    assert_eq!(expected[0].size, 10_240);
    for found in found {
        assert_eq!(found.unwrap(), expected);
    }
}

#[test]
fn a_layer_that_cannot_be_read_ends_it() {
    for place in [0, 7, 39] {
        let mut names = vec!["2000000"; 40];
        names[place] = "300000-bad";
        let image = image(&names);
        for result in [1, 3].into_iter().flat_map(|jobs| all_tars(&image, jobs)) {
            let error = result.unwrap_err();
            assert!(
                matches!(error, Error::Tree(TreeError::Read { .. })),
                "{error:?}"
            );
        }
    }
}

#[test]
fn a_file_of_another_length_ends_it() {
    for kind in [
        "300000-shorter",
        "300000-longer",
        "131072-shorter",
        "131072-longer",
    ] {
        let mut names = vec!["2000000-file"; 12];
        names[5] = kind;
        let image = image(&names);
        for result in all_tars(&image, 2) {
            let error = result.unwrap_err();
            assert!(
                matches!(error, Error::Tree(TreeError::Changed { .. })),
                "{error:?}"
            );
        }
    }
}

#[test]
fn threads_end_when_nobody_wants_the_digests() {
    let image = image(&["3000000"; 50]);
    for jobs in [1, 3] {
        for result in each_way(&image, jobs, |hashing| {
            hashing.wait(0)?;
            Err::<(), _>(Error::Cancelled)
        }) {
            assert!(matches!(result, Err(Error::Cancelled)));
        }
    }
}
