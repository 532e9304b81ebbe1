//! Whatever the text is: no panic, and what is accepted says the same when it is printed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_compat::narinfo::CacheInfo;
use nix_compat::nix_conf::{NixConf, NixConfError};
use nix_compat::signature::{CACHE_NIXOS_ORG, PublicKey};
use nix_compat::{NarInfo, StoreDir};

fuzz_target!(|text: &str| {
    let store_dir = StoreDir::default();
    if let Ok(info) = NarInfo::parse(&store_dir, text) {
        assert_eq!(
            NarInfo::parse(&store_dir, &info.to_string()),
            Ok(info.clone())
        );
        if let Ok(key) = PublicKey::parse(CACHE_NIXOS_ORG) {
            assert_eq!(info.signed_by(&[key]), None);
        }
    }
    let _ = CacheInfo::parse(text);
    let _ = NixConf::default().read(text, &mut |_, _| Ok::<_, NixConfError>(()));
});
