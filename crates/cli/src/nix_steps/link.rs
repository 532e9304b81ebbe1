//! Links the files of packages into a directory: directories are merged, files become links into
//! the store, and links are taken as they are.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::attributes;
use crate::output::console::say;

#[derive(Deserialize)]
struct Contents {
    contents: Vec<PathBuf>,
}

/// Links the derivation's `contents` into `root`, which is made.
pub fn run(root: &Path) -> Result<()> {
    let contents = attributes::read::<Contents>()?.values.contents;
    for warning in link(&contents, root)? {
        say!("warning: {warning}");
    }
    Ok(())
}

/// Links packages into a new directory; gives what was left out because its name was taken.
fn link(packages: &[PathBuf], root: &Path) -> Result<Vec<String>> {
    make_directory(root)?;
    let root = fs::canonicalize(root).with_context(|| format!("cannot read {}", root.display()))?;
    let mut linker = Linker {
        root,
        left_out: Vec::new(),
    };
    for package in packages {
        let metadata = fs::metadata(package)
            .with_context(|| format!("contents: cannot read {}", package.display()))?;
        if !metadata.is_dir() {
            bail!(
                "contents: {} is a file, and what is linked into the image's root is what a directory holds; put it \
                 into one, at the place where it shall be (`writeTextDir`, `runCommand`)",
                package.display()
            );
        }
        let root = linker.root.clone();
        linker.merge(package, &root)?;
    }
    Ok(linker.left_out)
}

struct Linker {
    root: PathBuf,
    left_out: Vec<String>,
}

impl Linker {
    /// Puts what `source` holds into the directory `place`.
    fn merge(&mut self, source: &Path, place: &Path) -> Result<()> {
        let entries = fs::read_dir(source)
            .and_then(|entries| {
                entries
                    .map(|entry| Ok(entry?.file_name()))
                    .collect::<io::Result<Vec<_>>>()
            })
            .with_context(|| format!("contents: cannot read {}", source.display()))?;
        for name in entries {
            self.put(&source.join(&name), &place.join(&name))?;
        }
        Ok(())
    }

    fn put(&mut self, source: &Path, place: &Path) -> Result<()> {
        let metadata = lstat(source)?.with_context(|| format!("{} is gone", source.display()))?;
        let Some(taken) = lstat(place)? else {
            if metadata.is_dir() {
                make_directory(place)?;
                return self.merge(source, place);
            }
            return make_link(&target(source, &metadata)?, place);
        };
        if source.is_dir()
            && let Some(directory) = self.directory(place, &taken)?
        {
            return self.merge(source, &directory);
        }
        if target(source, &metadata)? != target(place, &taken)? {
            self.left_out.push(format!(
                "{} is left out of the image's root: its name is taken by {}",
                source.display(),
                target(place, &taken)?.display()
            ));
        }
        Ok(())
    }

    /// The directory of the root that `place` is or leads to. A link to a directory elsewhere
    /// becomes one with the same in it, so that more can be put there.
    fn directory(&mut self, place: &Path, metadata: &Metadata) -> Result<Option<PathBuf>> {
        if metadata.is_dir() {
            return Ok(Some(place.to_owned()));
        }
        if !metadata.is_symlink() {
            return Ok(None);
        }
        let text = target(place, metadata)?;
        let inside = match text.strip_prefix("/") {
            Ok(rest) => self.root.join(rest),
            Err(_) => place.with_file_name("").join(&text),
        };
        if let Ok(directory) = inside.canonicalize()
            && directory.starts_with(&self.root)
            && directory.is_dir()
        {
            return Ok(Some(directory));
        }
        if !text.is_absolute() || !text.is_dir() {
            return Ok(None);
        }
        fs::remove_file(place).with_context(|| format!("cannot replace {}", place.display()))?;
        make_directory(place)?;
        self.merge(&text, place)?;
        Ok(Some(place.to_owned()))
    }
}

/// What a link to `path` leads to: to itself, or for a link, where that leads.
fn target(path: &Path, metadata: &Metadata) -> Result<PathBuf> {
    if metadata.is_symlink() {
        fs::read_link(path).with_context(|| format!("cannot read {}", path.display()))
    } else {
        Ok(path.to_owned())
    }
}

fn lstat(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir(path).with_context(|| format!("cannot make {}", path.display()))
}

fn make_link(target: &Path, place: &Path) -> Result<()> {
    symlink(target, place).with_context(|| format!("cannot make {}", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packages in a directory: for each, its files (`PATH`) and links (`PATH -> TARGET`).
    fn packages(at: &Path, packages: &[&[&str]]) -> Vec<PathBuf> {
        let package = |(index, entries): (usize, &&[&str])| {
            let package = at.join(index.to_string());
            for entry in *entries {
                let (path, target) = entry
                    .split_once(" -> ")
                    .map_or((*entry, None), |(path, target)| (path, Some(target)));
                let path = package.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                match target {
                    Some(target) => {
                        symlink(target.replace('@', at.to_str().unwrap()), path).unwrap();
                    }
                    None => fs::write(path, "").unwrap(),
                }
            }
            package
        };
        packages.iter().enumerate().map(package).collect()
    }

    fn linked(contents: &[&[&str]]) -> (Vec<String>, usize) {
        let temporary = tempfile::tempdir().unwrap();
        let at = temporary.path();
        let root = at.join("root");
        let left_out = link(&packages(at, contents), &root).unwrap();
        let mut found = Vec::new();
        let mut directories = vec![root.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                let metadata = path.symlink_metadata().unwrap();
                if metadata.is_dir() {
                    directories.push(path);
                } else {
                    let target = fs::read_link(&path).unwrap().display().to_string();
                    found.push(format!(
                        "{name} -> {}",
                        target.replace(at.to_str().unwrap(), "@")
                    ));
                }
            }
        }
        found.sort();
        (found, left_out.len())
    }

    #[test]
    fn directories_are_merged_and_files_become_links() {
        let (found, left_out) = linked(&[&["bin/a", "etc/x"], &["bin/b", "lib/c.so"]]);
        let expected = [
            "bin/a -> @/0/bin/a",
            "bin/b -> @/1/bin/b",
            "etc/x -> @/0/etc/x",
            "lib/c.so -> @/1/lib/c.so",
        ];
        assert_eq!(
            (found.as_slice(), left_out),
            (expected.map(String::from).as_slice(), 0)
        );
    }

    #[test]
    fn links_are_kept_as_they_are() {
        let (found, _) = linked(&[&["bin/bash", "bin/sh -> bash", "etc/away -> /nowhere"]]);
        assert_eq!(
            found,
            [
                "bin/bash -> @/0/bin/bash",
                "bin/sh -> bash",
                "etc/away -> /nowhere"
            ]
        );
    }

    #[test]
    fn the_first_of_two_equal_names_wins_and_the_other_is_told() {
        let (found, left_out) = linked(&[&["bin/a"], &["bin/a"], &["bin/a/b"]]);
        assert_eq!(
            (found, left_out),
            (vec!["bin/a -> @/0/bin/a".to_owned()], 2)
        );
    }

    #[test]
    fn links_to_the_same_place_are_one() {
        let (found, left_out) = linked(&[&["bin/sh -> /x"], &["bin/sh -> /x"]]);
        assert_eq!((found, left_out), (vec!["bin/sh -> /x".to_owned()], 0));
    }

    #[test]
    fn nothing_is_lost_where_a_directory_meets_a_link_to_one() {
        // The link's own directory takes what the other package has.
        let (found, left_out) = linked(&[&["bin/a", "sbin -> bin"], &["sbin/b"]]);
        assert_eq!(
            found,
            ["bin/a -> @/0/bin/a", "bin/b -> @/1/sbin/b", "sbin -> bin"]
        );
        assert_eq!(left_out, 0);
        // The other way about, what the link leads to is put into the directory.
        let (found, _) = linked(&[&["sbin/b"], &["bin/a", "sbin -> bin"]]);
        assert!(
            found.contains(&"sbin/a -> @/1/sbin/a".to_owned()),
            "{found:?}"
        );
        assert!(
            found.contains(&"bin/a -> @/1/bin/a".to_owned()),
            "{found:?}"
        );
        // A link to a directory outside of the root is opened up.
        let (found, _) = linked(&[&["lib -> @/1/lib"], &["lib/c"], &["lib/d"]]);
        assert_eq!(found, ["lib/c -> @/1/lib/c", "lib/d -> @/2/lib/d"]);
    }

    #[test]
    fn a_package_that_is_a_file_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("file");
        fs::write(&file, "").unwrap();
        let error = link(&[file], &temporary.path().join("root")).unwrap_err();
        assert!(error.to_string().contains("is a file"), "{error}");
    }
}
