//! A plan as a picture: the text that graphviz draws.

use std::fmt::Write as _;

use crate::closure::Closure;
use crate::plan::Plan;

/// The graph of a plan's paths with its layers as clusters, the lowest first, in graphviz's
/// language. Paths and references outside the plan are left out.
pub fn dot(closure: &Closure, plan: &Plan) -> String {
    let mut text = String::from(
        "digraph layers {\n  rankdir = TB;\n  node [shape = box, fontname = \"sans-serif\"];\n",
    );
    // Writing to a string does not fail.
    for (at, layer) in plan.layers.iter().enumerate() {
        let label = format!("{} · {} · {}", at + 1, megabytes(layer.size), layer.reason);
        let _ = writeln!(
            text,
            "  subgraph cluster_{} {{\n    label = {};",
            at + 1,
            quoted(&label)
        );
        for path in &layer.paths {
            let id = quoted(path.base_name());
            let _ = writeln!(text, "    {id} [label = {}];", quoted(path.name()));
        }
        text += "  }\n";
    }
    let graph = closure.graph();
    let planned: std::collections::BTreeSet<_> = plan.paths().collect();
    for path in plan.paths() {
        let Some(node) = closure.node(path) else {
            continue;
        };
        let mut references: Vec<_> = graph
            .neighbors(node)
            .map(|below| &graph[below].path)
            .collect();
        references.sort();
        for reference in references.into_iter().filter(|path| planned.contains(path)) {
            let (from, to) = (quoted(path.base_name()), quoted(reference.base_name()));
            let _ = writeln!(text, "  {from} -> {to};");
        }
    }
    text + "}\n"
}

fn megabytes(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => quoted.push(' '),
            character => quoted.push(character),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{closure, path};
    use crate::{Plan, Reason};

    #[test]
    fn layers_are_clusters_and_references_are_edges() {
        let closure = closure(&[("app", 10, &["lib"]), ("lib", 1_234_567, &["lib"])]);
        let node = |name| closure.node(&path(name)).unwrap();
        let layers = [
            (vec![node("lib")], Reason::Large),
            (
                vec![node("app")],
                Reason::Other("a \"good\" \\ reason\n".to_owned()),
            ),
        ];
        let text = dot(&closure, &Plan::new(&closure, layers));
        let (app, lib) = (path("app"), path("lib"));
        let (app, lib) = (app.base_name(), lib.base_name());
        let expected = format!(
            r#"digraph layers {{
  rankdir = TB;
  node [shape = box, fontname = "sans-serif"];
  subgraph cluster_1 {{
    label = "1 · 1.3 MB · large";
    "{lib}" [label = "lib"];
  }}
  subgraph cluster_2 {{
    label = "2 · 0.1 MB · a \"good\" \\ reason ";
    "{app}" [label = "app"];
  }}
  "{app}" -> "{lib}";
}}
"#
        );
        assert_eq!(text, expected);
    }
}
