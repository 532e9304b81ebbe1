//! README.md and docs/: every command in them runs, and prints what they show.
//!
//! A block of the language `sh` has to succeed. In a `console` block, the output is compared, too
//! (see [`output`]). Blocks of `nix` are evaluated.

mod options;
mod output;
mod page;
mod session;

use page::Page;
use session::Session;
use test_peers::needs;

use crate::support::program::repository;

/// Runs a page from its first block to its last.
fn run(name: &str) {
    let page = Page::open(name);
    let session = Session::of(&page);
    for block in page.blocks() {
        match block.language {
            "sh" => {
                let (succeeded, printed) = session.run(&block.text);
                assert!(succeeded, "{name}:\n{}\n{printed}", block.text);
            }
            "console" => {
                for shown in block.shown() {
                    let command = &shown.command;
                    let (succeeded, printed) = session.run(command);
                    assert!(succeeded, "{name}: {command}\n{printed}");
                    if let Err(line) = output::matches(&shown.output, &printed) {
                        panic!("{name}: {command}\nshould print {line}\nprints:\n{printed}");
                    }
                }
            }
            "nix" => session::take_nix(&session, &block.text),
            _ => {}
        }
    }
}

/// A test for each page, with the peers that its commands need.
macro_rules! pages {
    ($($test:ident($($peer:tt),*): $page:literal,)*) => {
        $(#[needs($($peer),*)]
        #[test]
        fn $test() {
            run($page);
        })*

        const TESTED: &[&str] = &[$($page),*];
    };
}

pages! {
    the_readme_runs(docker, nix, registry): "README.md",
    base_images_run(nix, registry): "docs/base-images.md",
    binary_caches_run(docker): "docs/binary-caches.md",
    layers_run(docker, nix, registry): "docs/layers.md",
    load_runs(docker, nix): "docs/load.md",
    nix_runs(docker, nix): "docs/nix.md",
    push_runs(nix, registry, skopeo): "docs/push.md",
}

#[test]
fn every_page_with_commands_is_run() {
    for page in Page::all() {
        let has_commands = page.blocks().iter().any(page::Block::is_run);
        assert_eq!(
            has_commands,
            TESTED.contains(&page.name.as_str()),
            "{} is in the list of pages that run if it has commands",
            page.name
        );
    }
}

#[test]
fn blocks_say_their_language() {
    for page in Page::all() {
        for block in page.blocks() {
            let known = ["sh", "console", "nix", "json", "text"].contains(&block.language);
            assert!(known, "{}: ```{}", page.name, block.language);
            let is_elided = block.is_run() && block.text.contains("/…");
            assert!(
                !is_elided,
                "{}: a command that cannot run: {}",
                page.name, block.text
            );
        }
    }
}

#[test]
fn links_lead_somewhere() {
    let contributing = Page::open("CONTRIBUTING.md");
    for page in Page::all().into_iter().chain([contributing]) {
        for link in page.links() {
            assert!(link.exists(), "{}: {}", page.name, link.display());
        }
    }
}

#[test]
fn the_readme_is_short() {
    let length = Page::open("README.md").len();
    assert!(
        (6000..8000).contains(&length),
        "{length} bytes; the rest belongs to docs/"
    );
}

/// CONTRIBUTING leads through the code: a file that moves takes its name there with it.
#[test]
fn files_that_contributing_names_are_there() {
    let contributing = Page::open("CONTRIBUTING.md");
    let missing: Vec<&str> = contributing
        .quoted()
        .filter(|text| {
            ["crates/", "nix/", "docs/", "tests/", ".ci/"]
                .iter()
                .any(|folder| text.starts_with(folder))
        })
        .map(|text| text.split([' ', '#']).next().unwrap_or(text))
        .filter(|path| !repository().join(path).exists())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
