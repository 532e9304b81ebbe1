//! What the files of a crate import from each other, read from their text.
//!
//! Not from syntax trees: a parser leaves the insides of macros alone, and paths stand there too. Read
//! are `use`, and paths that begin with `crate`, `super`, `self`, a child or an imported module.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The way to a module from the root of its crate.
type ModulePath = Vec<String>;

/// A crate's files with what stands in them.
pub struct Crate {
    modules: BTreeMap<ModulePath, Module>,
}

/// A module with a file of its own, or inside another's.
#[derive(Default)]
struct Module {
    file: PathBuf,
    imports: Vec<Import>,
    /// Paths outside of `use`, of two and more names.
    paths: Vec<Vec<String>>,
    /// Names outside of `use`.
    names: BTreeSet<String>,
    /// Names of the items that are defined there.
    items: BTreeSet<String>,
}

/// One name that `use` brings in; `*` for all of a module's.
struct Import {
    path: Vec<String>,
    name: String,
    is_public: bool,
}

impl Crate {
    /// Reads the crate from its `lib.rs` or `main.rs`, without what is compiled for tests alone.
    pub fn read(root: &Path) -> Self {
        Self::from(root, false)
    }

    /// The same with that.
    pub fn read_with_tests(root: &Path) -> Self {
        Self::from(root, true)
    }

    fn from(root: &Path, with_tests: bool) -> Self {
        let mut reader = Reader {
            modules: BTreeMap::new(),
            with_tests,
        };
        reader.module(root, root.parent().unwrap(), Vec::new());
        Self {
            modules: reader.modules,
        }
    }

    /// All files, some of them more than once.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.modules.values().map(|module| module.file.as_path())
    }

    /// Which file imports which.
    pub fn imports(&self) -> BTreeSet<(&Path, &Path)> {
        let mut found = BTreeSet::new();
        for (at, module) in &self.modules {
            let used = module.imports.iter().filter(|import| {
                // A parent that only hands on what its children have does not depend on them.
                !import.is_public || module.names.contains(&import.name)
            });
            let paths = used.map(|import| &import.path).chain(&module.paths);
            for path in paths {
                let Some(target) = self.resolve(at, path, 0) else {
                    continue;
                };
                let target = self.modules[&target].file.as_path();
                if target != module.file {
                    found.insert((module.file.as_path(), target));
                }
            }
        }
        found
    }

    /// The module that holds what a path names; `None` for another crate's.
    fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<ModulePath> {
        // Re-exports may go in circles.
        if depth > 20 {
            return None;
        }
        let mut at = from.to_vec();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => {
                at.clear();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            "super" => {
                while let Some((first, others)) = rest.split_first()
                    && first == "super"
                {
                    at.pop();
                    rest = others;
                }
            }
            first => {
                let child = [from, &[first.to_owned()]].concat();
                if !self.modules.contains_key(&child) {
                    let module = &self.modules[from];
                    let import = module.imports.iter().find(|import| import.name == first)?;
                    if import.path.first().map(String::as_str) == Some(first) {
                        return None;
                    }
                    let whole = [&import.path, &path[1..]].concat();
                    return self.resolve(from, &whole, depth + 1);
                }
            }
        }
        while let Some((name, others)) = rest.split_first() {
            let child = [&at[..], std::slice::from_ref(name)].concat();
            if self.modules.contains_key(&child) {
                at = child;
                rest = others;
                continue;
            }
            let module = &self.modules[&at];
            if name == "*" || module.items.contains(name) {
                break;
            }
            let named = module.imports.iter().find(|import| &import.name == name);
            if let Some(import) = named {
                return self.resolve(&at, &import.path, depth + 1).or(Some(at));
            }
            let all = module.imports.iter().filter(|import| import.name == "*");
            let holder = all
                .filter_map(|import| self.resolve(&at, &import.path, depth + 1))
                .find(|holder| self.modules[holder].items.contains(name));
            return holder.or(Some(at));
        }
        Some(at)
    }
}

/// Follows the modules from file to file.
struct Reader {
    modules: BTreeMap<ModulePath, Module>,
    with_tests: bool,
}

impl Reader {
    fn module(&mut self, file: &Path, children: &Path, at: ModulePath) {
        let text =
            fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let tokens = tokens(&text);
        let new = || Module {
            file: file.to_owned(),
            ..Module::default()
        };
        self.modules.insert(at.clone(), new());
        let (mut open, mut here, mut depth) = (Vec::new(), at, 0);
        let mut index = 0;
        while index < tokens.len() {
            let token = tokens[index].as_str();
            let next = tokens.get(index + 1).map_or("", String::as_str);
            let before = index.checked_sub(1).map_or("", |before| &tokens[before]);
            index += 1;
            match token {
                "#" if !self.with_tests
                    && tokens[index..].starts_with(&FOR_TESTS.map(str::to_owned)) =>
                {
                    index = after_item(&tokens, index + FOR_TESTS.len());
                }
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if open.last() == Some(&depth) {
                        open.pop();
                        here.pop();
                    }
                }
                "mod" if is_name(next) => {
                    let child = [&here[..], &[next.to_owned()]].concat();
                    if tokens.get(index + 1).map(String::as_str) == Some("{") {
                        self.modules.insert(child.clone(), new());
                        here = child;
                        open.push(depth);
                    } else {
                        let beside = children.join(next).with_extension("rs");
                        let inside = children.join(next).join("mod.rs");
                        let file = if beside.is_file() { beside } else { inside };
                        // One that `#[path]` names lies outside of the folders that are looked through.
                        if file.is_file() {
                            self.module(&file, &children.join(next), child);
                        }
                    }
                    index += 1;
                }
                "use" if before != "::" => {
                    let end = (index..tokens.len()).find(|&at| tokens[at] == ";").unwrap();
                    let mut imports = Vec::new();
                    read_use(&tokens[index..end], &mut 0, &[], &mut imports);
                    for (path, name) in imports {
                        let is_public = before == "pub" || before == ")";
                        let imports = &mut self.modules.get_mut(&here).unwrap().imports;
                        imports.push(Import {
                            path,
                            name,
                            is_public,
                        });
                    }
                    index = end;
                }
                "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union"
                    if is_name(next) =>
                {
                    let module = self.modules.get_mut(&here).unwrap();
                    module.items.insert(next.to_owned());
                }
                _ if is_name(token) && before != "::" && before != "." => {
                    let mut path = vec![token.to_owned()];
                    while tokens.get(index).map(String::as_str) == Some("::")
                        && tokens.get(index + 1).is_some_and(|name| is_name(name))
                    {
                        path.push(tokens[index + 1].clone());
                        index += 2;
                    }
                    let module = self.modules.get_mut(&here).unwrap();
                    module.names.insert(path[0].clone());
                    if path.len() > 1 {
                        module.paths.push(path);
                    }
                }
                _ => {}
            }
        }
    }
}

/// The attribute of what is compiled for tests alone, after its `#`.
const FOR_TESTS: [&str; 6] = ["[", "cfg", "(", "test", ")", "]"];

/// Where an item ends, with its braces or without any.
fn after_item(tokens: &[String], from: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(from) {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            ";" => {}
            _ => continue,
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// One tree of `use`: `a::b`, `a::{b, c as d}`, `a::*`. Gives each path with the name that it gets.
fn read_use(
    tokens: &[String],
    index: &mut usize,
    prefix: &[String],
    into: &mut Vec<(Vec<String>, String)>,
) {
    let mut path = prefix.to_vec();
    let mut name = None;
    while let Some(token) = tokens.get(*index) {
        *index += 1;
        match token.as_str() {
            "::" => {}
            "{" => {
                while tokens.get(*index).is_some_and(|token| token != "}") {
                    read_use(tokens, index, &path, into);
                }
                *index += 1;
                // The comma after the group.
                if tokens.get(*index).is_some_and(|token| token == ",") {
                    *index += 1;
                }
                return;
            }
            "}" => {
                *index -= 1;
                break;
            }
            "," => break,
            "as" => {
                name = tokens.get(*index).cloned();
                *index += 1;
            }
            "self" if !path.is_empty() => {}
            other => path.push(other.to_owned()),
        }
    }
    if let Some(last) = path.last() {
        let name = name.unwrap_or_else(|| last.clone());
        into.push((path, name));
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::`, and every other sign by itself, without comments, literals and lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal(rest) {
            length
        } else if is_name(rest) {
            let end = rest.find(|sign: char| !sign.is_alphanumeric() && sign != '_');
            let end = end.unwrap_or(rest.len());
            tokens.push(rest[..end].to_owned());
            end
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the string, character or lifetime that a text begins with.
fn literal(text: &str) -> Option<usize> {
    let prefix = text
        .bytes()
        .take(3)
        .position(|sign| b"\"'#".contains(&sign))?;
    if !["", "b", "c", "r", "br", "cr"].contains(&&text[..prefix]) {
        return None;
    }
    let after = &text[prefix..];
    if text[..prefix].ends_with('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        if !after[hashes..].starts_with('"') {
            return None;
        }
        let end = format!("\"{}", "#".repeat(hashes));
        let start = hashes + 1;
        let length = after[start..].find(&end)? + start + end.len();
        return Some(prefix + length);
    }
    let quote = after.chars().next().filter(|&sign| sign != '#')?;
    if quote == '\'' && !after[1..].starts_with('\\') {
        let mut signs = after[1..].char_indices();
        let (_, inside) = signs.next()?;
        let is_character = matches!(signs.next(), Some((_, '\'')));
        return Some(
            prefix
                + 1
                + if is_character {
                    inside.len_utf8() + 1
                } else {
                    0
                },
        );
    }
    let mut is_escaped = false;
    for (at, sign) in after.char_indices().skip(1) {
        match sign {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if sign == quote => return Some(prefix + at + 1),
            _ => {}
        }
    }
    None
}

#[test]
fn every_form_of_import_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = directory.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    write(
        "lib.rs",
        "mod a; mod b; mod c; mod d; pub use a::A; pub use d::*; // use crate::c;\n",
    );
    write(
        "a.rs",
        "mod deep; use std::{fs, io}; use crate::b::{self, X as Y}; pub struct A<'a>(&'a str);",
    );
    write(
        "a/deep.rs",
        "use super::A; fn f() { println!(\"{}\", crate::c::f('{')) }",
    );
    write(
        "b.rs",
        "#[cfg(test)] mod tests { use crate::a; fn t() {} } pub struct X; fn g() -> crate::D { todo!() }",
    );
    write(
        "c.rs",
        "/* crate::a */ pub fn f(_: char) { \"crate::a\"; r#\"crate::a\"#; crate::A; }",
    );
    write("d.rs", "pub struct D; use crate::other;");
    let root = directory.path().join("lib.rs");
    let read = Crate::read(&root);
    let name = |file: &Path| {
        let name = file.strip_prefix(directory.path()).unwrap();
        name.to_str().unwrap().to_owned()
    };
    let mut imports: Vec<String> = read
        .imports()
        .iter()
        .map(|(from, to)| format!("{} {}", name(from), name(to)))
        .collect();
    imports.sort();
    let expected = [
        "a.rs b.rs",
        "a/deep.rs a.rs",
        "a/deep.rs c.rs",
        "b.rs d.rs",
        "c.rs a.rs",
        "d.rs lib.rs",
    ];
    assert_eq!(imports, expected);
}
