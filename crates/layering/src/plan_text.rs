//! The short text of a plan: what it knows beside its layers, for an image to carry.
//!
//! An image's history says which store paths are in which layer. The rest is [`PREFIX`] and bytes in
//! base64: the history of changes, why each layer is one, and sizes and references of the paths. All
//! numbers are LEB128, texts stand behind their length in bytes. 350 paths take some 5 kB, a third of
//! the same in JSON.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;

use crate::history::History;
use crate::plan::{MAX_CHANCE, Plan, Reason};
use crate::plan_graph::PlanGraph;

/// How a text begins. The number is the version of what follows; a reader passes over others.
pub const PREFIX: &str = "stream-layered plan 1 ";

/// Longest text that is written with the graph, in bytes. The graph only explains differences, and a
/// text without it is read as well.
const MAX_WITH_GRAPH: usize = 64 << 10;

/// Longest text that is read, in bytes.
const MAX_LENGTH: usize = 1 << 20;

impl Plan {
    /// The text. `None` for a plan that has no history of changes: nothing in it helps the next one.
    pub fn to_text(&self) -> Option<String> {
        let history = self.history.as_ref().filter(|_| !self.layers.is_empty())?;
        let text = text(self, history, self.graph.as_ref());
        if text.len() <= MAX_WITH_GRAPH {
            return Some(text);
        }
        Some(self::text(self, history, None))
    }

    /// Adds what a text says of the plan of these layers. A text that is damaged, of another version or
    /// of other layers adds nothing: then the plan has its layers and no more.
    pub fn add_text(&mut self, text: &str) {
        if let Some(read) = read(self, text) {
            *self = read;
        }
    }
}

fn text(plan: &Plan, history: &History, graph: Option<&PlanGraph>) -> String {
    let mut bytes = Vec::new();
    number(&mut bytes, history.releases().into());
    number(&mut bytes, history.all_changes().len() as u64);
    for (package, count) in history.all_changes() {
        word(&mut bytes, package);
        number(&mut bytes, (*count).into());
    }

    let reasons = plan.layers.iter().map(|layer| layer.reason.to_string());
    let reasons: Vec<String> = reasons.collect();
    // The reasons in the order in which they first occur, each once.
    let mut known: BTreeMap<&str, u64> = BTreeMap::new();
    let mut table = Vec::new();
    for reason in &reasons {
        known.entry(reason).or_insert_with(|| {
            table.push(reason);
            table.len() as u64 - 1
        });
    }
    number(&mut bytes, table.len() as u64);
    table.iter().for_each(|reason| word(&mut bytes, reason));
    number(&mut bytes, plan.layers.len() as u64);
    for (layer, reason) in plan.layers.iter().zip(&reasons) {
        number(&mut bytes, known[reason.as_str()]);
        // 0: the strategy has no notion of a chance.
        let chance = layer.chance_per_mille;
        number(&mut bytes, chance.map_or(0, |chance| u64::from(chance) + 1));
    }

    // 0: no graph follows.
    let paths = graph.map_or(0, |graph| graph.sizes().len());
    number(&mut bytes, paths as u64);
    let sizes = graph.iter().flat_map(|graph| graph.sizes());
    let references = graph.iter().flat_map(|graph| graph.references());
    for (size, references) in sizes.zip(references) {
        number(&mut bytes, *size);
        number(&mut bytes, references.len() as u64);
        // They are sorted: the steps between them take fewer bytes than they do.
        let mut before = 0;
        for &reference in references {
            number(&mut bytes, u64::from(reference - before));
            before = reference;
        }
    }
    format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
}

fn read(plan: &Plan, text: &str) -> Option<Plan> {
    let text = text
        .strip_prefix(PREFIX)
        .filter(|_| text.len() <= MAX_LENGTH)?;
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let mut bytes = Bytes(&bytes);
    let mut plan = plan.clone();

    let releases = bytes.number()?;
    let changes = (0..bytes.count()?).map(|_| Some((bytes.word()?, bytes.number()?)));
    let changes: BTreeMap<String, u32> = changes.collect::<Option<_>>()?;
    plan.history = Some(History::of(releases, changes));

    let table = (0..bytes.count()?).map(|_| Some(Reason::parse(&bytes.word()?)));
    let table: Vec<Reason> = table.collect::<Option<_>>()?;
    if bytes.count()? != plan.layers.len() {
        return None;
    }
    for layer in &mut plan.layers {
        let reason = bytes.number::<u32>()?;
        layer.reason = table.get(reason as usize)?.clone();
        layer.chance_per_mille = bytes.number::<u16>()?.checked_sub(1);
        if layer.chance_per_mille > Some(MAX_CHANCE) {
            return None;
        }
    }

    let count = bytes.count()?;
    if count > 0 {
        if count != plan.paths().count() {
            return None;
        }
        let path = || {
            let size = bytes.number()?;
            let mut before = 0_u32;
            let references = (0..bytes.count()?).map(|_| {
                before = before.checked_add(bytes.number()?)?;
                Some(before)
            });
            Some((size, references.collect::<Option<_>>()?))
        };
        let paths = std::iter::repeat_with(path).take(count);
        plan.graph = Some(PlanGraph::of(paths.collect::<Option<_>>()?)?);
    }
    bytes.0.is_empty().then_some(plan)
}

fn number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn word(bytes: &mut Vec<u8>, word: &str) {
    number(bytes, word.len() as u64);
    bytes.extend_from_slice(word.as_bytes());
}

/// What is left to be read.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn number<T: TryFrom<u64>>(&mut self) -> Option<T> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return T::try_from(number).ok();
            }
        }
        None
    }

    /// How many things follow. Each takes a byte at least, so that more than there are bytes is wrong.
    fn count(&mut self) -> Option<usize> {
        self.number().filter(|&count: &usize| count <= self.0.len())
    }

    fn word(&mut self) -> Option<String> {
        let length = self.number()?;
        let (word, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(str::from_utf8(word).ok()?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A plan of many layers, and the same with its layers only.
    fn plans() -> (Plan, Plan) {
        let path = |at: usize| format!("/nix/store/{at:032}-package-{at}");
        let layers = (0..100).map(|layer| {
            let paths: Vec<String> = (0..4).map(|at| path(layer * 4 + at)).collect();
            json!({
                "paths": paths,
                "size": layer,
                "reason": if layer % 3 == 0 { "root".to_owned() } else { format!("changes with package-{layer}") },
                "chancePerMille": layer * 7,
            })
        });
        let layers: Vec<_> = layers.collect();
        let graph = (0..400_usize).map(|at| {
            let references: String = (at.saturating_sub(40)..at)
                .step_by(9)
                .map(|reference| format!(" {reference}"))
                .collect();
            format!("{}{references}", at * 10_007)
        });
        let whole = Plan::from_value(json!({
            "layers": layers,
            "history": { "version": 1, "releases": 7, "changes": { "package": 3, "other": 1 } },
            "graph": graph.collect::<Vec<_>>(),
        }));
        let whole = whole.unwrap();
        let mut bare = whole.clone();
        bare.history = None;
        bare.graph = None;
        for layer in &mut bare.layers {
            layer.reason = Reason::Other(String::new());
            layer.chance_per_mille = None;
        }
        (whole, bare)
    }

    #[test]
    fn what_is_written_is_read() {
        let (whole, mut bare) = plans();
        let text = whole.to_text().unwrap();
        assert!(text.len() < 8_000, "{}", text.len());
        bare.add_text(&text);
        assert!(bare == whole, "another plan was read");
    }

    /// A plan may be written by hand, or by another program.
    #[test]
    fn references_in_any_order_are_written() {
        let plan = Plan::from_value(json!({
            "layers": [{ "paths": (0..3).map(|at| format!("/nix/store/{at:032}-a")).collect::<Vec<_>>() }],
            "history": { "version": 1, "releases": 1, "changes": {} },
            "graph": ["1", "1", "1 1 0"],
        }));
        let plan = plan.unwrap();
        let mut bare = plan.clone();
        bare.graph = None;
        bare.add_text(&plan.to_text().unwrap());
        assert_eq!(bare, plan);
    }

    #[test]
    fn chances_above_1000_per_mille_are_refused() {
        let plan = |chance: u64| {
            Plan::from_value(json!({
                "layers": [{ "paths": [format!("/nix/store/{:032}-a", 0)], "chancePerMille": chance }],
                "history": { "version": 1, "releases": 1, "changes": {} },
            }))
        };
        let certain = plan(1000).unwrap();
        let mut bare = certain.clone();
        bare.layers[0].chance_per_mille = None;
        bare.add_text(&certain.to_text().unwrap());
        assert_eq!(bare, certain);
        for chance in [1001, 65_535, 65_536] {
            assert!(plan(chance).is_err(), "{chance}");
        }
    }

    #[test]
    fn a_plan_without_history_has_no_text() {
        let (_, bare) = plans();
        assert_eq!(bare.to_text(), None);
    }

    #[test]
    fn a_text_of_other_layers_adds_nothing() {
        let (whole, bare) = plans();
        let mut fewer = bare;
        fewer.layers.pop();
        let before = fewer.clone();
        fewer.add_text(&whole.to_text().unwrap());
        assert_eq!(fewer, before);
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0_usize..9000, byte: u8, cut in 0_usize..9000) {
            let (whole, mut bare) = plans();
            let mut text = whole.to_text().unwrap().into_bytes();
            text.truncate(cut.max(1));
            let place = at % text.len();
            text[place] = byte & 0x7f;
            bare.add_text(&String::from_utf8(text).unwrap());
        }

        #[test]
        fn any_bytes_are_read_or_left(bytes: Vec<u8>) {
            let (_, mut bare) = plans();
            bare.add_text(&format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)));
        }
    }
}
