//! The plan of one image, out of the plan of its fleet.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use layering::{FleetPlan, Plan};

use crate::input;
use crate::usage::UsageError;

/// Where the plan is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FleetPlanSource {
    /// `FILE#NAME`: that of the image NAME, in the plan of a fleet in FILE.
    File {
        /// The file.
        file: PathBuf,
        /// The image's name, which the images of a fleet know themselves.
        image: Option<String>,
    },
    /// It was made just now.
    Made(Plan),
}

impl FleetPlanSource {
    /// The plan.
    ///
    /// # Errors
    ///
    /// The file cannot be read, holds no plan of a fleet, or none for the image.
    pub fn open(&self) -> Result<Plan> {
        match self {
            Self::Made(plan) => Ok(plan.clone()),
            Self::File { file, image } => plan_of(&read(file)?, image.as_deref())
                .with_context(|| format!("{}", file.display())),
        }
    }
}

/// Reads the plan of a fleet.
///
/// # Errors
///
/// The file cannot be read, or holds no such plan.
pub fn read(file: &Path) -> Result<FleetPlan> {
    let context = || format!("{}", file.display());
    let text = String::from_utf8(input::read_input(file).with_context(context)?);
    let text = text.context("it is not UTF-8 text").with_context(context)?;
    FleetPlan::from_json(&text).with_context(context)
}

/// The plan that a fleet has for an image. It knows what the fleet knows of earlier releases.
///
/// # Errors
///
/// The fleet has no such image.
pub fn plan_of(fleet: &FleetPlan, image: Option<&str>) -> Result<Plan> {
    let names = || {
        let names: Vec<&str> = fleet.images.keys().map(String::as_str).collect();
        match names.as_slice() {
            [] => "none".to_owned(),
            _ => names.join(", "),
        }
    };
    let Some(image) = image else {
        let usage = format!(
            "which image is it? Write FILE#NAME; the plan has {}",
            names()
        );
        return Err(UsageError(usage).into());
    };
    let Some(plan) = fleet.images.get(image) else {
        bail!("the plan has no image {image}; it has {}", names());
    };
    let mut plan = plan.clone();
    plan.history = plan.history.or_else(|| fleet.history.clone());
    Ok(plan)
}

impl fmt::Display for FleetPlanSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, image } => {
                write!(f, "{}", file.display())?;
                image.iter().try_for_each(|image| write!(f, "#{image}"))
            }
            Self::Made(_) => f.write_str("made just now"),
        }
    }
}

impl From<&str> for FleetPlanSource {
    fn from(text: &str) -> Self {
        let (file, image) = match text.rsplit_once('#') {
            Some((file, image)) if !file.is_empty() && !image.is_empty() => (file, Some(image)),
            _ => (text, None),
        };
        Self::File {
            file: file.into(),
            image: image.map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_what_follows_the_last_number_sign() {
        for (text, file, image) in [
            ("./a#b/plan.json#api", "./a#b/plan.json", Some("api")),
            ("plan.json", "plan.json", None),
            ("plan.json#", "plan.json#", None),
            ("#api", "#api", None),
        ] {
            let source = FleetPlanSource::from(text);
            assert_eq!(source.to_string(), text);
            let expected = FleetPlanSource::File {
                file: file.into(),
                image: image.map(str::to_owned),
            };
            assert_eq!(source, expected);
        }
    }
}
