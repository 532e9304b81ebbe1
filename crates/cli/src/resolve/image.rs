//! The image that a command writes, loads or pushes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use engine::{LAYER_LIMITS, LayerLimit};
use image::bytes::tar::TarRules;
use image::nix_image_json::NixImage;
use image::timestamp::Timestamp;
use image::{Image, Root, StoreLayer};
use nix_compat::{NarHash, StorePath};
use oci::reference::{DEFAULT_TAG, check_name};

use crate::resolve::image_name;
use crate::resolve::image_settings::ImageSettings;
use crate::resolve::plan::{self, Planned};
use crate::resolve::store::Store;
use crate::resolve::subject::Subject;
use crate::{input, platform};

/// An image, and where its store paths are read from.
pub struct ResolvedImage {
    /// The image.
    pub image: Image,
    /// Where its store paths are.
    pub store: Store,
    /// NAR hashes of the store paths, where they are known. They are the keys of cached layers.
    pub nar_hashes: BTreeMap<StorePath, NarHash>,
    /// Annotations that came with the image's configuration.
    pub annotations: BTreeMap<String, String>,
    /// What the user should know before the image is made.
    pub warnings: Vec<String>,
}

impl ResolvedImage {
    /// Reads what the image is made of, and plans its layers.
    ///
    /// # Errors
    ///
    /// Something that it is made of cannot be read, or the settings do not fit.
    pub fn new(settings: &ImageSettings) -> Result<Self> {
        let store = Store::open(&settings.store)?;
        let unsafe_store = settings.store.warning(&store);
        let now = Timestamp::now();
        let mut resolved = match settings.subject.resolve(&store)? {
            Subject::Configuration(file) => Self::of_configuration(settings, &file, store, now),
            Subject::Packages(paths) => Self::of_packages(settings, &paths, store, now),
        }?;
        resolved.warnings.extend(unsafe_store);
        resolved.warnings.extend(resolved.too_many_layers());
        Ok(resolved)
    }

    /// What to say of an image that has more layers than some engines take.
    pub fn too_many_layers(&self) -> Option<String> {
        let layers = self.image.layers().len();
        let exceeded = LAYER_LIMITS.iter().filter(|limit| layers > limit.runs);
        let exceeded: Vec<&LayerLimit> = exceeded.collect();
        let least = exceeded.first()?.runs;
        let exceeded: Vec<String> = exceeded.iter().map(ToString::to_string).collect();
        let (exceeded, advice) = (exceeded.join(", "), self.fewer_layers(least));
        Some(format!(
            "the image has {layers} layers, and {exceeded}: {advice}"
        ))
    }

    /// Refuses an image that an engine with this limit does not take.
    ///
    /// # Errors
    ///
    /// It has more layers.
    pub fn check_layers(&self, limit: LayerLimit) -> Result<()> {
        let layers = self.image.layers().len();
        let LayerLimit { of, most, .. } = limit;
        if layers > most {
            let advice = self.fewer_layers(most);
            bail!("the image has {layers} layers, and {of} takes no more than {most}: {advice}");
        }
        Ok(())
    }

    /// How the image gets no more than so many layers.
    fn fewer_layers(&self, most: usize) -> String {
        let base = self.image.base.as_ref().map_or(0, |base| base.layers.len());
        let option = match self.image.root {
            Root::Links(_) => "--max-layers",
            Root::Tar { .. } => "maxLayers in the image's expression",
        };
        if base + 2 > most {
            format!("{base} of them are the base image's; use one with fewer")
        } else {
            format!("lower {option} to {most} or less")
        }
    }

    fn of_configuration(
        settings: &ImageSettings,
        file: &Path,
        store: Store,
        now: Timestamp,
    ) -> Result<Self> {
        let bytes = input::read_input(file)?;
        let conf = NixImage::parse(&bytes, now).with_context(|| format!("{}", file.display()))?;
        let annotations = conf.annotations.clone();
        let mut warnings = Vec::new();
        let mut image = conf.into_image(|path| store.locate(path), &mut warnings)?;
        if let [repo_tag] = image.repo_tags.as_mut_slice() {
            *repo_tag = settings.names.repo_tag(repo_tag);
            // nixpkgs' functions take other names, and what they write is written here as well.
            if let Err(error) = check_name(repo_tag) {
                warnings.push(format!("container engines refuse this image: {error}"));
            }
        }
        Ok(Self {
            nar_hashes: nar_hashes(&store, &image)?,
            image,
            store,
            annotations,
            warnings,
        })
    }

    fn of_packages(
        settings: &ImageSettings,
        paths: &[StorePath],
        store: Store,
        now: Timestamp,
    ) -> Result<Self> {
        let platform = platform::platform(settings.platform.as_ref())?;
        let base = plan::open_base(settings, &platform)?;
        let Planned { closure, plan, .. } =
            Planned::of_packages(settings, paths, &store, base.as_ref())?;
        let root = store.link(&closure.roots)?;
        let left_out = root.left_out().iter().map(ToString::to_string);
        let of_base = base.iter().flat_map(|base| base.warnings.clone());
        let warnings = of_base.chain(left_out).collect();
        let default_name = image_name::of_packages(&closure.roots);
        let mtime = Timestamp::parse(&settings.mtime, now).context("--mtime")?;
        let image = Image {
            platform,
            config: settings.config.resolve(&root, base.as_ref())?,
            created: Timestamp::parse(&settings.created, now).context("--created")?,
            rules: TarRules {
                mtime: mtime.seconds(),
                owner: settings.owner.clone(),
            },
            base,
            plan_text: plan.to_text(),
            store_layers: plan
                .layers
                .into_iter()
                .map(|layer| StoreLayer {
                    paths: layer.paths,
                    size: layer.size,
                    tar: None,
                })
                .collect(),
            root: Root::Links(root),
            repo_tags: vec![
                settings
                    .names
                    .repo_tag(&format!("{default_name}:{DEFAULT_TAG}")),
            ],
        };
        let nar_hashes = if store.has_own_hashes() {
            nar_hashes(&store, &image)?
        } else {
            let infos = closure.closure.paths();
            infos
                .filter_map(|info| Some((info.path.clone(), info.nar_hash?)))
                .collect()
        };
        Ok(Self {
            image,
            store,
            nar_hashes,
            annotations: BTreeMap::new(),
            warnings,
        })
    }
}

/// What the store says of an image's store paths. A layer without a hash is not cached.
fn nar_hashes(store: &Store, image: &Image) -> Result<BTreeMap<StorePath, NarHash>> {
    let layers = image.store_layers.iter();
    let paths: Vec<StorePath> = layers.flat_map(|layer| &layer.paths).cloned().collect();
    store.nar_hashes(&paths)
}
