//! Plans a closure from a file, as `stream-layered plan` does: for trials of planners.
//!
//!     plan STRATEGY CLOSURE.json MAX_STORE_LAYERS

use std::collections::BTreeSet;
use std::error::Error;

use layering::{Closure, Request, Strategy};
use nix_compat::{StoreDir, path_info};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [strategy, closure, max_store_layers] = &words[..] else {
        return Err("usage: plan popularity|auto CLOSURE.json MAX_STORE_LAYERS".into());
    };
    let json = serde_json::from_slice(&std::fs::read(closure)?)?;
    let closure = Closure::new(path_info::from_json(&StoreDir::default(), json)?, None)?;
    let request = Request {
        strategy: match strategy.as_str() {
            "popularity" => Strategy::Popularity,
            "auto" => Strategy::Auto,
            other => return Err(format!("no strategy is called `{other}`").into()),
        },
        max_store_layers: max_store_layers.parse()?,
        hidden: BTreeSet::new(),
    };
    let start = std::time::Instant::now();
    let plan = layering::plan(&closure, &request)?;
    eprintln!("planned in {} ms", start.elapsed().as_millis());
    println!("{}", serde_json::to_string(&plan)?);
    Ok(())
}
