//! The command line as it is typed. Nothing here looks at a file.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use image::Compression;
use layering::{LayerPattern, MIN_LAYER_SIZE};
use oci::Reference;

use crate::resolve::plan_label::PlanSource;
use crate::resolve::source::ImageSource;

/// One second after 1970 began, as Nix dates its files.
pub const DEFAULT_TIME: &str = "@1";
/// root.
pub const DEFAULT_OWNER: &str = "0:0:root:root";
/// As nixpkgs has it.
pub const DEFAULT_MAX_LAYERS: usize = 100;
/// How layers are made unless the command line says otherwise.
pub const DEFAULT_STRATEGY: &str = "stable";

/// Turn the closure of Nix store paths into a layered, reproducible container image.
///
/// `stream-layered /nix/store/…-hello | docker load` loads an image that runs hello.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    /// What to do; to stream the image without.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Arguments of `stream`.
    #[command(flatten)]
    pub stream: StreamArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the image to standard output, for `docker load`, or to a file or an OCI layout.
    Stream(StreamArgs),
    /// Show which store paths would go into which layer.
    Plan(PlanArgs),
    /// Show what a pull of NEW moves for who has OLD, and what made it change.
    Diff(DiffArgs),
    /// Show how a path came into the closure, and into its layer.
    Why(WhyArgs),
    /// Load the image into docker or podman; what it has already is not sent.
    Load(LoadArgs),
    /// Push the image to a registry; what is there already is not sent.
    ///
    /// Prints REF@DIGEST. Credentials are those of docker and podman.
    Push(PushArgs),
    /// Print what completes the command line in a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
    /// A step of the Nix side's derivations.
    #[command(subcommand, hide = true)]
    Nix(crate::nix_steps::Step),
}

/// Arguments of `stream`.
#[derive(Debug, Args)]
pub struct StreamArgs {
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// What is written.
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        help_heading = "Output"
    )]
    pub format: FormatArg,
    /// Write to this file instead of standard output; it appears when it is whole. For `oci`, the
    /// layout's directory.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Threads that hash and compress layers [default: $NIX_BUILD_CORES, or one for each processor].
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub jobs: Option<NonZeroUsize>,
    /// Compress a docker-archive as a whole, or an OCI image's layers: none, gzip[:LEVEL] or
    /// zstd[:LEVEL] [default: gzip:2 for `oci`, else none].
    #[arg(long, value_name = "HOW", help_heading = "Output")]
    pub compression: Option<Compression>,
    /// Annotate an OCI image's manifest; may be given many times.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Output")]
    pub annotation: Vec<String>,
    /// Add the image to the index under its tag in the layout, as the one for its platform.
    #[arg(long, help_heading = "Output")]
    pub index: bool,
    /// Hash layers once more while they are written, and fail where one is not what was promised.
    #[arg(long, help_heading = "Output")]
    pub verify: bool,
    /// Print nothing but errors.
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
    /// Where digests of layers are kept.
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// Arguments of `load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// The engine to load it into [default: the first that is found: $DOCKER_HOST, $CONTAINER_HOST,
    /// docker's socket, podman's, containerd].
    #[arg(long, value_enum, value_name = "ENGINE", help_heading = "Engine")]
    pub engine: Option<EngineArg>,
    /// Threads that hash layers [default: $NIX_BUILD_CORES, or one for each processor].
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub jobs: Option<NonZeroUsize>,
    /// Hash layers once more while they are sent, and fail where one is not what was promised.
    #[arg(long, help_heading = "Output")]
    pub verify: bool,
    /// Print nothing but the image's id, and errors.
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
    /// Where digests of layers are kept.
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// Arguments of `push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Where to push it: HOST[:PORT]/REPOSITORY[:TAG].
    #[arg(value_name = "REF")]
    pub reference: Reference,
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// Push it there, too; may be given many times.
    #[arg(long, value_name = "REF", help_heading = "Registry")]
    pub also: Vec<Reference>,
    /// An image of which layers that did not change are taken over, beside the one that is at REF.
    #[arg(long, value_name = "REF", help_heading = "Registry")]
    pub previous_image: Vec<Reference>,
    /// Add the image to the index at REF, as the one for its platform; the others stay.
    #[arg(long, help_heading = "Registry")]
    pub index: bool,
    /// Compress layers: none, gzip[:LEVEL] or zstd[:LEVEL].
    #[arg(
        long,
        value_name = "HOW",
        default_value_t = Compression::LAYER_GZIP,
        help_heading = "Output"
    )]
    pub compression: Compression,
    /// Annotate the image's manifest; may be given many times.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Output")]
    pub annotation: Vec<String>,
    /// Write the digest of the image to this file.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub digest_file: Option<PathBuf>,
    /// Blobs that are sent at once [default: 4], and threads that compress layers [default:
    /// $NIX_BUILD_CORES, or one for each processor].
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub jobs: Option<NonZeroUsize>,
    /// Print nothing but REF@DIGEST and errors.
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
    /// Where digests of layers are kept.
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// Engines by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineArg {
    /// Docker, with its own store or containerd's.
    Docker,
    /// podman.
    Podman,
    /// containerd by itself, through its client ctr: $CONTAINERD_ADDRESS, $CONTAINERD_NAMESPACE.
    Containerd,
}

/// How registries are reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry")]
pub struct RegistryArgs {
    /// Speak to registries without TLS; those on this machine are spoken to so anyway.
    #[arg(long)]
    pub plain_http: bool,
    /// Trust the certificates in this PEM file, too; may be given many times.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Vec<PathBuf>,
}

/// Parts of a base image's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InheritArg {
    /// Nothing.
    None,
    /// Everything that follows.
    All,
    /// Environment variables; own ones go over them.
    Env,
    /// Labels; own ones go over them.
    Labels,
    /// The command, where there is neither an own one nor an own entry point.
    Cmd,
    /// The entry point.
    Entrypoint,
    /// The user.
    User,
    /// The working directory.
    Workdir,
    /// Exposed ports, beside the own ones.
    Ports,
    /// Volumes, beside the own ones.
    Volumes,
    /// The signal that stops a container.
    StopSignal,
    /// The health check.
    Healthcheck,
}

/// What `stream` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum FormatArg {
    /// A docker-archive, with the bytes of nixpkgs' streamLayeredImage.
    #[default]
    DockerArchive,
    /// An OCI layout as a tar.
    OciArchive,
    /// An OCI layout: a directory, which keeps the other images that are in it.
    Oci,
}

/// Where digests of layers are kept.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cache")]
pub struct CacheArgs {
    /// Keep the digests of layers here [default: $XDG_CACHE_HOME/stream-layered].
    #[arg(long, value_name = "DIR", env = "STREAM_LAYERED_CACHE")]
    pub cache: Option<PathBuf>,
    /// Neither use nor keep digests of layers.
    #[arg(long)]
    pub no_cache: bool,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// How to print the plan.
    #[arg(long, value_enum, default_value_t = PlanFormat::Table, help_heading = "Output")]
    pub format: PlanFormat,
    /// Show what each strategy's layers would cost when something changes.
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    pub compare: bool,
    /// Write to this file instead of standard output; it appears when it is whole.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The old image: a docker-archive, oci:DIR[:TAG], docker://REF, or a plan as `plan --format
    /// json` prints it.
    #[arg(value_name = "OLD")]
    pub old: PlanSource,
    /// The new one.
    #[arg(value_name = "NEW")]
    pub new: PlanSource,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = DiffFormat::Text, help_heading = "Output")]
    pub format: DiffFormat,
    /// Of images for several platforms, the one for this architecture [default: this machine's].
    #[arg(long, value_name = "ARCH", help_heading = "Image")]
    pub arch: Option<String>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// How `diff` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Arguments of `why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// The path that is asked about, or the name of some.
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
}

/// How `plan` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people.
    Table,
    /// Everything, for programs.
    Json,
    /// The bare list of lists that nixpkgs' planners print.
    Layers,
    /// The graph with its layers, for graphviz.
    Dot,
    /// A page for a browser.
    Html,
}

/// What an image is made of: the same for every command that takes an image.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// Store paths, links to them, or results of streamLayeredImage; ./result without any.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// The store.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Take the graph from a file (`-`: standard input): a derivation's .attrs.json, a list of
    /// exportReferencesGraph, or what `nix path-info --json -r` prints.
    #[arg(long, value_name = "FILE", help_heading = "Closure")]
    pub closure: Option<PathBuf>,
    /// Make the image that a configuration of the Nix side describes (nixpkgs' conf.json is one).
    #[arg(long, value_name = "FILE", help_heading = "Closure", conflicts_with_all = [
        "paths", "closure", "config", "cmd", "entrypoint", "env", "label", "user", "workdir", "expose", "arch",
        "created", "mtime", "owner", "from_image", "strategy", "max_layers", "previous",
        "own",
    ])]
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

/// Where store paths are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Closure")]
pub struct StoreArgs {
    /// The store: a directory that holds nix/store, `local` for the machine's own, or a binary
    /// cache: file:///DIR, https://…, s3://BUCKET; several of these with commas, or one each time.
    #[arg(long, value_name = "URL", default_value = "local")]
    pub store: Vec<String>,
    /// Believe a binary cache what this key signed, or those in @FILE, beside the keys of Nix's
    /// own settings; may be given many times.
    #[arg(long, value_name = "NAME:KEY")]
    pub trusted_key: Vec<String>,
    /// Believe a binary cache what no key signed.
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
    /// The image's name [default: the first package's].
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
    /// The image's `config` as a JSON object, or @FILE that holds one; the options below go over it.
    #[arg(long, value_name = "JSON")]
    pub config: Option<String>,
    /// The command: a JSON list, or one word of it each time [default: the package's program].
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub cmd: Vec<String>,
    /// The entry point: a JSON list, or one word of it each time.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub entrypoint: Vec<String>,
    /// An environment variable; may be given many times.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// A label; may be given many times.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// The user that the command runs as.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// The directory that the command runs in.
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// A port that the command listens on; may be given many times.
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    pub expose: Vec<String>,
    /// The architecture, as Go names it [default: this machine's].
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// When the image was created: ISO 8601, @SECONDS, YYYYMMDDHHMMSS or now.
    #[arg(long, value_name = "TIME", default_value = DEFAULT_TIME)]
    pub created: String,
    /// Time of the files in store layers, in the same forms.
    #[arg(long, value_name = "TIME", default_value = DEFAULT_TIME)]
    pub mtime: String,
    /// Owner of the files in store layers.
    #[arg(
        long,
        value_name = "UID:GID[:USER:GROUP]",
        default_value = DEFAULT_OWNER
    )]
    pub owner: String,
    /// An image to stand on: a docker-archive, oci:DIR[:TAG] or docker://REF[@DIGEST]. Its layers
    /// are taken as they are.
    #[arg(long, value_name = "IMAGE")]
    pub from_image: Option<ImageSource>,
    /// What is taken over from the configuration of that image.
    #[arg(
        long,
        value_enum,
        value_name = "WHAT,…",
        value_delimiter = ',',
        default_value = "env",
        hide_possible_values = true
    )]
    pub inherit: Vec<InheritArg>,
}

/// How layers are made.
#[derive(Debug, Args)]
#[command(next_help_heading = "Layers")]
pub struct LayerArgs {
    /// How store paths are put into layers: stable, auto or popularity (nixpkgs' since 25.11, and
    /// before), or a file that holds a layeringPipeline.
    #[arg(long, value_name = "STRATEGY", default_value = DEFAULT_STRATEGY)]
    pub strategy: String,
    /// Most layers of the image: the base image's, the store layers, and the one of its root.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_LAYERS)]
    pub max_layers: usize,
    /// The release before: a plan as `plan --format json` prints it, a docker-archive,
    /// oci:DIR[:TAG] or docker://REF. What did not change stays where it is.
    #[arg(long, value_name = "PLAN|IMAGE")]
    pub previous: Option<PlanSource>,
    /// Put the paths whose names match (`glibc-*`), or their closure (`closure:python3-*`), into a
    /// layer of their own; may be given many times, the lowest first.
    #[arg(long = "layer", value_name = "PATTERN")]
    pub own: Vec<LayerPattern>,
    /// Bytes that are worth a layer; the strategy stable joins what is smaller.
    #[arg(long, value_name = "BYTES", default_value_t = MIN_LAYER_SIZE)]
    pub min_layer_size: u64,
}
