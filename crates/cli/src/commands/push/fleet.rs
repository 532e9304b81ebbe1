//! `push --fleet`: several images in one run. A layer that they share is read, compressed and sent
//! once: the next image's repository takes it over.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use layering::{FleetPlan, plan_fleet};
use oci::Reference;
use oci::reference::{DEFAULT_TAG, split_tag};

use super::one_image::{Names, push_image};
use crate::args::{PushArgs, PushName};
use crate::output::console::{self, say};
use crate::resolve::fleet_member::{self, FleetContent, FleetMember};
use crate::resolve::fleet_plan_source::{self, FleetPlanSource};
use crate::resolve::image::ResolvedImage;
use crate::resolve::image_settings::ImageSettings;
use crate::resolve::store::Store;
use crate::resolve::subject::Subject;
use crate::resolve::{fleet, registry_client};
use crate::usage::UsageError;

/// Options that say the same of several images.
const OPTIONS: [&str; 16] = [
    "--arch",
    "--cmd",
    "--config",
    "--created",
    "--entrypoint",
    "--env",
    "--expose",
    "--fleet-plan",
    "--label",
    "--max-layers",
    "--min-layer-size",
    "--mtime",
    "--owner",
    "--previous",
    "--user",
    "--workdir",
];

/// Pushes the images of a fleet. Nothing is sent before all of them are read and planned.
pub fn run(args: &PushArgs, settings: &ImageSettings) -> Result<()> {
    for name in [&args.reference].into_iter().chain(&args.also) {
        if let PushName::One(reference) = name {
            let usage = format!(
                "--fleet pushes several images, and {reference} is the name of one; write {{name}} where each image's \
                 name is to stand, such as HOST/TEAM/{{name}}:{{tag}}"
            );
            return Err(UsageError(usage).into());
        }
    }
    fleet::refuse_options(settings, &OPTIONS)?;
    let members = fleet_member::read(&args.fleet)?;
    let client = registry_client::client(&settings.registry)?;
    let mut images: Vec<(ResolvedImage, Vec<Reference>)> = Vec::new();
    let mut names = BTreeSet::new();
    for settings in images_of(settings, &members)? {
        let input = ResolvedImage::new(&settings);
        let input = match &settings.names.name {
            Some(name) => input.with_context(|| format!("image {name}"))?,
            None => input?,
        };
        let references = references(args, &input)?;
        if let Some(twice) = references
            .iter()
            .find(|name| !names.insert((*name).clone()))
        {
            let usage = format!(
                "two images would be pushed to {twice}; write {{name}} or {{tag}} in REF where they differ"
            );
            return Err(UsageError(usage).into());
        }
        images.push((input, references));
    }
    let mut cache = args.cache.settings().open();
    let mut siblings = Vec::new();
    for (input, references) in images {
        let names = Names {
            references,
            siblings: &siblings,
        };
        if !args.quiet {
            say!("pushing {}", names.first());
        }
        let digest = push_image(args, &client, &input, &names, &mut cache)?;
        console::print(format!("{}\n", names.first().with_digest(digest)))?;
        siblings.extend(names.references);
    }
    Ok(())
}

/// The settings of each image. Those of store paths have the layers of the fleet's plan.
fn images_of(settings: &ImageSettings, members: &[FleetMember]) -> Result<Vec<ImageSettings>> {
    let store = Store::open(&settings.store)?;
    let options = &settings.subject.package_options;
    let mut images = Vec::new();
    let mut of_packages = Vec::new();
    for member in members {
        let mut image = settings.clone();
        image.names.name = member.name.clone();
        match &member.content {
            FleetContent::Paths(paths) => {
                image.subject.paths = paths.clone();
                if let Subject::Packages(_) = member.subject(paths, options, &store)? {
                    of_packages.push(member);
                }
            }
            // It has the name that its expression gives it.
            FleetContent::Configuration(file) => {
                image.subject.configuration = Some(file.clone());
                image.names.name = None;
            }
            FleetContent::Graph(_) => {
                let name = member.name.as_deref().unwrap_or_default();
                let usage =
                    format!("image {name}: a closure alone has no files to push; give its `roots`");
                return Err(UsageError(usage).into());
            }
        }
        images.push(image);
    }
    if of_packages.is_empty() {
        return Ok(images);
    }
    let plan = plan(settings, &of_packages, &store)?;
    for image in &mut images {
        let name = image.names.name.as_deref();
        if of_packages
            .iter()
            .any(|member| member.name.as_deref() == name)
        {
            let plan = fleet_plan_source::plan_of(&plan, name).context("--fleet-plan")?;
            image.layers.fleet_plan = Some(FleetPlanSource::Made(plan));
        }
    }
    Ok(images)
}

/// The plan that was given, or one that is made now.
fn plan(settings: &ImageSettings, members: &[&FleetMember], store: &Store) -> Result<FleetPlan> {
    match &settings.layers.fleet_plan {
        Some(FleetPlanSource::File { file, image: None }) => {
            fleet_plan_source::read(file).context("--fleet-plan")
        }
        Some(source) => {
            let usage =
                format!("--fleet-plan {source}: with --fleet, give the file without a name");
            Err(UsageError(usage).into())
        }
        None => Ok(plan_fleet(&fleet::resolve(settings, members, store)?)?),
    }
}

/// Where an image is pushed to.
fn references(args: &PushArgs, input: &ResolvedImage) -> Result<Vec<Reference>> {
    let repo_tag = input
        .image
        .repo_tags
        .first()
        .context("the image has no name")?;
    let (name, tag) = split_tag(repo_tag);
    let tag = tag.unwrap_or(DEFAULT_TAG);
    let all = [&args.reference].into_iter().chain(&args.also);
    let references = all.map(|each| each.reference(name, tag));
    Ok(references.collect::<Result<_, _>>()?)
}
