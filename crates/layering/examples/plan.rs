//! Plans a closure from a file, as `stream-layered plan` does: for trials of planners.
//!
//!     plan popularity|auto|stable CLOSURE.json MAX_STORE_LAYERS [PREVIOUS_PLAN.json]

use std::error::Error;

use layering::{Closure, Plan, Request, Strategy};
use nix_compat::{StoreDir, path_info};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [strategy, closure, max_store_layers, previous @ ..] = &words[..] else {
        return Err("usage: plan STRATEGY CLOSURE.json MAX_STORE_LAYERS [PREVIOUS_PLAN]".into());
    };
    let strategy = match strategy.as_str() {
        "popularity" => Strategy::Popularity,
        "auto" => Strategy::Auto,
        "stable" => Strategy::Stable,
        other => return Err(format!("no strategy is called `{other}`").into()),
    };
    let json = serde_json::from_slice(&std::fs::read(closure)?)?;
    let closure = Closure::new(path_info::from_json(&StoreDir::default(), json)?, None)?;
    let mut request = Request::new(strategy, max_store_layers.parse()?);
    if let Some(file) = previous.first() {
        request.previous = Some(Plan::from_json(&std::fs::read_to_string(file)?)?);
    }
    let start = std::time::Instant::now();
    let plan = layering::plan(&closure, &request)?;
    eprintln!("planned in {} ms", start.elapsed().as_millis());
    println!("{}", serde_json::to_string(&plan)?);
    Ok(())
}
