//! The images of a fleet, and what was before them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use image::base::BaseImage;
use image::nix_image_json::NixImage;
use image::timestamp::Timestamp;
use layering::{Closure, Fleet, FleetImage};
use nix_compat::StorePath;
use oci::reference::split_tag;
use serde_json::Value;
use stores::Graph;

use crate::input;
use crate::platform;
use crate::resolve::closure::RootedClosure;
use crate::resolve::fleet_member::{self, FleetContent, FleetMember};
use crate::resolve::image_settings::ImageSettings;
use crate::resolve::plan_request::{DEFAULT_STRATEGY, LayerRules};
use crate::resolve::plan_source;
use crate::resolve::store::Store;
use crate::resolve::subject::Subject;
use crate::usage::UsageError;

/// Options that change the plan of a fleet.
const PLAN_OPTIONS: [&str; 4] = ["--max-layers", "--previous", "--min-layer-size", "--arch"];

/// The fleet that is planned for the words of `--fleet`.
///
/// # Errors
///
/// As of [`resolve`], or an option is not for a fleet.
pub fn of_words(settings: &ImageSettings, words: &[String], store: &Store) -> Result<Fleet> {
    refuse_options(settings, &PLAN_OPTIONS)?;
    let members = fleet_member::read(words)?;
    let members: Vec<&FleetMember> = members.iter().collect();
    resolve(settings, &members, store)
}

/// Reads the closures of the images, and the plans before them.
///
/// # Errors
///
/// Two images have one name, or something cannot be read.
pub fn resolve(settings: &ImageSettings, members: &[&FleetMember], store: &Store) -> Result<Fleet> {
    let reader = Reader { settings, store };
    let mut images = BTreeMap::new();
    for member in members {
        let (name, image) = reader.image(member)?;
        if images.insert(name.clone(), image).is_some() {
            return Err(two_of(&name).into());
        }
    }
    let mut fleet = Fleet::new(images);
    fleet.min_layer_size = settings.layers.min_layer_size;
    if !settings.layers.previous.is_empty() {
        let platform = platform::platform(settings.platform.as_ref())?;
        let previous = &settings.layers.previous;
        let previous = plan_source::open_fleet(previous, &settings.registry, &platform);
        fleet.previous = Some(previous.context("--previous")?);
    }
    Ok(fleet)
}

/// What to say of two images with one name.
pub fn two_of(name: &str) -> UsageError {
    UsageError(format!(
        "--fleet names two images {name}; write NAME=PATH to give one another name"
    ))
}

/// Refuses options that were given, and are not among the `allowed` ones. A fleet's strategy is
/// always stable.
///
/// # Errors
///
/// The first of them.
pub fn refuse_options(settings: &ImageSettings, allowed: &[&str]) -> Result<(), UsageError> {
    let given = settings.subject.package_options.iter();
    let is_default = settings.layers.strategy == DEFAULT_STRATEGY;
    let mut others = given.filter(|given| {
        !(allowed.contains(&given.as_str()) || is_default && *given == "--strategy")
    });
    match others.next() {
        None => Ok(()),
        Some(option) => Err(UsageError(format!(
            "{option} is for one image, and has no meaning for a fleet"
        ))),
    }
}

struct Reader<'a> {
    settings: &'a ImageSettings,
    store: &'a Store,
}

impl Reader<'_> {
    /// An image, and its name.
    fn image(&self, member: &FleetMember) -> Result<(String, FleetImage)> {
        let name = member.name.as_deref().unwrap_or_default();
        match &member.content {
            FleetContent::Graph(graph) => {
                let image = self.of_graph(graph);
                Ok((
                    name.to_owned(),
                    image.with_context(|| format!("image {name}"))?,
                ))
            }
            FleetContent::Configuration(file) => {
                Ok((name.to_owned(), self.of_configuration(file)?.1))
            }
            FleetContent::Paths(paths) => match member.subject(paths, &[], self.store)? {
                Subject::Packages(paths) => {
                    let closure = RootedClosure::read(&paths, None, self.store)?;
                    let image = self.of_closure(closure.closure, closure.hidden, 0)?;
                    Ok((name.to_owned(), image))
                }
                Subject::Configuration(file) => {
                    let (own_name, image) = self.of_configuration(&file)?;
                    Ok((member.name.clone().unwrap_or(own_name), image))
                }
            },
        }
    }

    fn of_configuration(&self, file: &Path) -> Result<(String, FleetImage)> {
        let conf = NixImage::parse(&input::read_input(file)?, Timestamp::now());
        let conf = conf.with_context(|| format!("{}", file.display()))?;
        let layers = conf.store_layers.iter().map(|layer| layer.paths.clone());
        let paths: Vec<StorePath> = layers.flatten().collect();
        let closure = Closure::new(self.store.closure(&paths)?);
        let closure = closure.context("the closure is incomplete")?;
        let shown: BTreeSet<&StorePath> = paths.iter().collect();
        let all = closure.paths().map(|info| &info.path);
        let hidden = all.filter(|path| !shown.contains(path)).cloned().collect();
        let base_layers = match &conf.from_image {
            Some(base) => BaseImage::open(&self.store.locate(base), None, &conf.platform)?
                .layers
                .len(),
            None => 0,
        };
        let (name, _) = split_tag(&conf.repo_tag);
        let image = self.of_closure(closure, hidden, base_layers)?;
        Ok((name.to_owned(), image))
    }

    fn of_graph(&self, graph: &Value) -> Result<FleetImage> {
        let (bytes, store) = (serde_json::to_vec(graph)?, self.store);
        let graph = store.with_outlines(|trees| Graph::parse(store.store_dir(), &bytes, trees))?;
        let closure = Closure::new(graph.paths).context("the closure is incomplete")?;
        self.of_closure(closure, graph.exclude, 0)
    }

    fn of_closure(
        &self,
        closure: Closure,
        hidden: BTreeSet<StorePath>,
        base_layers: usize,
    ) -> Result<FleetImage> {
        let rules = LayerRules::new(layering::Strategy::Stable, self.settings.layers.max_layers);
        let request = rules.request(hidden, base_layers);
        let request =
            request.map_err(|error| UsageError(error.text("--max-layers ", "the base image")))?;
        Ok(FleetImage {
            closure,
            hidden: request.hidden,
            max_store_layers: request.max_store_layers,
        })
    }
}
