//! A plan as a self-contained page for a browser.

use anyhow::Result;
use layering::Plan;
use serde_json::{Value, json};

use crate::output::shown;

const PAGE: &str = include_str!("page.html");
pub(super) const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page; `title` says what is in the image.
pub fn page(plan: &Plan, title: &str) -> Result<String> {
    filled(PAGE, STYLE, &data(plan, title), SCRIPT)
}

/// A page with its style, data and script.
pub(super) fn filled(page: &str, style: &str, data: &Value, script: &str) -> Result<String> {
    // A script ends at the first `</script`, and store paths may not hold `<`; reasons may.
    let data = shown::json(&serde_json::to_string(data)?).replace('<', "\\u003c");
    let mut rest = page;
    let mut page = String::with_capacity(page.len() + style.len() + script.len() + data.len());
    for (mark, text) in [
        ("/* STYLE */", style),
        ("/* DATA */", &data),
        ("/* SCRIPT */", script),
    ] {
        if let Some((before, after)) = rest.split_once(mark) {
            page += before;
            page += text;
            rest = after;
        }
    }
    Ok(page + rest)
}

/// The layers and all their paths. A layer refers to its paths by their places in that list.
fn data(plan: &Plan, title: &str) -> Value {
    let mut first = 0;
    let layers = plan.layers.iter().map(|layer| {
        let paths: Vec<usize> = (first..first + layer.paths.len()).collect();
        first += layer.paths.len();
        json!({
            "size": layer.size,
            "why": layer.reason.to_string(),
            "chance": layer.chance_per_mille,
            "paths": paths,
        })
    });
    let layers: Vec<Value> = layers.collect();
    let graph = plan.graph.as_ref();
    let paths = plan.paths().enumerate().map(|(at, path)| {
        json!({
            "path": path.as_str(),
            "name": path.name(),
            "size": graph.and_then(|graph| graph.sizes().get(at)).copied().unwrap_or(0),
            "uses": graph.and_then(|graph| graph.references().get(at)),
        })
    });
    json!({ "title": title, "layers": layers, "paths": paths.collect::<Vec<_>>() })
}
