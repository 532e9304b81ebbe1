//! No file of a crate imports itself by way of others.

use std::collections::BTreeSet;
use std::path::Path;

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;

use super::metadata::packages;
use super::source::Crate;
use crate::support::program::repository;

#[test]
fn no_file_imports_itself_by_way_of_others() {
    let repository = repository();
    let name = |file: &Path| {
        let file = file.strip_prefix(&repository).unwrap();
        file.display().to_string()
    };
    let mut circles = Vec::new();
    for package in packages() {
        let source = Crate::read(&package.root);
        let imports = source.imports();
        for circle in circles_in(&imports) {
            let inside = imports
                .iter()
                .filter(|(from, to)| circle.contains(from) && circle.contains(to));
            circles.extend(inside.map(|(from, to)| format!("{} imports {}", name(from), name(to))));
        }
    }
    assert!(circles.is_empty(), "circles:\n{}", circles.join("\n"));
}

fn circles_in<'a>(imports: &BTreeSet<(&'a Path, &'a Path)>) -> Vec<BTreeSet<&'a Path>> {
    let files: BTreeSet<&Path> = imports.iter().flat_map(|(from, to)| [*from, *to]).collect();
    let files: Vec<&Path> = files.into_iter().collect();
    let number = |file: &&Path| files.binary_search(file).unwrap() as u32;
    let edges = imports.iter().map(|(from, to)| (number(from), number(to)));
    let graph = DiGraph::<(), ()>::from_edges(edges);
    let circles = tarjan_scc(&graph)
        .into_iter()
        .filter(|files| files.len() > 1);
    let files = |circle: Vec<_>| {
        circle
            .into_iter()
            .map(|file: petgraph::graph::NodeIndex| files[file.index()])
            .collect()
    };
    circles.map(files).collect()
}
