//! Strategies as they are named: by a word, or by a file that holds a pipeline.

use std::path::Path;

use anyhow::{Context, Result};
use layering::{Pipeline, Strategy};

use crate::files;
use crate::usage::UsageError;

/// The strategies that have names.
pub const NAMES: &str = "stable, auto, popularity";

/// The strategy of this name, or the pipeline in this file.
pub fn named(text: &str) -> Result<Strategy> {
    match text {
        "stable" => Ok(Strategy::Stable),
        "auto" => Ok(Strategy::Auto),
        "popularity" => Ok(Strategy::Popularity),
        _ if text.ends_with(".json") || Path::new(text).is_file() => pipeline_file(text),
        _ => {
            let usage = format!(
                "strategy `{text}` is not known: {NAMES}, or a file that ends in .json and holds a layeringPipeline \
                 was expected"
            );
            Err(UsageError(usage).into())
        }
    }
}

/// The pipeline in a file.
pub fn pipeline_file(file: &str) -> Result<Strategy> {
    let text = files::read_input(Path::new(file))?;
    let text = std::str::from_utf8(&text).with_context(|| format!("{file} is not UTF-8 text"))?;
    let pipeline = Pipeline::from_json(text).with_context(|| file.to_owned())?;
    Ok(Strategy::Pipeline(pipeline))
}
