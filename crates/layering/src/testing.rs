//! Store paths and closures for unit tests: a name says it all, the hash follows from it.

use nix_compat::{PathInfo, StoreDir, StorePath};

use crate::closure::Closure;

/// The store path of a name. The hashes of different names are in no useful order.
pub(crate) fn path(name: &str) -> StorePath {
    salted_path(name, 0)
}

/// The same with another hash for each salt.
pub(crate) fn salted_path(name: &str, salt: usize) -> StorePath {
    let mut state = 0xcbf2_9ce4_8422_2325u64 ^ salt as u64;
    let mut hash = String::new();
    for at in 0..32 {
        for byte in name.bytes().chain([at]) {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash.push(char::from(
            b"0123456789abcdfghijklmnpqrsvwxyz"[(state >> 40) as usize % 32],
        ));
    }
    StoreDir::default()
        .parse_base_name(&format!("{hash}-{name}"))
        .unwrap()
}

/// The entry of a path with its size and the names that it refers to.
pub(crate) fn info(name: &str, nar_size: u64, references: &[&str]) -> PathInfo {
    let mut references: Vec<_> = references.iter().map(|name| path(name)).collect();
    references.sort();
    PathInfo {
        path: path(name),
        nar_hash: None,
        nar_size,
        references,
    }
}

/// A closure of such entries.
pub(crate) fn closure(entries: &[(&str, u64, &[&str])]) -> Closure {
    let infos = entries
        .iter()
        .map(|(name, size, references)| info(name, *size, references))
        .collect();
    Closure::new(infos).unwrap()
}

/// A closure of paths `0`, `1`, … where each refers to some before it: any graph, as property
/// tests draw one.
pub(crate) fn numbered(sizes_and_references: &[(u64, Vec<usize>)]) -> Closure {
    let infos = sizes_and_references
        .iter()
        .enumerate()
        .map(|(at, (size, references))| {
            let names: Vec<String> = references
                .iter()
                .filter(|_| at > 0)
                .map(|reference| (reference % at).to_string())
                .collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut info = info(&at.to_string(), *size, &names);
            info.references.dedup();
            info
        })
        .collect();
    Closure::new(infos).unwrap()
}
