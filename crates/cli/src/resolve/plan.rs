//! The layers of an image, before any of them is made.

use std::path::Path;

use anyhow::{Context, Result};
use image::base::BaseImage;
use image::nix_image_json::NixImage;
use image::timestamp::Timestamp;
use layering::{Closure, Plan, Reason, Request, Strategy};
use nix_compat::StorePath;
use oci::Platform;

use crate::input;
use crate::platform;
use crate::resolve::carried_plan;
use crate::resolve::closure::RootedClosure;
use crate::resolve::image_settings::ImageSettings;
use crate::resolve::store::Store;
use crate::resolve::subject::Subject;
use crate::usage::UsageError;

/// A closure and its layers.
pub struct Planned {
    /// The closure.
    pub closure: RootedClosure,
    /// What was asked of the plan; nothing if a configuration says what the layers are.
    request: Option<Request>,
    /// The layers.
    pub plan: Plan,
}

impl Planned {
    /// Plans an image's layers, or takes those of its configuration.
    ///
    /// # Errors
    ///
    /// What the image is made of cannot be read, or cannot be planned as it was asked for.
    pub fn new(settings: &ImageSettings, store: &Store) -> Result<Self> {
        match settings.subject.resolve(store)? {
            Subject::Configuration(file) => Self::of_configuration(&file, store),
            Subject::Packages(paths) => {
                let base = open_base(settings, &platform::platform(settings.platform.as_ref())?)?;
                Self::of_packages(settings, &paths, store, base.as_ref())
            }
        }
    }

    /// Plans the layers of packages that stand on `base`, whose layers count too.
    ///
    /// # Errors
    ///
    /// The closure is incomplete, or cannot be planned as it was asked for.
    pub fn of_packages(
        settings: &ImageSettings,
        paths: &[StorePath],
        store: &Store,
        base: Option<&BaseImage>,
    ) -> Result<Self> {
        let closure = RootedClosure::read(paths, settings.subject.closure.as_deref(), store)?;
        if let Some(source) = &settings.layers.fleet_plan {
            let plan = source.open().context("--fleet-plan")?;
            return Self::as_given(closure, plan)
                .with_context(|| format!("--fleet-plan {source} is not for these store paths"));
        }
        let platform = platform::platform(settings.platform.as_ref())?;
        let rules = settings.layers.resolve(&settings.registry, &platform)?;
        let base_layers = base.map_or(0, |base| base.layers.len());
        let request = rules
            .request(closure.hidden.clone(), base_layers)
            .map_err(|error| UsageError(error.text("--max-layers ", "the base image")))?;
        Ok(Self {
            plan: plan(&closure.closure, &request)?,
            request: Some(request),
            closure,
        })
    }

    /// The layers that a plan has for exactly these store paths.
    fn as_given(closure: RootedClosure, plan: Plan) -> Result<Self> {
        plan.check(&closure.closure, &closure.hidden)?;
        Ok(Self {
            closure,
            request: None,
            plan,
        })
    }

    /// The layers of an image that a configuration describes, and the closure of what is in them.
    fn of_configuration(file: &Path, store: &Store) -> Result<Self> {
        let context = || format!("{}", file.display());
        let conf = NixImage::parse(&input::read_input(file)?, Timestamp::now());
        let conf = conf.with_context(context)?;
        let layers = conf.store_layers.into_iter().map(|layer| layer.paths);
        let layers: Vec<Vec<StorePath>> = layers.collect();
        let infos = store.closure(&layers.concat())?;
        let closure = Closure::new(infos).context("the closure is incomplete")?;
        let reason = Reason::Other("configuration".to_owned());
        let mut plan = Plan::of_layers(&closure, &layers, &reason);
        carried_plan::add(&mut plan, conf.plan_text.as_deref(), &conf.config);
        Ok(Self {
            closure: RootedClosure::of(closure),
            request: None,
            plan,
        })
    }

    /// Whether a configuration says what the layers are.
    pub fn is_given(&self) -> bool {
        self.request.is_none()
    }

    /// What other strategies would be asked for the same closure.
    pub fn request(&self) -> Request {
        let same_number = || Request::new(Strategy::Stable, self.plan.layers.len().max(1));
        self.request.clone().unwrap_or_else(same_number)
    }

    /// The names of what was asked for.
    pub fn title(&self) -> String {
        let roots = &self.closure.roots;
        let names: Vec<&str> = roots.iter().map(|root| root.name()).collect();
        match names.as_slice() {
            [] => "store paths".to_owned(),
            [first, second, third, rest @ ..] if !rest.is_empty() => {
                format!("{first}, {second}, {third} and {} more", rest.len())
            }
            _ => names.join(", "),
        }
    }
}

/// Opens the base image. Also a plan alone needs it: the number of its layers is known only from
/// its manifest, and is subtracted from what is left for store paths.
///
/// # Errors
///
/// It cannot be read.
pub fn open_base(settings: &ImageSettings, platform: &Platform) -> Result<Option<BaseImage>> {
    let base = settings.base.as_ref();
    if base.is_none() && settings.subject.is_given("--inherit") {
        let usage = "--inherit takes settings from a base image; name one with --from-image";
        return Err(UsageError(usage.to_owned()).into());
    }
    base.map(|base| base.open(&settings.registry, platform))
        .transpose()
}

/// Plans a closure, and checks that no path is lost or twice in the plan.
///
/// # Errors
///
/// The request cannot be met.
pub fn plan(closure: &Closure, request: &Request) -> Result<Plan> {
    let plan = layering::plan(closure, request)?;
    // A pipeline may leave paths out.
    if !matches!(request.strategy, Strategy::Pipeline(_)) {
        plan.check(closure, &request.hidden)?;
    }
    Ok(plan)
}
