//! What is still done when the program is told to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// Has a file that grows beyond a limit (`ulimit -f`) be an error of who writes it, which is told, and not
/// the end of the program. Handled and not ignored: programs that are run would inherit that.
///
/// # Errors
///
/// The system gives no handler.
pub fn tell_size_limits() -> io::Result<()> {
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(|_| ())
}

/// Has `clean_up` run when Ctrl-C or `kill` stops the program, which then ends as it would have
/// without. Files need none of this, they have no name until they are whole; this is for what is
/// elsewhere.
///
/// # Errors
///
/// The system gives no handler.
pub fn before_stop(clean_up: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new().spawn(move || {
        if let Some(signal) = signals.forever().next() {
            IS_STOPPING.store(true, Ordering::Relaxed);
            clean_up();
            let _ = emulate_default_handler(signal);
        }
    })?;
    Ok(())
}

static IS_STOPPING: AtomicBool = AtomicBool::new(false);

/// Waits for the end of the program if it is being stopped: what fails then fails because of that, and is
/// nothing to tell.
pub fn let_stop() {
    while IS_STOPPING.load(Ordering::Relaxed) {
        thread::park();
    }
}
