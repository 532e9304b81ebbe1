use nix_compat::tree::{Contents, Opened, TreeError, Visit};
use nix_compat::{StoreDir, StorePath};

use super::*;
use crate::tar::Owner;

/// One file for each store path, of a length that the path's name says (`…-LENGTH`); a path named
/// `bad` cannot be read after a while.
struct Files;

struct File {
    length: u64,
    bad: bool,
}

impl Contents for File {
    fn size(&self) -> u64 {
        self.length
    }

    fn open(&mut self) -> Result<Opened<'_>, TreeError> {
        let contents = io::repeat(b'x').take(self.length);
        Ok(Opened::Stream(if self.bad {
            Box::new(contents.take(self.length / 2).chain(Broken))
        } else {
            Box::new(contents)
        }))
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
        let bad = path.name() == "bad";
        let length = if bad {
            300_000
        } else {
            path.name().parse().unwrap()
        };
        let mut contents = File { length, bad };
        visitor.file(path.as_str().as_bytes(), false, &mut contents)
    }
}

fn layers(names: &[&str]) -> Vec<StoreLayer> {
    let path = |name| {
        StoreDir::default()
            .parse(&format!("/nix/store/{}-{name}", "a".repeat(32)))
            .unwrap()
    };
    names
        .iter()
        .map(|name| StoreLayer {
            paths: vec![path(name)],
            promise: None,
        })
        .collect()
}

/// Takes the digests of `layers` in one way after the other.
fn each_way<T>(
    layers: &[StoreLayer],
    jobs: usize,
    body: impl Fn(&Digests) -> Result<T, Error>,
) -> Vec<Result<T, Error>> {
    let rules = TarRules {
        mtime: 1,
        owner: Owner::root(),
    };
    let all: Vec<_> = layers.iter().map(Layer::Store).collect();
    let ways = Lanes::available().into_iter().map(Some).chain([None]);
    ways.map(|lanes| {
        let work = Work {
            layers: &all,
            trees: &Files,
            rules: &rules,
            spools: None,
            unknown: (0..all.len()).collect(),
            next: AtomicUsize::new(0),
            cancelled: AtomicBool::new(false),
            digests: Digests {
                slots: Mutex::new(all.iter().map(|_| Slot::Waiting).collect()),
                changed: Condvar::new(),
            },
        };
        work.run(NonZeroUsize::new(jobs).unwrap(), lanes, &body)
    })
    .collect()
}

fn all_digests(layers: &[StoreLayer], jobs: usize) -> Vec<Result<Vec<LayerDigest>, Error>> {
    each_way(layers, jobs, |digests| {
        (0..layers.len()).map(|index| digests.wait(index)).collect()
    })
}

#[test]
fn all_ways_give_the_same_digests() {
    let names: Vec<String> = (0..60u64)
        .map(|i| (i * i * 7919 % 700_000).to_string())
        .chain(["9000000".to_owned(), "0".to_owned()])
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let layers = layers(&names);
    let mut found = [1, 2, 3, 8, 100]
        .into_iter()
        .flat_map(|jobs| all_digests(&layers, jobs));
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
        names[place] = "bad";
        let layers = layers(&names);
        for result in [1, 3]
            .into_iter()
            .flat_map(|jobs| all_digests(&layers, jobs))
        {
            let error = result.unwrap_err();
            assert!(
                matches!(error, Error::Tree(TreeError::Read { .. })),
                "{error:?}"
            );
        }
    }
}

#[test]
fn threads_end_when_nobody_wants_the_digests() {
    let layers = layers(&["3000000"; 50]);
    for jobs in [1, 3] {
        for result in each_way(&layers, jobs, |digests| {
            digests.wait(0)?;
            Err::<(), _>(Error::Cancelled)
        }) {
            assert!(matches!(result, Err(Error::Cancelled)));
        }
    }
}
