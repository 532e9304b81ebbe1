//! From what was typed to the image that is to be made.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use image::base::{BaseImage, Inherit};
use image::conf::Conf;
use image::root::RootTree;
use image::tar::{Owner, TarRules};
use image::time::Timestamp;
use image::{Image, Root, StoreLayer};
use layering::Plan;
use nix_compat::{NarHash, StorePath};
use oci::reference::{DEFAULT_TAG, split_tag};
use serde_json::{Map, Value, json};

use crate::args::{ImageArgs, NameArgs, SettingArgs};
use crate::resolve::closure::{self, Wanted};
use crate::resolve::plan_label;
use crate::resolve::source;
use crate::resolve::store::{self, Store};
use crate::usage::UsageError;
use crate::{files, platform};

/// An image, and where its store paths are read from.
pub struct ResolvedImage {
    /// The image.
    pub image: Image,
    /// Where its store paths are.
    pub store: Store,
    /// NAR hashes of the store paths, where they are known.
    pub nar_hashes: BTreeMap<StorePath, NarHash>,
    /// Annotations that came with the image's configuration.
    pub annotations: BTreeMap<String, String>,
    /// What the user should know before.
    pub warnings: Vec<String>,
}

/// Resolves what was typed into an image.
pub fn resolve_image(args: &ImageArgs) -> Result<ResolvedImage> {
    let store = Store::open(&args.store)?;
    let unsafe_store = store::warning(&args.store, &store);
    let now = Timestamp::now();
    let mut input = match closure::conf(args, &store)? {
        Some(file) => {
            let bytes = files::read_input(&file)?;
            let conf = Conf::parse(&bytes, now).with_context(|| format!("{}", file.display()))?;
            let annotations = conf.annotations.clone();
            let mut image = conf.into_image(|path| store.locate(path))?;
            if let [of_conf] = image.repo_tags.as_mut_slice() {
                *of_conf = repo_tag(&args.names, of_conf)?;
            }
            let nar_hashes = nar_hashes(&store, &image)?;
            Ok(ResolvedImage {
                image,
                store,
                nar_hashes,
                annotations,
                warnings: Vec::new(),
            })
        }
        None => from_options(args, store, now),
    }?;
    input.warnings.extend(unsafe_store);
    Ok(input)
}

fn from_options(args: &ImageArgs, store: Store, now: Timestamp) -> Result<ResolvedImage> {
    let paths = closure::paths(args, &store)?;
    let wanted = closure::wanted(args, &paths, &store)?;
    let settings = &args.settings;
    let architecture = platform::architecture(settings.arch.as_deref())?;
    let base = source::base(settings, &args.registry, &architecture)?;
    let of_base = base.as_ref().map_or(0, |base| base.layers.len());
    let plan = closure::plan(&wanted, &closure::request(&wanted, args, of_base)?)?;
    let root = store.link(&wanted.roots)?;
    let warnings = root.conflicts().iter().map(|conflict| {
        format!(
            "{} is left out of the image's root: {} has that name already",
            String::from_utf8_lossy(&conflict.dropped),
            String::from_utf8_lossy(&conflict.kept)
        )
    });
    let warnings = warnings.collect();
    let image = Image {
        architecture,
        config: config(settings, &root, base.as_ref(), &plan)?,
        created: Timestamp::parse(&settings.created, now).context("--created")?,
        rules: TarRules {
            mtime: Timestamp::parse(&settings.mtime, now)
                .context("--mtime")?
                .seconds(),
            owner: owner(&settings.owner)?,
        },
        base,
        store_layers: plan
            .layers
            .into_iter()
            .map(|layer| StoreLayer {
                paths: layer.paths,
                promise: None,
            })
            .collect(),
        root: Root::Links(root),
        repo_tags: vec![repo_tag(
            &args.names,
            &format!("{}:{DEFAULT_TAG}", default_name(&wanted)),
        )?],
    };
    let nar_hashes = if store.has_own_hashes() {
        nar_hashes(&store, &image)?
    } else {
        let infos = wanted.closure.paths();
        infos
            .filter_map(|info| Some((info.path.clone(), info.nar_hash?)))
            .collect()
    };
    Ok(ResolvedImage {
        image,
        store,
        nar_hashes,
        annotations: BTreeMap::new(),
        warnings,
    })
}

/// What the store says of an image's store paths. Of layers whose hashes are not known, nothing is
/// remembered.
fn nar_hashes(store: &Store, image: &Image) -> Result<BTreeMap<StorePath, NarHash>> {
    let paths: Vec<StorePath> = image
        .store_layers
        .iter()
        .flat_map(|layer| &layer.paths)
        .cloned()
        .collect();
    store.nar_hashes(&paths)
}

/// The first package's name without its version, in the small letters that image names have.
fn default_name(wanted: &Wanted) -> String {
    let name = wanted.roots.first().map_or("image", |path| {
        nix_compat::store_path::package_name(path.name())
    });
    name.to_lowercase().replace(
        |c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c),
        "-",
    )
}

/// `-t`, or `--name` and `--tag` over what stands in `default`.
fn repo_tag(names: &NameArgs, default: &str) -> Result<String> {
    let (default_name, default_tag) = split_tag(default);
    let (name, tag) = match &names.repo_tag {
        Some(text) => split_tag(text),
        None => (
            names.name.as_deref().unwrap_or(default_name),
            names.tag.as_deref().or(default_tag),
        ),
    };
    if name.is_empty() || tag == Some("") {
        return Err(UsageError("an image's name and its tag are not empty".to_owned()).into());
    }
    Ok(format!("{name}:{}", tag.unwrap_or(DEFAULT_TAG)))
}

/// The image's `config`: the JSON that was given, and the options over it.
fn config(
    settings: &SettingArgs,
    root: &RootTree,
    base: Option<&BaseImage>,
    plan: &Plan,
) -> Result<Value> {
    let mut config = match settings.config.as_deref() {
        None => Map::new(),
        Some(text) => {
            let bytes = match text.strip_prefix('@') {
                Some(file) => files::read_input(Path::new(file))?,
                None => text.as_bytes().to_vec(),
            };
            serde_json::from_slice(&bytes).context("--config: a JSON object was expected")?
        }
    };
    if !settings.entrypoint.is_empty() {
        config.insert(
            "Entrypoint".to_owned(),
            words("--entrypoint", &settings.entrypoint)?,
        );
    }
    if !settings.cmd.is_empty() {
        config.insert("Cmd".to_owned(), words("--cmd", &settings.cmd)?);
    }
    let inherits = |part: Inherit| {
        let of_base = |base: &BaseImage| base.inherits(part).is_some();
        base.is_some_and(of_base)
    };
    let has_command = config.contains_key("Cmd") || config.contains_key("Entrypoint");
    if !has_command && !inherits(Inherit::Cmd) && !inherits(Inherit::Entrypoint) {
        config.insert("Cmd".to_owned(), json!([default_command(root)?]));
    }
    if !settings.env.is_empty() {
        let own = config
            .get("Env")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let own: Vec<String> = own
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect();
        config.insert(
            "Env".to_owned(),
            image::base::merge_env(&own, &settings.env).into(),
        );
    }
    if let Some(label) = plan_label::label(plan)? {
        insert(&mut config, "Labels", plan_label::LABEL, label.into())?;
    }
    for text in &settings.label {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| UsageError(format!("--label {text}: NAME=VALUE was expected")))?;
        insert(&mut config, "Labels", name, value.into())?;
    }
    for port in &settings.expose {
        let port = if port.contains('/') {
            port.clone()
        } else {
            format!("{port}/tcp")
        };
        insert(&mut config, "ExposedPorts", &port, json!({}))?;
    }
    for (key, value) in [("User", &settings.user), ("WorkingDir", &settings.workdir)] {
        if let Some(value) = value {
            config.insert(key.to_owned(), value.as_str().into());
        }
    }
    Ok(Value::Object(config))
}

fn insert(config: &mut Map<String, Value>, key: &str, name: &str, value: Value) -> Result<()> {
    let entry = config.entry(key).or_insert_with(|| json!({}));
    let object = entry
        .as_object_mut()
        .with_context(|| format!("--config: its {key} is no object"))?;
    object.insert(name.to_owned(), value);
    Ok(())
}

/// A JSON list, or the words as they are.
fn words(option: &str, words: &[String]) -> Result<Value> {
    if let [text] = words
        && text.starts_with('[')
    {
        let list: Vec<String> = serde_json::from_str(text)
            .with_context(|| format!("{option}: a JSON list of texts was expected"))?;
        return Ok(list.into());
    }
    Ok(words.into())
}

fn default_command(root: &RootTree) -> Result<String> {
    root.default_program()
        .map(|name| format!("/bin/{name}"))
        .map_err(|candidates| {
            let what = match candidates.as_slice() {
                [] => "no PATH has a program in bin/".to_owned(),
                [first, second, third, fourth, ..] if candidates.len() > 4 => {
                    format!(
                        "which of {} programs to run ({first}, {second}, {third}, {fourth}, …)",
                        candidates.len()
                    )
                }
                _ => format!("which program to run: {}", candidates.join(", ")),
            };
            UsageError(format!(
                "the image has no command ({what}); give one with --cmd or --entrypoint"
            ))
            .into()
        })
}

fn owner(text: &str) -> Result<Owner> {
    let error = || {
        UsageError(format!(
            "--owner {text}: UID:GID or UID:GID:USER:GROUP was expected"
        ))
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (uid, gid, uname, gname) = match parts.as_slice() {
        [uid, gid] => (uid, gid, "", ""),
        [uid, gid, uname, gname] => (uid, gid, *uname, *gname),
        _ => return Err(error().into()),
    };
    let number = |text: &str| text.parse::<u32>().map(i64::from).map_err(|_| error());
    Ok(Owner {
        uid: number(uid)?,
        gid: number(gid)?,
        uname: uname.to_owned(),
        gname: gname.to_owned(),
    })
}
