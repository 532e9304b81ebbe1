use nix_compat::StoreDir;
use proptest::prelude::*;

use super::*;
use crate::bytes::tar::{Owner, TarRules};
use crate::recipe::StoreLayer;

fn tar(number: u8) -> TarId {
    TarId {
        digest: Digest::of(&[number]),
        size: number.into(),
    }
}

fn blob(number: u8) -> BlobId {
    BlobId {
        digest: Digest::of(&[100, number]),
        size: number.into(),
        media_type: Compression::LAYER_GZIP.media_type(),
    }
}

/// An image of one layer of one store path, whose tar may be given.
fn image(given: Option<TarId>) -> Image {
    let path = format!("{}-app", "a".repeat(32));
    let layer = StoreLayer {
        paths: vec![StoreDir::default().parse_base_name(&path).unwrap()],
        size: 0,
        tar: given,
    };
    let rules = TarRules {
        mtime: 1,
        owner: Owner::root(),
    };
    Image::of_layers(rules, vec![layer])
}

fn nar_hashes(image: &Image) -> BTreeMap<StorePath, NarHash> {
    let paths = image.store_layers.iter().flat_map(|layer| &layer.paths);
    paths.map(|path| (path.clone(), NarHash([1; 32]))).collect()
}

#[test]
fn what_was_remembered_wrongly_gives_way_to_what_is_made() {
    let image = image(None);
    let table = LayerTable::new(&image, Compression::LAYER_GZIP).unwrap();
    table.remember_blob(0, tar(1), blob(1));
    assert_eq!(table.tar(0), Fact::Remembered(tar(1)));
    table.made_blob(0, tar(2), blob(2)).unwrap();
    assert_eq!(table.tar(0), Fact::Made(tar(2)));
    assert_eq!(table.blob(0), Some(blob(2)));
    // And is not remembered again.
    table.remember_blob(0, tar(1), blob(1));
    assert_eq!(table.blob(0), Some(blob(2)));
}

#[test]
fn what_was_given_wrongly_is_an_error_that_names_the_layer() {
    let image = image(Some(tar(1)));
    let table = LayerTable::new(&image, Compression::None).unwrap();
    table.remember_tar(0, tar(2));
    assert_eq!(table.tar(0), Fact::Given(tar(1)));
    let error = table.made_tar(0, tar(2)).unwrap_err();
    assert!(
        matches!(error, Error::LayerLength { index: 1, .. }),
        "{error}"
    );
    let same_length = TarId {
        digest: Digest::of(&[9]),
        ..tar(1)
    };
    let error = table.made_tar(0, same_length).unwrap_err();
    assert!(
        matches!(error, Error::LayerDigest { index: 1, .. }),
        "{error}"
    );
    assert_eq!(table.tar(0), Fact::Given(tar(1)));
    table.made_tar(0, tar(1)).unwrap();
    assert_eq!(table.tar(0), Fact::Made(tar(1)));
}

#[test]
fn a_layer_that_changes_between_two_reads_is_an_error() {
    let image = image(None);
    let table = LayerTable::new(&image, Compression::LAYER_GZIP).unwrap();
    table.made_blob(0, tar(1), blob(1)).unwrap();
    assert!(table.made_blob(0, tar(1), blob(2)).is_err());
    assert!(table.made_tar(0, tar(2)).is_err());
}

#[test]
fn a_layer_that_was_not_made_is_a_fault_of_the_program_and_no_cancellation() {
    let image = image(None);
    let table = LayerTable::new(&image, Compression::None).unwrap();
    assert!(matches!(
        table.blobs(),
        Err(Error::NotMade { index: 1, .. })
    ));
    assert!(matches!(
        table.diff_ids(),
        Err(Error::NotMade { index: 1, .. })
    ));
}

#[test]
fn the_cache_gives_back_what_was_made() {
    let directory = tempfile::tempdir().unwrap();
    let mut cache = LayerCache::open(directory.path());
    let image = image(None);
    let hashes = nar_hashes(&image);
    for compression in [Compression::None, Compression::LAYER_GZIP] {
        let table = || {
            let table = LayerTable::new(&image, compression).unwrap();
            table.with_keys(&hashes)
        };
        let made = table();
        made.made_blob(0, tar(1), blob(1)).unwrap();
        made.keep(&mut cache).unwrap();
        let recalled = table();
        recalled.recall(&LayerCache::open(directory.path()));
        assert_eq!(recalled.tar(0), Fact::Remembered(tar(1)));
        assert_eq!(recalled.blob(0), made.blob(0));
    }
}

/// What others say, or what came with the image, is not what was read here.
#[test]
fn the_cache_keeps_nothing_but_what_was_made() {
    let directory = tempfile::tempdir().unwrap();
    let mut cache = LayerCache::open(directory.path());
    let image = image(None);
    let hashes = nar_hashes(&image);
    let table = || {
        let table = LayerTable::new(&image, Compression::LAYER_GZIP).unwrap();
        table.with_keys(&hashes)
    };
    let claimed = table();
    claimed.claim_blob(0, tar(1), blob(1));
    assert_eq!(claimed.tar(0), Fact::Claimed(tar(1)));
    assert!(claimed.is_claimed(0));
    claimed.keep(&mut cache).unwrap();
    let given = self::image(Some(tar(1)));
    let given = LayerTable::new(&given, Compression::LAYER_GZIP).unwrap();
    given.claim_blob(0, tar(1), blob(1));
    given.keep(&mut cache).unwrap();
    let recalled = table();
    recalled.recall(&cache);
    assert_eq!(recalled.tar(0), Fact::Unknown);
    assert_eq!(recalled.blob(0), None);
}

#[test]
fn what_the_cache_was_wrong_about_is_dropped_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut cache = LayerCache::open(directory.path());
    let image = image(None);
    let hashes = nar_hashes(&image);
    let table = |cache: &LayerCache| {
        let table = LayerTable::new(&image, Compression::LAYER_GZIP).unwrap();
        let table = table.with_keys(&hashes);
        table.recall(cache);
        table
    };
    let wrong = table(&cache);
    wrong.made_blob(0, tar(1), blob(1)).unwrap();
    wrong.keep(&mut cache).unwrap();
    // Another tar was found, and nothing is known of its blob.
    let found = table(&cache);
    found.made_tar(0, tar(2)).unwrap();
    assert_eq!(found.disproved(), [(0, Witness::Cache)]);
    assert_eq!(found.blob(0), None);
    found.keep(&mut cache).unwrap();
    let next = table(&LayerCache::open(directory.path()));
    assert_eq!(next.tar(0), Fact::Remembered(tar(2)));
    assert_eq!(next.blob(0), None);
    // It has another length, and what it is was not found out.
    let error = next.not_as_expected(0, tar(2), tar(3)).to_string();
    assert!(error.contains("the layer cache"), "{error}");
    next.keep(&mut cache).unwrap();
    assert_eq!(table(&cache).tar(0), Fact::Unknown);
}

/// Without NAR hashes, a layer is named by its tar once that is known.
#[test]
fn a_layer_without_a_key_is_named_by_its_tar() {
    let directory = tempfile::tempdir().unwrap();
    let mut cache = LayerCache::open(directory.path());
    let image = image(None);
    let table = || LayerTable::new(&image, Compression::LAYER_GZIP).unwrap();
    let made = table();
    assert_eq!(made.blob_key(0), None);
    made.made_blob(0, tar(1), blob(1)).unwrap();
    made.keep(&mut cache).unwrap();
    let recalled = table();
    recalled.recall(&cache);
    assert_eq!(recalled.blob(0), None);
    recalled.made_tar(0, tar(1)).unwrap();
    recalled.recall(&cache);
    assert_eq!(recalled.blob(0), Some(blob(1)));
    assert_eq!(recalled.blob_key(0), made.blob_key(0));
    // A tar that is only remembered names nothing: it may be wrong.
    let other = table();
    other.remember_tar(0, tar(1));
    assert_eq!(other.blob_key(0), None);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Remember(u8),
    Make(u8),
}

fn step() -> impl Strategy<Value = Step> {
    (any::<bool>(), 0..3u8).prop_map(|(makes, number)| match makes {
        true => Step::Make(number),
        false => Step::Remember(number),
    })
}

proptest! {
    /// Whatever happens in whatever order: the first value that is given or made stays, all else
    /// that is made is an error, and what is remembered counts until then.
    #[test]
    fn the_first_certain_value_stays(
        given in proptest::option::of(0..3u8),
        steps in proptest::collection::vec(step(), 0..12),
    ) {
        let mut fact = given.map_or(Fact::Unknown, Fact::Given);
        let (mut certain, mut remembered) = (given, None);
        for step in steps {
            match step {
                Step::Remember(number) => {
                    fact.remember(number);
                    remembered = remembered.or(Some(number));
                }
                Step::Make(number) => {
                    let expected = *certain.get_or_insert(number);
                    let made = fact.make(number);
                    prop_assert_eq!(made, if expected == number { Ok(()) } else { Err(expected) });
                }
            }
            prop_assert_eq!(fact.certain(), certain);
            prop_assert_eq!(fact.value(), certain.or(remembered));
        }
    }
}
