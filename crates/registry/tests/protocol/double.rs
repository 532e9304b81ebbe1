//! A registry for what a real one will not do on demand: it fails as tests ask it to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use oci::Digest;
use serde_json::{Value, json};

use crate::http::{Reply, Request, read_body, read_request, send};

/// What goes wrong.
#[derive(Clone)]
pub(crate) enum Fault {
    /// This answer, after the request was read.
    Answer(u16, &'static [(&'static str, &'static str)]),
    /// This answer before the body was read; then the connection is closed.
    Early(u16),
    /// So many bytes of the body are kept, then the connection breaks.
    BreakInBody(usize),
    /// Everything is done, but the connection breaks instead of an answer.
    BreakBeforeAnswer,
    /// Of the answer's body, so many bytes come, then the connection breaks.
    BreakInAnswer(usize),
    /// The answer comes late.
    Slow(Duration),
    /// The answer names another digest.
    WrongDigest,
    /// The answer's body has a byte changed.
    WrongBytes,
    /// A `Range` that says so many bytes have arrived.
    WrongRange(u64),
}

/// A fault for the requests of this method whose path contains the text, so many times, after
/// the first few went well.
struct Rule {
    method: &'static str,
    path: &'static str,
    skip: usize,
    times: usize,
    fault: Fault,
}

/// How a registry answers who asks for referrers.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Referrers {
    /// 404: the API is not known.
    #[default]
    Unknown,
    /// 303 to a page for people, as GHCR does.
    Page,
    /// An empty list, whatever came.
    Empty,
    /// What came, one a page.
    Listed,
    /// The same, without types of artifacts.
    WithoutTypes,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
    /// Blobs of other repositories, by `repository@digest`.
    pub(crate) elsewhere: BTreeSet<String>,
    pub(crate) tags: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<usize, Vec<u8>>,
    next: usize,
    rules: Vec<Rule>,
    /// `METHOD path?query` of each request.
    pub(crate) log: Vec<String>,
    /// Bytes of blobs that came in.
    pub(crate) received: usize,
    /// PATCH is answered with 405.
    pub(crate) no_patch: bool,
    /// Bodies above this size are answered with 413.
    pub(crate) limit: Option<usize>,
    /// Blobs are read from another address.
    pub(crate) redirect: bool,
    /// Tokens are asked for; each is good for so many requests.
    pub(crate) token_uses: Option<usize>,
    /// The token that is good, and for how many requests.
    token: (usize, usize),
    /// The scopes that tokens were asked for.
    pub(crate) scopes: Vec<String>,
    /// Uploads are not known any more after a broken connection.
    pub(crate) forgets: bool,
    /// After the next manifest under this tag, someone else puts these bytes there.
    pub(crate) overwrite: Option<(String, Vec<u8>)>,
    /// How the referrers API answers.
    pub(crate) referrers: Referrers,
    /// Manifests that came with a subject.
    artifacts: Vec<Value>,
    /// A request whose body does not begin while so many bytes of others arrive is closed, as
    /// proxies do after a minute; counted in bytes rather than by the clock.
    pub(crate) idle: Option<usize>,
    /// Requests that were closed so.
    pub(crate) closed_idle: usize,
    /// The first request that sends something to an upload is answered with 429.
    pub(crate) limits_uploads: bool,
    /// Uploads that were.
    limited: BTreeSet<usize>,
    /// Ranges of blobs are not known.
    pub(crate) no_ranges: bool,
}

#[derive(Clone)]
pub(crate) struct Double {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

impl Double {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let double = Self {
            address: listener.local_addr().unwrap().to_string(),
            state: Arc::default(),
        };
        let server = double.clone();
        // It ends with the process of the tests.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                thread::spawn(move || server.serve(stream));
            }
        });
        double
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The first `times` requests go wrong.
    pub(crate) fn fail(
        &self,
        method: &'static str,
        path: &'static str,
        times: usize,
        fault: Fault,
    ) {
        self.fail_after(0, method, path, times, fault);
    }

    /// The `times` requests after the first `skip` go wrong.
    pub(crate) fn fail_after(
        &self,
        skip: usize,
        method: &'static str,
        path: &'static str,
        times: usize,
        fault: Fault,
    ) {
        self.state().rules.push(Rule {
            method,
            path,
            skip,
            times,
            fault,
        });
    }

    /// How many requests there were whose log line contains the text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.state()
            .log
            .iter()
            .filter(|line| line.contains(text))
            .count()
    }

    /// Whether a tag stands, and everything under it is whole.
    pub(crate) fn stands(&self, tag: &str) -> bool {
        let state = self.state();
        let Some(bytes) = state.tags.get(tag) else {
            return false;
        };
        for digest in listed(bytes) {
            let blob = state
                .blobs
                .get(&digest)
                .unwrap_or_else(|| panic!("{tag} lists {digest}, which is not there"));
            assert_eq!(Digest::of(blob), digest, "a blob under {tag} is broken");
        }
        true
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = read_request(&mut reader)? {
            if !self.handle(&request, &mut reader, &stream)? {
                return stream.shutdown(Shutdown::Both);
            }
        }
        Ok(())
    }

    /// Answers one request. False if the connection is at its end.
    fn handle(
        &self,
        request: &Request,
        reader: &mut BufReader<TcpStream>,
        mut stream: &TcpStream,
    ) -> io::Result<bool> {
        let fault = self.note(request);
        if let Some(Fault::Early(status)) = fault {
            send(
                stream,
                request,
                &Reply::new(status).with("Connection", "close"),
                None,
            )?;
            return Ok(false);
        }
        let refused = self.refusal(request);
        if request.headers.contains_key("expect") {
            match &refused {
                Some(reply) => {
                    send(stream, request, reply, None)?;
                    return Ok(false);
                }
                None => stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?,
            }
        }
        if !self.wait_for_body(request, reader, stream)? {
            return Ok(false);
        }
        let most = match fault {
            Some(Fault::BreakInBody(bytes)) => bytes,
            _ => usize::MAX,
        };
        let body = read_body(request, reader, most)?;
        if let Some(Fault::BreakInBody(_)) = fault {
            let mut state = self.state();
            state.received += body.len();
            if let Some(upload) = upload_of(request).and_then(|id| state.uploads.get_mut(&id)) {
                upload.extend(&body);
            }
            return Ok(false);
        }
        let mut reply = match (&fault, refused) {
            (Some(Fault::Answer(status, headers)), _) => headers
                .iter()
                .fold(Reply::error(*status, "TOLD"), |reply, (name, value)| {
                    reply.with(name, value)
                }),
            (_, Some(reply)) => reply,
            _ => self.respond(request, body),
        };
        match fault {
            Some(Fault::BreakBeforeAnswer) => return Ok(false),
            Some(Fault::Slow(wait)) => thread::sleep(wait),
            Some(Fault::WrongDigest) => {
                reply
                    .headers
                    .retain(|(name, _)| name != "Docker-Content-Digest");
                reply = reply.with("Docker-Content-Digest", Digest::of(b"something else"));
            }
            Some(Fault::WrongBytes) => {
                if let Some(byte) = reply.body.first_mut() {
                    *byte ^= 1;
                }
            }
            Some(Fault::WrongRange(bytes)) => {
                reply.headers.retain(|(name, _)| name != "Range");
                reply = reply.with("Range", format!("0-{}", bytes - 1));
            }
            Some(Fault::BreakInAnswer(bytes)) => {
                send(stream, request, &reply, Some(bytes))?;
                return Ok(false);
            }
            _ => {}
        }
        send(stream, request, &reply, None)?;
        Ok(true)
    }

    /// Waits for the first byte of the body. False if the request was idle for too long.
    fn wait_for_body(
        &self,
        request: &Request,
        reader: &mut BufReader<TcpStream>,
        stream: &TcpStream,
    ) -> io::Result<bool> {
        let before = self.state().received;
        let idle = self.state().idle;
        let Some(idle) = idle.filter(|_| request.headers.contains_key("transfer-encoding")) else {
            return Ok(true);
        };
        let timeout = stream.read_timeout()?;
        stream.set_read_timeout(Some(Duration::from_millis(1)))?;
        while let Err(error) = reader.fill_buf() {
            if !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ) {
                return Err(error);
            }
            let mut state = self.state();
            if state.received - before >= idle {
                state.closed_idle += 1;
                return Ok(false);
            }
        }
        stream.set_read_timeout(timeout)?;
        Ok(true)
    }

    /// Writes the request down, and finds the fault that is meant for it.
    fn note(&self, request: &Request) -> Option<Fault> {
        let mut state = self.state();
        let query: Vec<_> = request
            .query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        state.log.push(format!(
            "{} {}?{}",
            request.method,
            request.path,
            query.join("&")
        ));
        let rule = state.rules.iter_mut().find(|rule| {
            rule.times > 0 && rule.method == request.method && request.path.contains(rule.path)
        })?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        Some(rule.fault.clone())
    }

    /// What is refused whatever the body is.
    fn refusal(&self, request: &Request) -> Option<Reply> {
        let mut state = self.state();
        let length = request
            .headers
            .get("content-length")
            .and_then(|length| length.parse::<usize>().ok());
        if state.limit.is_some_and(|limit| {
            length.is_none_or(|length| length > limit) && request.method.starts_with('P')
        }) {
            return Some(Reply::error(413, ""));
        }
        if state.no_patch && request.method == "PATCH" {
            return Some(Reply::error(405, "UNSUPPORTED"));
        }
        if state.limits_uploads
            && let Some(upload) = upload_of(request).filter(|_| request.method != "GET")
            && state.limited.insert(upload)
        {
            return Some(Reply::error(429, "TOOMANYREQUESTS").with("Retry-After", 0));
        }
        state.token_uses?;
        if !request.path.starts_with("/v2/") {
            return None;
        }
        let (token, uses) = state.token;
        if uses > 0
            && request.headers.get("authorization") == Some(&format!("Bearer token-{token}"))
        {
            state.token.1 -= 1;
            return None;
        }
        let challenge = format!(
            "Bearer realm=\"http://{}/token\",service=\"double\"",
            self.address
        );
        Some(Reply::error(401, "UNAUTHORIZED").with("WWW-Authenticate", challenge))
    }

    fn respond(&self, request: &Request, body: Vec<u8>) -> Reply {
        let mut state = self.state();
        let parts: Vec<_> = request.path.trim_matches('/').split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["token"]) => {
                state.token = (state.token.0 + 1, state.token_uses.unwrap_or(0));
                let scope = request.query.get("scope").cloned().unwrap_or_default();
                state.scopes.push(scope);
                let mut reply = Reply::new(200);
                reply.body =
                    json!({"token": format!("token-{}", state.token.0), "expires_in": 300})
                        .to_string()
                        .into_bytes();
                reply
            }
            ("POST", ["v2", _, "blobs", "uploads"]) => {
                if let (Some(digest), Some(from)) =
                    (request.query.get("mount"), request.query.get("from"))
                    && state.elsewhere.contains(&format!("{from}@{digest}"))
                {
                    let digest: Digest = digest.parse().unwrap();
                    return Reply::new(201).with("Docker-Content-Digest", digest);
                }
                state.next += 1;
                let id = state.next;
                state.uploads.insert(id, Vec::new());
                Reply::new(202).with("Location", format!("/v2/app/blobs/uploads/{id}?state=x"))
            }
            (method, ["v2", _, "blobs", "uploads", id]) => {
                upload(&mut state, method, id.parse().unwrap(), request, body)
            }
            ("HEAD" | "GET", ["v2", _, "blobs", digest]) => {
                let Some(blob) = state.blobs.get(&digest.parse().unwrap()) else {
                    return Reply::error(404, "BLOB_UNKNOWN");
                };
                if state.redirect {
                    return Reply::new(307).with(
                        "Location",
                        format!(
                            "http://{}/storage/{digest}",
                            self.address.replace("127.0.0.1", "localhost")
                        ),
                    );
                }
                content(blob.clone(), request, !state.no_ranges)
            }
            ("HEAD" | "GET", ["storage", digest]) => {
                assert!(
                    !request.headers.contains_key("authorization"),
                    "the storage server was shown a token"
                );
                content(
                    state.blobs[&digest.parse().unwrap()].clone(),
                    request,
                    !state.no_ranges,
                )
            }
            ("HEAD" | "GET", ["v2", _, "manifests", name]) => match state.tags.get(*name) {
                Some(bytes) => {
                    let reply = Reply::new(200).with("Docker-Content-Digest", Digest::of(bytes));
                    Reply {
                        body: bytes.clone(),
                        ..reply
                    }
                }
                None => Reply::error(404, "MANIFEST_UNKNOWN"),
            },
            ("PUT", ["v2", _, "manifests", name]) => {
                if listed(&body)
                    .iter()
                    .any(|digest| !state.blobs.contains_key(digest))
                {
                    return Reply::error(404, "MANIFEST_BLOB_UNKNOWN");
                }
                let digest = Digest::of(&body);
                let document: Value = serde_json::from_slice(&body).unwrap();
                state.tags.insert(digest.to_string(), body.clone());
                state.tags.insert((*name).to_owned(), body);
                if state.overwrite.as_ref().is_some_and(|(tag, _)| tag == name) {
                    let overwrite = state.overwrite.take();
                    state.tags.extend(overwrite);
                }
                let reply = Reply::new(201).with("Docker-Content-Digest", digest);
                let is_listed =
                    matches!(state.referrers, Referrers::Listed | Referrers::WithoutTypes);
                match document.get("subject").filter(|_| is_listed) {
                    Some(subject) => {
                        let mut entry = json!({"digest": digest, "size": 1});
                        if state.referrers == Referrers::Listed {
                            entry["artifactType"] = document["artifactType"].clone();
                        }
                        state.artifacts.push(entry);
                        reply.with("OCI-Subject", &subject["digest"])
                    }
                    None => reply,
                }
            }
            ("GET", ["v2", _, "referrers", _]) => referrers(&state, request),
            ("GET", ["people"]) => Reply {
                body: b"<html>Hello</html>".to_vec(),
                ..Reply::new(200).with("Content-Type", "text/html")
            },
            _ => Reply::new(404),
        }
    }
}

fn referrers(state: &State, request: &Request) -> Reply {
    let at = request
        .query
        .get("page")
        .map_or(0, |page| page.parse().unwrap());
    let page: &[Value] = match state.referrers {
        Referrers::Unknown => return Reply::error(404, "NOT_FOUND"),
        Referrers::Page => return Reply::new(303).with("Location", "/people"),
        Referrers::Empty => &[],
        Referrers::Listed | Referrers::WithoutTypes => {
            state.artifacts.get(at..).unwrap_or_default()
        }
    };
    let index = json!({"schemaVersion": 2, "manifests": page.iter().take(1).collect::<Vec<_>>()});
    let reply = Reply {
        body: index.to_string().into_bytes(),
        ..Reply::new(200).with("Content-Type", oci::media_type::INDEX)
    };
    if page.len() < 2 {
        return reply;
    }
    let next = format!("<{}?page={}>; rel=\"next\"", request.path, at + 1);
    reply.with("Link", next)
}

fn upload(state: &mut State, method: &str, id: usize, request: &Request, body: Vec<u8>) -> Reply {
    let forgets = state.forgets && method == "GET";
    state.received += body.len();
    let Some(upload) = state.uploads.get_mut(&id).filter(|_| !forgets) else {
        return Reply::error(404, "BLOB_UPLOAD_UNKNOWN");
    };
    let begins = request
        .headers
        .get("content-range")
        .map(|range| range.split('-').next().unwrap().to_owned());
    if begins.is_some_and(|begins| begins != upload.len().to_string()) {
        return Reply::error(416, "RANGE_INVALID");
    }
    upload.extend(body);
    let there = upload.len();
    let at = |reply: Reply| {
        reply
            .with(
                "Location",
                format!("/v2/app/blobs/uploads/{id}?state={there}"),
            )
            .with("Range", format!("0-{}", there.saturating_sub(1)))
    };
    match method {
        "GET" => at(Reply::new(204)),
        "PATCH" => at(Reply::new(202)),
        "PUT" => {
            let digest: Digest = request.query["digest"].parse().unwrap();
            let bytes = state.uploads.remove(&id).unwrap();
            if Digest::of(&bytes) != digest {
                return Reply::error(400, "DIGEST_INVALID");
            }
            state.blobs.insert(digest, bytes);
            Reply::new(201).with("Docker-Content-Digest", digest)
        }
        _ => Reply::new(405),
    }
}

fn upload_of(request: &Request) -> Option<usize> {
    request
        .path
        .strip_prefix("/v2/app/blobs/uploads/")?
        .parse()
        .ok()
}

fn content(mut bytes: Vec<u8>, request: &Request, ranges: bool) -> Reply {
    let from = request.headers.get("range").and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse::<usize>()
            .ok()
    });
    match from.filter(|_| ranges) {
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            bytes.drain(..from);
            Reply {
                body: bytes,
                ..Reply::new(206).with("Content-Range", range)
            }
        }
        None => Reply {
            body: bytes,
            ..Reply::new(200)
        },
    }
}

/// The blobs that a manifest lists.
fn listed(manifest: &[u8]) -> Vec<Digest> {
    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    let layers = manifest["layers"].as_array().into_iter().flatten();
    layers
        .chain(manifest.get("config"))
        .map(|blob| blob["digest"].as_str().unwrap().parse().unwrap())
        .collect()
}
