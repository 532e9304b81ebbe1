//! The images of a fleet, as they are named.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::input;
use crate::resolve::fleet_image;
use crate::resolve::store::Store;
use crate::resolve::subject::{Subject, SubjectSettings};
use crate::usage::UsageError;

/// An image of a fleet.
#[derive(Debug)]
pub struct FleetMember {
    /// The name that it was given.
    pub name: Option<String>,
    /// What it is made of.
    pub content: FleetContent,
}

/// What an image of a fleet is made of.
#[derive(Debug)]
pub enum FleetContent {
    /// Store paths, or one result of streamLayeredImage.
    Paths(Vec<PathBuf>),
    /// A closure in a form that [`stores::Graph`] reads.
    Graph(Value),
    /// A configuration that the Nix side wrote.
    Configuration(PathBuf),
}

/// The images that the words of `--fleet` name.
///
/// # Errors
///
/// A word is a file that cannot be read, or that names no images.
pub fn read(words: &[String]) -> Result<Vec<FleetMember>> {
    let mut members = Vec::new();
    for word in words {
        members.extend(of_word(word).with_context(|| format!("--fleet {word}"))?);
    }
    Ok(members)
}

fn of_word(word: &str) -> Result<Vec<FleetMember>> {
    let (name, paths) = match fleet_image::named(word) {
        Some((name, paths)) => (Some(name.to_owned()), paths),
        None if word == "-" || word.ends_with(".json") => return of_file(Path::new(word)),
        None => return Ok(vec![FleetMember::of_paths(None, [word])]),
    };
    Ok(vec![FleetMember::of_paths(name, paths.split(','))])
}

impl FleetMember {
    fn of_paths<'t>(name: Option<String>, paths: impl IntoIterator<Item = &'t str>) -> Self {
        let paths = paths.into_iter().map(Into::into).collect();
        Self {
            name,
            content: FleetContent::Paths(paths),
        }
    }

    /// What an image of store paths is made of. One without a name has to be a result of
    /// streamLayeredImage, which brings its own.
    ///
    /// # Errors
    ///
    /// A path does not exist, is a package without a name, or `package_options` do not fit.
    pub fn subject(
        &self,
        paths: &[PathBuf],
        package_options: &[String],
        store: &Store,
    ) -> Result<Subject> {
        let settings = SubjectSettings {
            paths: paths.to_vec(),
            package_options: package_options.to_vec(),
            ..SubjectSettings::default()
        };
        let subject = settings.resolve(store)?;
        match (&subject, &self.name, paths) {
            (Subject::Packages(_), None, [path, ..]) => {
                let path = path.display();
                let usage =
                    format!("{path} is a package, and has no name as an image; write NAME={path}");
                Err(UsageError(usage).into())
            }
            _ => Ok(subject),
        }
    }
}

fn of_file(file: &Path) -> Result<Vec<FleetMember>> {
    let bytes = input::read_input(file)?;
    let mut value: Value = serde_json::from_slice(&bytes).context("it is not JSON")?;
    let Some(Value::Object(images)) = value.get_mut("images").map(Value::take) else {
        bail!("it has no object `images`, of {{\"roots\": […]}} or {{\"graph\": […]}} by name");
    };
    let member = |(name, image): (String, Value)| {
        let content = content(image).with_context(|| format!("image {name}"))?;
        let name = Some(name);
        Ok(FleetMember { name, content })
    };
    images.into_iter().map(member).collect()
}

fn content(image: Value) -> Result<FleetContent> {
    if image.get("graph").is_some_and(Value::is_array) {
        return Ok(FleetContent::Graph(image));
    }
    if let Some(file) = image.get("conf").and_then(Value::as_str) {
        return Ok(FleetContent::Configuration(file.into()));
    }
    let roots = image.get("roots").and_then(Value::as_array);
    let roots = roots.map(|roots| roots.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    match roots.flatten() {
        Some(roots) if !roots.is_empty() => Ok(FleetContent::Paths(
            roots.into_iter().map(Into::into).collect(),
        )),
        _ => bail!("it has neither a list `graph` nor a list `roots` of store paths"),
    }
}
