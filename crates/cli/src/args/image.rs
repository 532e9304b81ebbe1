//! What an image is made of: the same arguments for every command that takes an image.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use layering::{LayerPattern, MIN_LAYER_SIZE};
use oci::Platform;

use super::parse::{self, InheritArg};
use crate::resolve::fleet_plan_source::FleetPlanSource;
use crate::resolve::plan_request::{DEFAULT_MAX_LAYERS, DEFAULT_STRATEGY};
use crate::resolve::plan_source::PlanSource;
use crate::resolve::source::ImageSource;

/// One second after 1970 began, as Nix dates its files.
const DEFAULT_TIME: &str = "@1";
/// root.
const DEFAULT_OWNER: &str = "0:0:root:root";

/// What an image is made of.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// Which options were given. It stands first, since clap's matches lose each value that is
    /// taken from them.
    #[command(flatten)]
    pub given: GivenOptions,

    /// Store paths, links to them, or results of streamLayeredImage [default: ./result].
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// The store.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Read the closure from a file (`-` for standard input): a derivation's .attrs.json, a list
    /// from exportReferencesGraph, or the output of `nix path-info --json -r`.
    #[arg(long, value_name = "FILE", help_heading = "Closure")]
    pub closure: Option<PathBuf>,
    /// Make the image that a configuration of the Nix side describes. nixpkgs' conf.json is one.
    #[arg(long, value_name = "FILE", help_heading = "Closure", conflicts_with_all = ["paths", "closure"])]
    pub conf: Option<PathBuf>,

    /// The image's name and tag.
    #[command(flatten)]
    pub names: NameArgs,
    /// The image's settings.
    #[command(flatten)]
    pub settings: SettingArgs,
    /// How layers are made.
    #[command(flatten)]
    pub layers: LayerArgs,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// The options of [`SettingArgs`] and [`LayerArgs`] that were given, with a default's value or
/// another one. An image that is described elsewhere does not follow them, so they are refused.
#[derive(Debug, Clone, Default)]
pub struct GivenOptions(pub Vec<String>);

impl FromArgMatches for GivenOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let options = LayerArgs::augment_args(SettingArgs::augment_args(Command::new("")));
        let is_given = |arg: &&clap::Arg| {
            matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
        };
        let given = options.get_arguments().filter(is_given);
        let name = |arg: &clap::Arg| Some(format!("--{}", arg.get_long()?));
        Ok(Self(given.filter_map(name).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for GivenOptions {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

/// Where store paths are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Closure")]
pub struct StoreArgs {
    /// The store: a directory that holds nix/store, `local` for the machine's own, or a binary
    /// cache: file:///DIR, https://…, s3://BUCKET. Several caches are separated by commas, or
    /// given one by one. `auto` is what NIX_REMOTE names, otherwise `local`.
    #[arg(long, value_name = "URL", default_value = "auto")]
    pub store: Vec<String>,
    /// Trust what this key signed in a binary cache, as well as the keys of Nix's own settings.
    /// @FILE reads keys from a file. Repeatable.
    #[arg(long, value_name = "NAME:KEY")]
    pub trusted_key: Vec<String>,
    /// Accept store paths of a binary cache that no trusted key signed.
    #[arg(long)]
    pub no_require_sigs: bool,
}

/// The image's name and tag.
#[derive(Debug, Args)]
#[command(next_help_heading = "Image")]
pub struct NameArgs {
    /// The image's name and tag.
    // The long name is that of nixpkgs' streamer.
    #[arg(short = 't', alias = "repo_tag", value_name = "NAME:TAG", conflicts_with_all = ["name", "tag"])]
    pub repo_tag: Option<String>,
    /// The image's name [default: the name of the first package].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The image's tag [default: latest].
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
}

/// The image's settings.
#[derive(Debug, Args)]
#[command(next_help_heading = "Image")]
pub struct SettingArgs {
    /// The image's `config` as a JSON object, or @FILE with one. The options below override it.
    #[arg(long, value_name = "JSON")]
    pub config: Option<String>,
    /// The command: a JSON list, or one word; repeat for more words [default: the package's
    /// program].
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub cmd: Vec<String>,
    /// The entry point: a JSON list, or one word; repeat for more words.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub entrypoint: Vec<String>,
    /// An environment variable. Repeatable.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// A label. Repeatable.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// The user that the command runs as.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// The working directory of the command.
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// A port that the command listens on. Repeatable.
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    pub expose: Vec<String>,
    /// The architecture that the image is for, such as amd64, arm64 or arm/v7 [default: this
    /// machine's].
    #[arg(long, value_name = "ARCH[/VARIANT]", value_parser = Platform::parse_linux)]
    pub arch: Option<Platform>,
    /// When the image was created: ISO 8601, @SECONDS, YYYYMMDDHHMMSS or now. The variable
    /// SOURCE_DATE_EPOCH has no effect; give @$SOURCE_DATE_EPOCH for its time.
    #[arg(long, value_name = "TIME", default_value = DEFAULT_TIME)]
    pub created: String,
    /// Modification time of the files in store layers, in the same forms.
    #[arg(long, value_name = "TIME", default_value = DEFAULT_TIME)]
    pub mtime: String,
    /// Owner of the files in store layers.
    #[arg(
        long,
        value_name = "UID:GID[:USER:GROUP]",
        default_value = DEFAULT_OWNER
    )]
    pub owner: String,
    /// The base image: an archive, oci:DIR[:TAG], docker://REF[@DIGEST] or
    /// docker-daemon:NAME[:TAG]. Its layers are not changed.
    #[arg(long, value_name = "IMAGE")]
    pub from_image: Option<ImageSource>,
    /// Settings that are taken from the configuration of the base image.
    #[arg(
        long,
        value_parser = parse::inherit(),
        value_name = "WHAT,…",
        value_delimiter = ',',
        default_value = "env"
    )]
    pub inherit: Vec<InheritArg>,
}

/// How layers are made.
#[derive(Debug, Args)]
#[command(next_help_heading = "Layers")]
pub struct LayerArgs {
    /// How store paths are grouped into layers: stable, auto or popularity (nixpkgs' default since
    /// 25.11, and before), or a file that holds a layeringPipeline.
    #[arg(long, value_name = "STRATEGY", default_value = DEFAULT_STRATEGY)]
    pub strategy: String,
    /// Maximum number of layers: those of the base image, of store paths, and of the root links.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_LAYERS)]
    pub max_layers: usize,
    /// The previous image: a plan from `plan --format json`, an image's archive, oci:DIR[:TAG],
    /// docker://REF or docker-daemon:NAME[:TAG]. Unchanged layers keep their place. For a fleet, its plan
    /// or NAME=IMAGE for each image, repeatedly.
    #[arg(long, value_name = "PLAN|IMAGE")]
    pub previous: Vec<PlanSource>,
    /// Take the layers that the plan of a fleet has for one of its images: FILE is what
    /// `plan --fleet … --format json` printed, NAME is the image's name there.
    #[arg(
        long,
        value_name = "FILE#NAME",
        conflicts_with_all = ["strategy", "max_layers", "previous", "own", "min_layer_size"]
    )]
    pub fleet_plan: Option<FleetPlanSource>,
    /// Put the store paths whose names match (`glibc-*`), or their closure (`closure:python3-*`),
    /// into a layer of their own. Repeatable, the lowest layer first.
    #[arg(long = "layer", value_name = "PATTERN")]
    pub own: Vec<LayerPattern>,
    /// Minimum size of a layer in bytes. The strategy stable joins smaller ones.
    #[arg(long, value_name = "BYTES", default_value_t = MIN_LAYER_SIZE)]
    pub min_layer_size: u64,
}

/// How registries are reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry")]
pub struct RegistryArgs {
    /// Use HTTP without TLS for all registries. Registries on this machine always use it.
    #[arg(long)]
    pub plain_http: bool,
    /// Also trust the certificate authorities in this PEM file, for registries and binary caches. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Vec<PathBuf>,
}
