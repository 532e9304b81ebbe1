//! The arguments of each command.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use engine::Destination;
use image::Compression;
use oci::{Platform, Reference};

use super::image::{ImageArgs, RegistryArgs};
use super::parse;
use super::push_name::PushName;
use crate::resolve::budget::{DiffBudget, PlanBudget};
use crate::resolve::byte_size::byte_size;
use crate::resolve::plan_source::PlanSource;

/// Arguments of `stream`.
#[derive(Debug, Args)]
pub struct StreamArgs {
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// What to write.
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        help_heading = "Output"
    )]
    pub format: FormatArg,
    /// Write to this file instead of standard output. The file appears when it is complete. For
    /// `oci`, the directory of the layout.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Threads that hash and compress layers [default: $NIX_BUILD_CORES, else one per CPU].
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub jobs: Option<NonZeroUsize>,
    /// Compress a docker-archive as a whole, or the layers of an OCI image: none, gzip[:LEVEL] or
    /// zstd[:LEVEL] [default: gzip:2 for `oci`, else none].
    #[arg(long, value_name = "HOW", help_heading = "Output")]
    pub compression: Option<Compression>,
    /// Add an annotation to the manifest of an OCI image. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Output")]
    pub annotation: Vec<String>,
    /// Add the image to the index that its tag names in the layout, as the image for its platform.
    #[arg(long, help_heading = "Output")]
    pub index: bool,
    /// Hash layers before and while they are written. Fail if they change meanwhile, or are not what
    /// the image's configuration says; do not believe the cache.
    #[arg(long, help_heading = "Output")]
    pub verify: bool,
    /// Layers on disk.
    #[command(flatten)]
    pub spool: SpoolArgs,
    /// Print only errors.
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
    /// Where digests of layers are kept.
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// What `stream` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum FormatArg {
    /// A docker-archive, with the same bytes as nixpkgs' streamLayeredImage.
    #[default]
    DockerArchive,
    /// An OCI layout as a tar.
    OciArchive,
    /// An OCI layout as a directory. The other images in it stay.
    Oci,
}

/// Layers on disk.
#[derive(Debug, Args)]
pub struct SpoolArgs {
    /// Room on disk, in $TMPDIR or /var/tmp, for layers that are downloaded or compressed before they
    /// are written or sent: bytes, or a number with MB, GiB and the like. Layers that find no room are
    /// downloaded or compressed twice.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "4GiB",
        value_parser = byte_size,
        help_heading = "Output"
    )]
    pub spool_size: u64,
}

/// Where digests of layers are kept.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cache")]
pub struct CacheArgs {
    /// Keep the digests of layers in this directory [default: $XDG_CACHE_HOME/stream-layered].
    #[arg(long, value_name = "DIR", env = "STREAM_LAYERED_CACHE")]
    pub cache: Option<PathBuf>,
    /// Neither read nor write the cache of layer digests.
    #[arg(long)]
    pub no_cache: bool,
}

/// Arguments of `load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// Where to load the image: docker, podman, containerd, unix:///path, tcp://host:port,
    /// ssh://[user@]host[:port], context:NAME, kind[:CLUSTER], k3d[:CLUSTER], k3s,
    /// minikube[:PROFILE] or ctr:COMMAND. Repeatable [default: the engine that $DOCKER_HOST,
    /// $DOCKER_CONTEXT, $CONTAINER_HOST, $CONTAINERD_ADDRESS or docker's current context names, else
    /// the first one found: Docker's socket, podman's socket, containerd].
    #[arg(
        long,
        alias = "engine",
        value_parser = parse::destination,
        value_name = "WHERE",
        help_heading = "Engine"
    )]
    pub to: Vec<Destination>,
    /// Compress layers for engines that keep and push them as they are sent, Docker's containerd store and
    /// containerd: none, gzip[:LEVEL] or zstd[:LEVEL]. The blobs are those of `push` with the same
    /// --compression. Other engines unpack layers, and are sent them without compression.
    #[arg(
        long,
        value_name = "HOW",
        default_value_t = Compression::None,
        help_heading = "Output"
    )]
    pub compression: Compression,
    /// Threads that hash layers [default: $NIX_BUILD_CORES, else one per CPU].
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub jobs: Option<NonZeroUsize>,
    /// Hash layers before and while they are sent. Fail if they change meanwhile, or are not what
    /// the image's configuration says; do not believe the cache.
    #[arg(long, help_heading = "Output")]
    pub verify: bool,
    /// Layers on disk.
    #[command(flatten)]
    pub spool: SpoolArgs,
    /// Print only the image's ID and errors.
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
    /// Where digests of layers are kept.
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// Arguments of `push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Where to push the image: HOST[:PORT]/REPOSITORY[:TAG].
    #[arg(value_name = "REF")]
    pub reference: PushName,
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// Push several images, as `plan --fleet` takes them. What they share is read and sent once. In
    /// REF, {name} and {tag} stand for each image's name and tag: HOST/TEAM/{name}:{tag}.
    #[arg(
        long,
        num_args = 1..,
        value_name = "IMAGE",
        conflicts_with_all = ["paths", "closure", "conf", "repo_tag", "name", "digest_file"],
        help_heading = "Closure"
    )]
    pub fleet: Vec<String>,
    /// Push to this reference too. Repeatable.
    #[arg(long, value_name = "REF", help_heading = "Registry")]
    pub also: Vec<PushName>,
    /// Reuse unchanged layers of this image, as well as those of the image at REF. Repeatable.
    #[arg(long, value_name = "REF", help_heading = "Registry")]
    pub previous_image: Vec<Reference>,
    /// Believe the annotations of every --previous-image. Without this, those of other repositories
    /// than REF are checked: the layers are read and compressed.
    #[arg(long, help_heading = "Registry")]
    pub trust_annotations: bool,
    /// Add the image to the index at REF, as the image for its platform. Images for other
    /// platforms stay.
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
    /// Add an annotation to the image's manifest. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Output")]
    pub annotation: Vec<String>,
    /// Write the digest of the image to this file.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub digest_file: Option<PathBuf>,
    /// Blobs that are sent at the same time (default: 4), and threads that compress layers
    /// (default: $NIX_BUILD_CORES, else one per CPU).
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub jobs: Option<NonZeroUsize>,
    /// Print only REF@DIGEST and errors.
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
    /// Where digests of layers are kept.
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// Plan several images together, so that what they share is in the same layers: results of
    /// streamLayeredImage, NAME=PATH[,PATH…] for an image of store paths, and files with
    /// {"images": {NAME: {"roots": […]}}}, or with `graph` or `conf` in place of `roots`.
    #[arg(
        long,
        num_args = 1..,
        value_name = "IMAGE",
        conflicts_with_all = ["paths", "closure", "conf", "compare"],
        help_heading = "Closure"
    )]
    pub fleet: Vec<String>,
    /// How to print the plan.
    #[arg(long, value_enum, default_value_t = PlanFormat::Table, help_heading = "Output")]
    pub format: PlanFormat,
    /// Fail if the image exceeds one of these limits, and say what takes most: size=SIZE of all store
    /// paths, layer=SIZE of any layer, closure=N store paths.
    #[arg(
        long,
        value_name = "KEY=MOST,…",
        conflicts_with = "fleet",
        help_heading = "Output"
    )]
    pub budget: Option<PlanBudget>,
    /// Estimate the average download after a change, for each strategy.
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    pub compare: bool,
    /// Write to this file instead of standard output. The file appears when it is complete.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
}

/// Arguments of `lock`.
#[derive(Debug, Args)]
pub struct LockArgs {
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// Write to this file instead of standard output. The file appears when it is complete, so that
    /// the image may be planned after the lock that it replaces.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Threads that hash layers [default: $NIX_BUILD_CORES, else one per CPU].
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub jobs: Option<NonZeroUsize>,
    /// Where digests of layers are kept.
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// How `plan` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// A table.
    Table,
    /// The whole plan, for programs and for --previous.
    Json,
    /// The list of lists of store paths that nixpkgs' planners print.
    Layers,
    /// The graph of store paths, grouped by layer, for Graphviz.
    Dot,
    /// A page for a browser.
    Html,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The old image: an archive, oci:DIR[:TAG], docker://REF, docker-daemon:NAME[:TAG],
    /// or a plan from `plan --format json`. Or the plan of a fleet, if NEW is one.
    #[arg(value_name = "OLD")]
    pub old: PlanSource,
    /// The new image, in the same forms.
    #[arg(value_name = "NEW")]
    pub new: PlanSource,
    /// Fail if more is downloaded by digest than this, and say which packages changed: pull=SIZE. Of a
    /// fleet, all images count together, each layer once.
    #[arg(long, value_name = "pull=MOST", help_heading = "Output")]
    pub budget: Option<DiffBudget>,
    /// How to print the difference.
    #[arg(long, value_enum, default_value_t = DiffFormat::Text, help_heading = "Output")]
    pub format: DiffFormat,
    /// The architecture to choose if an image has several [default: this machine's].
    #[arg(
        long,
        value_name = "ARCH[/VARIANT]",
        value_parser = Platform::parse_linux,
        help_heading = "Image"
    )]
    pub arch: Option<Platform>,
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
    /// A store path, or the name of one or more.
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// Show which images and layers of a fleet have WHAT, and why other images do not have these layers.
    /// The images are named as for `plan --fleet`.
    #[arg(
        long,
        num_args = 1..,
        value_name = "IMAGE",
        conflicts_with_all = ["paths", "closure", "conf"],
        help_heading = "Closure"
    )]
    pub fleet: Vec<String>,
}

/// The steps of the Nix side's derivations.
#[derive(Debug, Subcommand)]
pub enum NixStep {
    /// Links the files of `contents` into a directory, which becomes the image's root.
    Link {
        /// The directory. It is created.
        directory: PathBuf,
    },
    /// Writes the layer of the image's root.
    RootLayer {
        /// The root as other steps made it; without, it is linked from `contents`.
        directory: Option<PathBuf>,
        /// What `fakeroot -s` has saved.
        #[arg(long)]
        fakeroot_state: Option<PathBuf>,
    },
    /// Prints the closure as `nix-store --load-db` reads it.
    Registration,
    /// Writes which store paths go into which layer, as nixpkgs' planners do.
    Plan,
    /// Writes which store paths of several images go into which layer.
    FleetPlan,
    /// Writes the digests of the layers.
    Digests,
    /// Compares the digests of a lock with the layers.
    LockCheck,
    /// Fails if an image exceeds its budget.
    Budget,
    /// Writes the image's configuration.
    Conf,
    /// Writes a script that runs stream-layered.
    Script,
    /// Writes a text.
    Text,
}
