//! Blobs that wait for their turn to be made, as layers do that are compressed two at a time.

use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex};

use registry::{Blob, Content, PushOptions};

use crate::double::Double;
use crate::support::{Made, client, push};

/// How many blobs may be made at once.
struct Turns<'a> {
    double: &'a Double,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    free: usize,
    given: usize,
}

/// A turn that was taken.
struct Turn<'a>(&'a Turns<'a>);

impl<'a> Turns<'a> {
    fn take(&'a self) -> Turn<'a> {
        let state = self.state.lock().unwrap();
        let mut state = self
            .changed
            .wait_while(state, |state| state.free == 0)
            .unwrap();
        // Each turn before this one may have opened an upload; this blob must not have.
        let opened = self.double.count("POST /v2/app/blobs/uploads");
        assert!(
            opened <= state.given,
            "{opened} uploads, {} turns",
            state.given
        );
        state.free -= 1;
        state.given += 1;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().free += 1;
        self.0.changed.notify_one();
    }
}

/// A blob that takes a turn with its first read, and keeps it as long as it is read.
struct Waiting<'a> {
    made: Made,
    turns: &'a Turns<'a>,
}

struct WaitingReader<'a> {
    turns: &'a Turns<'a>,
    turn: Option<Turn<'a>>,
    reader: Box<dyn Read + 'a>,
}

impl Blob for Waiting<'_> {
    fn name(&self) -> String {
        self.made.name()
    }

    fn content(&self) -> Content {
        self.made.content()
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(WaitingReader {
            turns: self.turns,
            turn: None,
            reader: self.made.open()?,
        }))
    }
}

impl Read for WaitingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.turn.get_or_insert_with(|| self.turns.take());
        self.reader.read(buffer)
    }
}

/// Before an upload was opened only when its blob had something to send, requests without a body
/// stood open until it was their blob's turn, and were closed as idle.
#[test]
fn no_upload_is_open_while_its_blob_waits_for_its_turn() {
    const SIZE: u64 = 300_000;
    let double = Double::start();
    double.state().idle = Some(3 * SIZE as usize);
    let turns = Turns {
        double: &double,
        state: Mutex::new(State { free: 2, given: 0 }),
        changed: Condvar::new(),
    };
    let blobs: Vec<Waiting<'_>> = (0..12)
        .map(|seed| Waiting {
            made: Made::unknown(seed, SIZE),
            turns: &turns,
        })
        .collect();
    let layers: Vec<&dyn Blob> = blobs.iter().map(|blob| blob as &dyn Blob).collect();
    let options = PushOptions {
        jobs: 8,
        ..PushOptions::default()
    };
    let summary = push(&double, &client(), options, &layers).unwrap();
    assert_eq!(summary.sent, 13);
    assert!(double.stands("v1"));
    assert_eq!(double.state().closed_idle, 0);
    for blob in &blobs {
        let opened = blob.made.opened.load(Ordering::Relaxed);
        assert!(opened <= 2, "{} was read {opened} times", blob.name());
    }
    let all: usize = blobs
        .iter()
        .map(|blob| blob.made.opened.load(Ordering::Relaxed))
        .sum();
    assert_eq!(all, 12, "none is read to be counted");
}
