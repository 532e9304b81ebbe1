//! The closures of all images as one graph, and which images need each path.

use std::collections::BTreeMap;

use nix_compat::{PathInfo, StorePath};
use petgraph::graph::NodeIndex;

use super::members::Members;
use super::request::{Fleet, FleetError};
use crate::closure::Closure;

/// All paths of a fleet.
#[derive(Debug)]
pub(crate) struct Union {
    pub(crate) closure: Closure,
    /// For each node, the images that have it in a layer.
    pub(crate) needed_by: Vec<Members>,
    /// For each image, the nodes that it has in layers, ascending.
    pub(crate) shown: Vec<Vec<NodeIndex>>,
}

impl Union {
    pub(crate) fn new(fleet: &Fleet) -> Result<Self, FleetError> {
        let mut infos = BTreeMap::<&StorePath, Vec<&PathInfo>>::new();
        for info in fleet
            .images
            .values()
            .flat_map(|image| image.closure.paths())
        {
            let known = infos.entry(&info.path).or_default();
            if !known.contains(&info) {
                known.push(info);
            }
        }
        let infos = infos.into_values().flatten().cloned().collect();
        let closure = Closure::new(infos)?;
        let images = fleet.images.len();
        let mut needed_by = vec![Members::none(images); closure.len()];
        let mut shown = vec![Vec::new(); images];
        for (at, image) in fleet.images.values().enumerate() {
            let paths = image.closure.paths().map(|info| &info.path);
            for path in paths.filter(|path| !image.hidden.contains(path)) {
                if let Some(node) = closure.node(path) {
                    needed_by[node.index()].insert(at);
                    shown[at].push(node);
                }
            }
        }
        Ok(Self {
            closure,
            needed_by,
            shown,
        })
    }

    /// Whether an image has a path in a layer.
    pub(crate) fn needs(&self, image: usize, node: NodeIndex) -> bool {
        self.needed_by[node.index()].has(image)
    }

    /// The NAR sizes of some paths together, in bytes.
    pub(crate) fn size(&self, nodes: &[NodeIndex]) -> u64 {
        let graph = self.closure.graph();
        nodes.iter().map(|&node| graph[node].nar_size).sum()
    }

    /// Sorts by name, and by hash only where names are equal: a hash says nothing, and is another one
    /// after each rebuild.
    pub(crate) fn sort_by_name(&self, nodes: &mut [NodeIndex]) {
        let graph = self.closure.graph();
        nodes.sort_by_key(|&node| (graph[node].path.name(), graph[node].path.hash()));
    }
}
