//! The images of a fleet, and what was before them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
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
use crate::resolve::fleet_image;
use crate::resolve::image_settings::ImageSettings;
use crate::resolve::plan_request::{DEFAULT_STRATEGY, LayerRules};
use crate::resolve::plan_source;
use crate::resolve::store::Store;
use crate::resolve::subject::{Subject, SubjectSettings};
use crate::usage::UsageError;

/// Options that have a meaning for a fleet, among those that an image of packages follows.
const OPTIONS: [&str; 4] = ["--max-layers", "--previous", "--min-layer-size", "--arch"];

/// Reads the images that `words` name, and the plans before them.
///
/// # Errors
///
/// A word names no image, two images have one name, or something cannot be read.
pub fn resolve(settings: &ImageSettings, words: &[String], store: &Store) -> Result<Fleet> {
    refuse_options(settings)?;
    let reader = Reader { settings, store };
    let mut images = BTreeMap::new();
    for word in words {
        for (name, image) in reader
            .images(word)
            .with_context(|| format!("--fleet {word}"))?
        {
            if images.insert(name.clone(), image).is_some() {
                let usage = format!(
                    "--fleet names two images {name}; write NAME=PATH to give one another name"
                );
                return Err(UsageError(usage).into());
            }
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

fn refuse_options(settings: &ImageSettings) -> Result<(), UsageError> {
    let given = settings.subject.package_options.iter();
    let is_default = settings.layers.strategy == DEFAULT_STRATEGY;
    let mut others = given.filter(|given| {
        !OPTIONS.contains(&given.as_str()) && !(is_default && *given == "--strategy")
    });
    match others.next() {
        None => Ok(()),
        Some(option) => Err(UsageError(format!(
            "{option} is for one image, and has no effect on the plan of a fleet"
        ))),
    }
}

struct Reader<'a> {
    settings: &'a ImageSettings,
    store: &'a Store,
}

impl Reader<'_> {
    /// The images of one word, with their names.
    fn images(&self, word: &str) -> Result<Vec<(String, FleetImage)>> {
        if let Some((name, paths)) = fleet_image::named(word) {
            return Ok(vec![(name.to_owned(), self.of_paths(paths.split(','))?.1)]);
        }
        if word == "-" || word.ends_with(".json") {
            return self.of_file(Path::new(word));
        }
        match self.of_paths([word].into_iter())? {
            (Some(name), image) => Ok(vec![(name, image)]),
            (None, _) => {
                let usage =
                    format!("{word} is a package, and has no name as an image; write NAME={word}");
                Err(UsageError(usage).into())
            }
        }
    }

    /// The image of store paths, or the one that a result of streamLayeredImage makes, with its name.
    fn of_paths<'t>(
        &self,
        paths: impl Iterator<Item = &'t str>,
    ) -> Result<(Option<String>, FleetImage)> {
        let subject = SubjectSettings {
            paths: paths.map(Into::into).collect(),
            ..SubjectSettings::default()
        };
        match subject.resolve(self.store)? {
            Subject::Packages(paths) => {
                let closure = RootedClosure::read(&paths, None, self.store)?;
                Ok((None, self.image(closure.closure, closure.hidden, 0)?))
            }
            Subject::Configuration(file) => {
                let conf = NixImage::parse(&input::read_input(&file)?, Timestamp::now());
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
                Ok((
                    Some(name.to_owned()),
                    self.image(closure, hidden, base_layers)?,
                ))
            }
        }
    }

    /// The images of a file.
    fn of_file(&self, file: &Path) -> Result<Vec<(String, FleetImage)>> {
        let bytes = input::read_input(file)?;
        let mut value: Value = serde_json::from_slice(&bytes).context("it is not JSON")?;
        let Some(Value::Object(images)) = value.get_mut("images").map(Value::take) else {
            bail!("it has no object `images`, of {{\"roots\": […]}} or {{\"graph\": […]}} by name");
        };
        let image = |(name, image): (String, Value)| {
            let image = self
                .of_value(&image)
                .with_context(|| format!("image {name}"))?;
            Ok((name, image))
        };
        images.into_iter().map(image).collect()
    }

    fn of_value(&self, image: &Value) -> Result<FleetImage> {
        if image.get("graph").is_some_and(Value::is_array) {
            let bytes = serde_json::to_vec(image)?;
            let store = self.store;
            let graph =
                store.with_outlines(|trees| Graph::parse(store.store_dir(), &bytes, trees))?;
            let closure = Closure::new(graph.paths).context("the closure is incomplete")?;
            return self.image(closure, graph.exclude, 0);
        }
        let roots = image.get("roots").and_then(Value::as_array);
        let roots = roots.map(|roots| roots.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        match roots.flatten() {
            Some(roots) if !roots.is_empty() => Ok(self.of_paths(roots.into_iter())?.1),
            _ => bail!("it has neither a list `graph` nor a list `roots` of store paths"),
        }
    }

    fn image(
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
