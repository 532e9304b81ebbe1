//! A plan as a self-contained page for a browser.

use anyhow::Result;
use layering::Plan;
use serde_json::{Value, json};

use crate::output::shown;

const PAGE: &str = include_str!("page.html");
pub(super) const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

const FIGURE: &str = r#"  <section aria-label="Layers and store paths by size">
    <div id="map"></div>
    <p id="legend" hidden><span>changes seldom</span><i></i><span>changes often</span></p>
  </section>"#;

const TABLE: &str = r#"    <table>
      <thead>
        <tr><th class="number">#</th><th class="number">Size</th><th class="bar"></th><th class="number chance">Changes</th><th>Why</th><th>Store paths</th></tr>
      </thead>"#;

/// The page; `title` says what is in the image.
pub fn page(plan: &Plan, title: &str) -> Result<String> {
    let page = Page {
        title: "Layers",
        style: STYLE,
        figure: FIGURE,
        table: TABLE,
        data: data(plan, title),
        script: SCRIPT,
    };
    page.html()
}

/// What pages differ in.
pub(super) struct Page<'a> {
    pub title: &'a str,
    pub style: &'a str,
    /// The section with the picture.
    pub figure: &'a str,
    /// The start of the table, with its head.
    pub table: &'a str,
    /// What the script reads.
    pub data: Value,
    pub script: &'a str,
}

impl Page<'_> {
    pub fn html(&self) -> Result<String> {
        // A script ends at the first `</script`, and store paths may not hold `<`; reasons may.
        let data = shown::json(&serde_json::to_string(&self.data)?).replace('<', "\\u003c");
        let mut rest = PAGE;
        let mut page =
            String::with_capacity(PAGE.len() + self.style.len() + self.script.len() + data.len());
        for (mark, text) in [
            ("<!-- TITLE -->", self.title),
            ("/* STYLE */", self.style),
            ("<!-- FIGURE -->", self.figure),
            ("<!-- TABLE -->", self.table),
            ("/* DATA */", &data),
            ("/* SCRIPT */", self.script),
        ] {
            if let Some((before, after)) = rest.split_once(mark) {
                page += before;
                page += text;
                rest = after;
            }
        }
        Ok(page + rest)
    }
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
