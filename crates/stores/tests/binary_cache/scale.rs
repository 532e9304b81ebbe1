//! A cache with as many paths as a system has.

use std::time::{Duration, Instant};

use nix_compat::narinfo::Compression;

use crate::made::{Made, open, path, some_nar};
use crate::server::{Answer, Server};

/// How many paths the closure has.
const PATHS: usize = 5000;
/// How long the server takes for each answer.
const LATENCY: Duration = Duration::from_millis(20);

#[test]
fn five_thousand_narinfos_from_a_slow_server() {
    let made = Made::new();
    let nar = some_nar(10);
    for number in 1..=PATHS {
        // A tree with two children each, and some links across.
        let references: Vec<_> = [number * 2, number * 2 + 1, number / 3 + 1]
            .into_iter()
            .filter(|&reference| reference <= PATHS)
            .map(path)
            .collect();
        made.add(&path(number), &nar, Compression::None, &references, |_| {});
    }
    let server = Server::start(made.path(), |_| Answer::Late(LATENCY));
    let caches = open(&[&server.url()], made.trust()).unwrap();
    let start = Instant::now();
    let closure = caches.closure(&[path(1)]).unwrap();
    println!("{PATHS} narinfos in {:.2?}", start.elapsed());
    assert_eq!(closure.len(), PATHS);
    assert!(closure.windows(2).all(|pair| pair[0].path < pair[1].path));
    // Each once, besides nix-cache-info, and never more at once than was allowed.
    assert_eq!(server.asked().len(), PATHS + 1);
    assert!(
        server.connections() <= 48,
        "{} connections",
        server.connections()
    );
}
