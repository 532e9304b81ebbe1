//! What is said of layers for which there was no room on disk.

use image::Spool;

use crate::output::console::say;

/// Tells how many layers were made twice, and how to avoid it.
pub fn tell(spool: &Spool, quiet: bool) {
    let count = spool.made_twice();
    if count > 0 && !quiet {
        say!(
            "warning: {count} layer{} read twice for lack of room in {}: --spool-size may give more, TMPDIR another \
             directory",
            if count == 1 { " was" } else { "s were" },
            spool.directory().display()
        );
    }
}
