//! A page of the documentation: its blocks of code, and its links.

use std::path::{Path, PathBuf};

use crate::support::program::repository;

/// A Markdown file.
pub struct Page {
    /// Its path in the repository.
    pub name: String,
    text: String,
}

/// A fenced block.
pub struct Block<'a> {
    /// What stands behind the fence.
    pub language: &'a str,
    /// The lines between the fences.
    pub text: String,
}

/// A command with the output that the page shows of it.
pub struct Shown {
    pub command: String,
    pub output: Vec<String>,
}

impl Page {
    /// `README.md` and all pages of `docs/`.
    pub fn all() -> Vec<Self> {
        let docs = std::fs::read_dir(repository().join("docs")).unwrap();
        let mut names: Vec<String> = docs
            .map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()))
            .collect();
        names.sort();
        names.insert(0, "README.md".to_owned());
        names.iter().map(|name| Self::open(name)).collect()
    }

    pub fn open(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: std::fs::read_to_string(repository().join(name)).unwrap(),
        }
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            if let Some(language) = line.strip_prefix("```") {
                let text = lines.by_ref().take_while(|line| *line != "```");
                let text = text.map(|line| format!("{line}\n")).collect();
                blocks.push(Block { language, text });
            }
        }
        blocks
    }

    /// The files that its links lead to.
    pub fn links(&self) -> Vec<PathBuf> {
        let here = repository().join(&self.name);
        let targets = self.text.split("](").skip(1);
        targets
            .filter_map(|rest| rest.split_once(')'))
            .map(|(target, _)| target.split('#').next().unwrap())
            .filter(|target| !target.is_empty() && !target.contains("://"))
            .map(|target| here.parent().unwrap().join(Path::new(target)))
            .collect()
    }

    /// What stands in backticks within its lines.
    pub fn quoted(&self) -> impl Iterator<Item = &str> {
        self.text
            .lines()
            .filter(|line| !line.starts_with("```"))
            .flat_map(|line| line.split('`').skip(1).step_by(2))
    }

    /// Whether a command of the page holds a text.
    pub fn runs(&self, text: &str) -> bool {
        self.blocks()
            .iter()
            .any(|block| block.is_run() && block.text.contains(text))
    }
}

impl Block<'_> {
    /// Whether it holds commands.
    pub fn is_run(&self) -> bool {
        matches!(self.language, "sh" | "console")
    }

    /// The commands of a `console` block, which stand behind `$`.
    pub fn shown(&self) -> Vec<Shown> {
        let mut all: Vec<Shown> = Vec::new();
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), all.last_mut()) {
                (Some(command), _) => all.push(Shown {
                    command: command.to_owned(),
                    output: Vec::new(),
                }),
                (None, Some(shown)) => shown.output.push(line.to_owned()),
                (None, None) => panic!("output without a command: {line}"),
            }
        }
        all
    }
}
