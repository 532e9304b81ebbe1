//! What holds for any text. The fuzz targets run it on what a fuzzer finds, a test on the seeds and
//! what is near them.

use data_encoding::BASE64URL_NOPAD;
use layering::{Diff, PLAN_TEXT_PREFIX, Plan, Reason};

/// Three layers of four paths, without a history and a graph.
const LAYERS: &str = r#"[
    ["/nix/store/00000000000000000000000000000000-glibc-2.40"],
    ["/nix/store/11111111111111111111111111111111-zlib-1.3",
     "/nix/store/22222222222222222222222222222222-openssl-3.4"],
    ["/nix/store/33333333333333333333333333333333-app-1.0"]
]"#;

/// JSON: a plan that is read comes back from what it prints, and from its short text.
pub fn plan_json(text: &str) {
    let Ok(plan) = Plan::from_json(text) else {
        return;
    };
    let printed = serde_json::to_string(&plan).expect("a plan is JSON");
    let read = Plan::from_json(&printed).expect("a plan that was printed");
    assert_eq!(read, plan);
    use_plan(&plan);
}

/// The short text, for a plan whose layers are known: either the bytes that it stands for, or the text.
pub fn plan_text(bytes: &[u8]) {
    let plan = Plan::from_json(LAYERS).expect("a plan");
    let encoded = format!("{PLAN_TEXT_PREFIX}{}", BASE64URL_NOPAD.encode(bytes));
    for text in [&*encoded, &*String::from_utf8_lossy(bytes)] {
        let mut told = plan.clone();
        told.add_text(text);
        if told != plan {
            assert!(told.history.is_some(), "a text has a history");
            use_plan(&told);
            let printed = serde_json::to_string(&told).expect("a plan is JSON");
            let read = Plan::from_json(&printed).expect("a plan that was printed");
            assert_eq!(read, told);
        }
    }
}

/// What is done with a previous plan.
fn use_plan(plan: &Plan) {
    let _ = plan.size();
    let mut bare = plan.clone();
    bare.history = None;
    bare.graph = None;
    for layer in &mut bare.layers {
        layer.reason = Reason::Other(String::new());
        layer.chance_per_mille = None;
    }
    let other = Plan::from_json(LAYERS).expect("a plan");
    let _ = (Diff::new(&other, plan), Diff::new(plan, &other));
    if let Some(text) = plan.to_text() {
        bare.add_text(&text);
        // Of no paths there is nothing to tell.
        if plan.paths().next().is_none() {
            bare.graph.clone_from(&plan.graph);
        }
        assert_eq!(&bare, plan, "another plan was read");
    }
}
