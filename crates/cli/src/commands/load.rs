//! `load`: sends an image to a container engine, without what the engine has.

use std::io::{IsTerminal as _, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use engine::{Choice, Engine, Loaded, Observer, Options};
use image::{Layer, LayerDigest};
use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::{EngineArg, LoadArgs};
use crate::jobs::jobs;
use crate::output::console::{self, say};
use crate::resolve::image::resolve_image;
use crate::resolve::layer_keys::LayerKeys;

/// Runs the command.
pub fn run(args: &LoadArgs) -> Result<()> {
    let choice = match args.engine {
        None => Choice::Any,
        Some(EngineArg::Docker) => Choice::Docker,
        Some(EngineArg::Podman) => Choice::Podman,
        Some(EngineArg::Containerd) => Choice::Containerd,
    };
    let engine = Engine::find(choice)?;
    let mut input = resolve_image(&args.image)?;
    if !args.quiet {
        for warning in &input.warnings {
            say!("warning: {warning}");
        }
        say!("loading into {}", engine.name());
    }
    let mut memory = LayerKeys::open(&args.cache, &input);
    memory.recall(&mut input.image);
    let options = Options {
        jobs: jobs(args.jobs),
        verify: args.verify,
    };
    let progress = Progress::new(args.quiet);
    let loaded = engine.load(&mut input.image, input.store.trees(), options, &progress);
    progress.bar.finish_and_clear();
    let loaded = loaded?;
    if let Err(error) = memory.keep(&loaded.layers)
        && !args.quiet
    {
        say!("warning: the digests of this image's layers are not kept: {error:#}");
    }
    if !args.quiet {
        for tag in &input.image.repo_tags {
            say!("{tag}");
        }
        say!("{}", end_line(&loaded));
    }
    console::print(format!("{}\n", loaded.image_id))
}

/// `12 layers present, 2 sent, 3.1 MB of 1.6 GB`.
fn end_line(loaded: &Loaded) -> String {
    let present = loaded.layers.len() - loaded.sent;
    let all = loaded.layers.iter().map(|layer| layer.size).sum();
    format!(
        "{present} layer{} present, {} sent, {} of {}",
        if present == 1 { "" } else { "s" },
        loaded.sent,
        DecimalBytes(loaded.sent_bytes),
        DecimalBytes(all),
    )
}

/// A bar of bytes on a terminal, a line a layer elsewhere.
struct Progress {
    bar: ProgressBar,
    lines: bool,
    quiet: bool,
    /// Whether all that is missing was sent, and only the engine is still at work.
    is_sent: AtomicBool,
}

impl Progress {
    fn new(quiet: bool) -> Self {
        let terminal = stderr().is_terminal() && !quiet;
        let target = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let template = "{bar:30} {decimal_bytes} of {decimal_total_bytes}  {elapsed}  {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if terminal {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self {
            bar,
            lines: !terminal && !quiet,
            quiet,
            is_sent: AtomicBool::new(false),
        }
    }
}

impl Observer for Progress {
    fn missing(&self, layers: usize, of: usize, bytes: u64) {
        self.bar.set_position(0);
        self.bar.set_length(bytes);
        self.is_sent.store(false, Ordering::Relaxed);
        if self.lines {
            say!("{layers} of {of} layers are sent, {}", DecimalBytes(bytes));
        }
    }

    fn layer(&self, index: usize, of: usize, layer: &Layer<'_>, digest: &LayerDigest) {
        let text = format!(
            "layer {} of {of}: {}, {}",
            index + 1,
            layer.describe(),
            DecimalBytes(digest.size)
        );
        if self.lines {
            say!("{text}");
        }
        self.bar.set_message(text);
    }

    fn bytes(&self, count: u64) {
        self.bar.inc(count);
        if count == 0 && !self.is_sent.swap(true, Ordering::Relaxed) {
            self.bar.set_message("the engine unpacks it");
        }
    }

    fn warning(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| say!("warning: {text}"));
        }
    }

    fn again(&self) {
        if !self.quiet {
            self.bar.suspend(|| {
                say!("the engine lacks a layer that it seemed to have: all are sent");
            });
        }
    }
}
