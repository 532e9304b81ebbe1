//! Plans that exist already: a file that holds one, or an image that carries one.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use layering::{FleetPlan, Plan};
use oci::{Platform, ReferenceError};
use serde_json::Value;

use crate::input;
use crate::resolve::carried_plan;
use crate::resolve::fleet_image;
use crate::resolve::registry_client::RegistrySettings;
use crate::resolve::release::Release;
use crate::resolve::source::ImageSource;

/// Where a plan is.
#[derive(Debug, Clone)]
pub struct PlanSource {
    text: String,
    /// Where the image is. A file or a directory may also be a plan or a layout.
    image: ImageSource,
}

/// The plan of one image, or of several.
#[derive(Debug)]
pub enum AnyPlan {
    /// That of an image.
    Image(Plan),
    /// That of a fleet.
    Fleet(FleetPlan),
}

impl FromStr for PlanSource {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self {
            text: text.to_owned(),
            image: text.parse()?,
        })
    }
}

impl fmt::Display for PlanSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<PathBuf> for PlanSource {
    fn from(file: PathBuf) -> Self {
        Self {
            text: file.display().to_string(),
            image: ImageSource::File(file),
        }
    }
}

impl PlanSource {
    /// Reads the plan; of an image for several platforms, that for `platform`.
    ///
    /// # Errors
    ///
    /// It is not there, or is neither a plan nor an image that carries one.
    pub fn open(&self, registry: &RegistrySettings, platform: &Platform) -> Result<Plan> {
        Ok(self.release(registry, platform)?.plan)
    }

    /// Reads the plan, which may be that of a fleet.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_any(&self, registry: &RegistrySettings, platform: &Platform) -> Result<AnyPlan> {
        let ImageSource::File(file) = &self.image else {
            return self.open(registry, platform).map(AnyPlan::Image);
        };
        if !is_plan(file)? {
            return self.open(registry, platform).map(AnyPlan::Image);
        }
        let text = input::read_input(file)?;
        any_of_json(&text).with_context(|| self.text.clone())
    }

    /// Reads the plan and what else its source says of that release.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn release(&self, registry: &RegistrySettings, platform: &Platform) -> Result<Release> {
        // What cannot be opened is named by the error; what it holds is not.
        let context = || self.text.clone();
        match &self.image {
            ImageSource::File(file) if is_plan(file)? => {
                Release::from_json(&input::read_input(file)?).with_context(context)
            }
            // What `skopeo copy dir oci:` and `stream --format oci` write.
            ImageSource::File(file) if file.is_dir() => {
                let layout = ImageSource::Layout(file.clone(), None);
                let plan = carried_plan::of_image(&layout.open(registry, platform)?);
                plan.map(Release::from).with_context(context)
            }
            image => {
                let plan = carried_plan::of_image(&image.open(registry, platform)?);
                plan.map(Release::from).with_context(context)
            }
        }
    }
}

/// What was before a fleet: `NAME=PLAN|IMAGE` for one image, or the plan of a whole fleet. An image
/// without a name is known by its text.
///
/// # Errors
///
/// One of them is not there, or is neither a plan nor an image that carries one.
pub fn open_fleet(
    sources: &[PlanSource],
    registry: &RegistrySettings,
    platform: &Platform,
) -> Result<FleetPlan> {
    let mut fleet = FleetPlan::default();
    for source in sources {
        let (name, source) = match fleet_image::named(&source.text) {
            Some((name, text)) => (name, &text.parse()?),
            None => (source.text.as_str(), source),
        };
        match source.open_any(registry, platform)? {
            AnyPlan::Fleet(plan) => {
                fleet.images.extend(plan.images);
                fleet.history = fleet.history.or(plan.history);
            }
            AnyPlan::Image(plan) => {
                fleet.images.insert(name.to_owned(), plan);
            }
        }
    }
    Ok(fleet)
}

fn any_of_json(text: &[u8]) -> Result<AnyPlan> {
    let value: Value = serde_json::from_slice(text).context("this is not JSON")?;
    if FleetPlan::is_form_of(&value) {
        return Ok(AnyPlan::Fleet(FleetPlan::from_value(value)?));
    }
    Ok(AnyPlan::Image(Release::from_json(text)?.plan))
}

/// Plans are JSON, which images are not. Standard input is a plan.
fn is_plan(file: &Path) -> Result<bool> {
    if file == Path::new("-") || files::is_given_open(file) {
        return Ok(true);
    }
    // What is not there may be the name of an image, which is explained where images are opened.
    if !file.exists() || file.is_dir() {
        return Ok(false);
    }
    let mut start = Vec::new();
    let open = files::open(file).and_then(|open| open.take(64).read_to_end(&mut start));
    open.with_context(|| {
        format!(
            "cannot read {} (a plan can also be given on standard input, as -)",
            file.display()
        )
    })?;
    let first = start.trim_ascii_start().first();
    Ok(matches!(first, Some(b'{' | b'[')))
}
