//! Listings beside NARs.

use nix_compat::nar::Listing;

#[test]
fn a_listing_of_nix() {
    // `nix copy --to 'file://…?write-nar-listing=true'`, and the size of its NAR.
    let json = br#"{"version":1,"root":{"type":"directory","entries":{"bin":{"type":"directory","entries":{"a":{"type":"regular","size":131520,"executable":true,"narOffset":520}}},"lib":{"type":"symlink","target":"gcc-12-base"}}}}"#;
    let listing = Listing::parse(json).unwrap();
    let shown: Vec<_> = listing
        .entries()
        .map(|entry| {
            (
                entry.path.escape_ascii().to_string(),
                entry.depth,
                format!("{:?}", entry.node),
            )
        })
        .collect();
    assert_eq!(shown.len(), 4);
    assert_eq!(shown[2].0, "bin/a");
    assert_eq!(shown[2].1, 2);
    assert!(shown[2].2.contains("executable: true, size: 131520"));
    for (json, expected) in [
        (
            r#"{"version":2,"root":{"type":"directory","entries":{}}}"#,
            "version 2",
        ),
        (
            r#"{"version":1,"root":{"type":"fifo"}}"#,
            "is not a directory",
        ),
        (
            r#"{"version":1,"root":{"type":"directory"}}"#,
            "is not a directory",
        ),
        (
            r#"{"version":1,"root":{"type":"regular"}}"#,
            "is not a directory",
        ),
        (
            r#"{"version":1,"root":{"type":"symlink","target":""}}"#,
            "cannot be the target",
        ),
        (
            r#"{"version":1,"root":{"type":"directory","entries":{"..":{"type":"symlink","target":"x"}}}}"#,
            "cannot be the name",
        ),
        (
            r#"{"version":1,"root":{"type":"regular","size":-1}}"#,
            "not a NAR listing",
        ),
        ("{", "not a NAR listing"),
    ] {
        let error = Listing::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let endless = r#"{"version":1,"root":"#.to_owned()
        + &r#"{"type":"directory","entries":{"a":"#.repeat(100_000);
    assert!(Listing::parse(endless.as_bytes()).is_err());
    let most = u64::MAX;
    let lie = format!(r#"{{"version":1,"root":{{"type":"regular","size":{most}}}}}"#);
    assert_eq!(Listing::parse(lie.as_bytes()).unwrap().nar_size(), u64::MAX);
}
