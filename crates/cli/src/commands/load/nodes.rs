//! The engines that are loaded into.

use std::sync::{Arc, Weak};
use std::thread::{self, Builder};

use anyhow::{Error, Result};
use engine::{Choice, Destination, Engine, Surroundings};

use crate::output::console::say;
use crate::signals;

/// An engine that is loaded into.
pub struct Node {
    /// Its name among those of the run.
    pub name: String,
    /// The engine.
    pub engine: Arc<Engine>,
}

/// All engines of a run.
pub struct Nodes {
    /// Those that answer.
    pub there: Vec<Node>,
    /// The names of the others, and why they do not.
    pub missing: Vec<(String, Error)>,
}

impl Nodes {
    /// Opens the destinations; without one, the engine that the environment names or that is found.
    pub fn open(destinations: &[Destination]) -> Self {
        let surroundings = Surroundings::of_process();
        let any = [Destination::Engine(Choice::Any)];
        let destinations = if destinations.is_empty() {
            &any
        } else {
            destinations
        };
        let mut nodes = Self {
            there: Vec::new(),
            missing: Vec::new(),
        };
        for (index, destination) in destinations.iter().enumerate() {
            if destinations[..index].contains(destination) {
                continue;
            }
            match destination.open(&surroundings) {
                Ok(opened) => {
                    for node in opened {
                        nodes.add(node.name, node.engine);
                    }
                }
                Err(error) => nodes.add(destination.to_string(), Err(error)),
            }
        }
        nodes
    }

    fn add(&mut self, name: String, engine: Result<Engine, engine::Error>) {
        match engine {
            Ok(engine) => self.there.push(Node {
                name,
                engine: Arc::new(engine),
            }),
            Err(error) => self.missing.push((name, error.into())),
        }
    }

    /// Whether there is one alone, whose name need not be told with everything.
    pub fn is_one(&self) -> bool {
        self.there.len() + self.missing.len() == 1
    }

    /// Tells which engines are loaded into.
    pub fn introduce(&self) {
        for node in &self.there {
            if let Some(warning) = node.engine.warning() {
                say!("warning: {warning}");
            }
            say!("loading into {}", node.engine.name());
        }
    }

    /// Has Ctrl-C and `kill` take out of the engines what a load puts there for its time.
    ///
    /// # Errors
    ///
    /// The system gives no handler.
    pub fn leave_nothing_when_stopped(&self) -> Result<()> {
        // Not their owner: their connections end with the last of those.
        let engines = self.there.iter().map(|node| Arc::downgrade(&node.engine));
        let engines: Vec<_> = engines.collect();
        signals::before_stop(move || {
            thread::scope(|scope| {
                for engine in engines.iter().filter_map(Weak::upgrade) {
                    let same = Arc::clone(&engine);
                    if Builder::new()
                        .spawn_scoped(scope, move || same.abandon())
                        .is_err()
                    {
                        engine.abandon();
                    }
                }
            });
        })?;
        Ok(())
    }
}
