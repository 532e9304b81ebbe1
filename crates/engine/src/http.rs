//! Requests to an engine's API, and its answers as JSON.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use ureq::http::{Response, StatusCode};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body, SendBody};

use crate::address::Address;
use crate::socket::SocketConnector;
use crate::{Error, podman};

/// Longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 256 << 20;

/// The URL's host, for the request's form alone: where to connect is known.
const HOST: &str = "http://127.0.0.1";

/// Speaks to one engine.
pub struct Client {
    agent: Agent,
    deaf: Arc<AtomicBool>,
    /// The engine's name in errors.
    pub engine: String,
}

impl Client {
    /// A client for the engine at this address. Nothing is sent yet.
    pub fn new(address: &Address) -> Self {
        let deaf = Arc::new(AtomicBool::new(false));
        let connector = SocketConnector {
            address: address.clone(),
            deaf: Arc::clone(&deaf),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .user_agent(concat!("stream-layered/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: Agent::with_parts(config, connector, DefaultResolver::default()),
            deaf,
            engine: format!("the engine at {address}"),
        }
    }

    /// Whether the engine says that it is podman.
    ///
    /// # Errors
    ///
    /// Why nothing answers.
    pub fn is_podman(&self) -> Result<bool, ureq::Error> {
        let answer = self.agent.get(format!("{HOST}/_ping")).call()?;
        if !answer.status().is_success() {
            return Err(ureq::Error::StatusCode(answer.status().as_u16()));
        }
        Ok(answer.headers().contains_key(podman::VERSION_HEADER))
    }

    /// Asks for `path`; nothing where the engine has no such thing. `what` is for errors.
    ///
    /// # Errors
    ///
    /// The engine cannot be reached, refuses, or gives something other than JSON.
    pub fn get(
        &self,
        what: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<Value>, Error> {
        let mut request = self.agent.get(format!("{HOST}{path}"));
        for (name, value) in query {
            request = request.query(name, value);
        }
        let answer = request
            .call()
            .map_err(|error| self.connection(what, error))?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let mut answer = self.accept(what, answer)?;
        let bytes = answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec()
            .map_err(|error| self.connection(what, error))?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| self.answer(what, error.to_string()))
    }

    /// Has something done.
    ///
    /// # Errors
    ///
    /// The engine cannot be reached, or refuses.
    pub fn post(&self, what: &str, path: &str, query: &[(&str, &str)]) -> Result<(), Error> {
        let mut request = self.agent.post(format!("{HOST}{path}"));
        for (name, value) in query {
            request = request.query(name, value);
        }
        let answer = request
            .send_empty()
            .map_err(|error| self.connection(what, error))?;
        self.accept(what, answer).map(drop)
    }

    /// Has something deleted.
    ///
    /// # Errors
    ///
    /// The engine cannot be reached, or refuses.
    pub fn delete(&self, what: &str, path: &str) -> Result<(), Error> {
        let answer = self
            .agent
            .delete(format!("{HOST}{path}"))
            .call()
            .map_err(|error| self.connection(what, error))?;
        self.accept(what, answer).map(drop)
    }

    /// Sends an archive of an image, as long as `archive` gives bytes and the engine takes them.
    ///
    /// # Errors
    ///
    /// The engine cannot be reached, or refuses the archive, or `archive` fails.
    pub fn load(&self, path: &str, archive: impl Read) -> Result<(), Error> {
        const WHAT: &str = "cannot load the image";
        self.deaf.store(false, Ordering::Relaxed);
        let mut archive = WhileHeard {
            archive,
            deaf: &self.deaf,
        };
        let answer = self
            .agent
            .post(format!("{HOST}{path}"))
            .header("Content-Type", "application/x-tar")
            .send(SendBody::from_reader(&mut archive))
            .map_err(|error| self.connection(WHAT, error))?;
        let answer = self.accept(WHAT, answer)?;
        // Docker has said 200 by then, and tells what happens as a line of JSON each.
        let lines = BufReader::new(answer.into_body().into_reader());
        for line in lines.lines() {
            let line = line.map_err(|error| self.connection(WHAT, error.into()))?;
            if let Ok(value) = serde_json::from_str::<Value>(&line)
                && let Some(message) = value.get("error").and_then(Value::as_str)
            {
                return Err(self.refused(WHAT, message.to_owned()));
            }
        }
        Ok(())
    }

    fn accept(&self, what: &str, mut answer: Response<Body>) -> Result<Response<Body>, Error> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        let message = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|value| Some(value.get("message")?.as_str()?.to_owned()))
            .filter(|message| !message.is_empty())
            .unwrap_or_else(|| format!("{status} {text}"));
        Err(self.refused(what, message))
    }

    fn connection(&self, what: &str, error: ureq::Error) -> Error {
        Error::Connection {
            what: what.to_owned(),
            engine: self.engine.clone(),
            source: Box::new(error),
        }
    }

    fn refused(&self, what: &str, message: String) -> Error {
        Error::Refused {
            what: what.to_owned(),
            engine: self.engine.clone(),
            message,
        }
    }

    /// An answer that is not what the API promises.
    pub fn answer(&self, what: &str, why: String) -> Error {
        Error::Answer {
            what: what.to_owned(),
            engine: self.engine.clone(),
            why,
        }
    }
}

/// Ends when nobody takes the bytes any more.
struct WhileHeard<'a, R> {
    archive: R,
    deaf: &'a AtomicBool,
}

impl<R: Read> Read for WhileHeard<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.deaf.load(Ordering::Relaxed) {
            return Ok(0);
        }
        self.archive.read(buffer)
    }
}
