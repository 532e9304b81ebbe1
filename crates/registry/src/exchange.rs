//! One request and its answer: authorization, redirects, and repeating what may succeed later.

use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::time::Duration;

use net::{Retry, basic, is_passing_status, may_pass, retry_after};
use serde::Deserialize;
use ureq::http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri, header};
use ureq::{Body, SendBody};

use crate::auth::{Challenge, Party, TokenAnswer, TokenRequest};
use crate::credentials::Credential;
use crate::error::{Error, Place, Result, printable};
use crate::transport::Transport;
use crate::url::{escape, resolve, same_origin, with_query};

/// No document of the protocol is larger. Registries refuse manifests above 4 MiB.
const DOCUMENT_LIMIT: u64 = 16 << 20;

/// How many redirects are followed.
const REDIRECTS: u32 = 5;

/// A request, without its body.
pub(crate) struct Call<'a> {
    pub(crate) place: Place,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// Who asks: without one, no credentials are sent, and a 401 is an answer like any other.
    pub(crate) party: Option<(Party<'a>, &'a Uri)>,
}

/// An answer that was read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Where it came from in the end, to resolve its `Location` against.
    pub(crate) uri: Uri,
}

/// Why an attempt gave no usable answer.
pub(crate) enum Trouble {
    /// It may succeed later, after the registry's `Retry-After`.
    Passing {
        error: Error,
        wait: Option<Duration>,
    },
    /// The request is redirected to another address.
    Elsewhere(Uri),
    /// A new token, or the first one, can be fetched.
    Authorize,
    /// It will fail again.
    Final(Error),
}

/// Counts attempts and waits between them.
pub(crate) struct Attempts {
    failures: net::Attempts,
    redirects: u32,
    refused: u32,
}

impl Attempts {
    pub(crate) fn new(retry: Retry) -> Self {
        Self {
            failures: net::Attempts::new(retry),
            redirects: 0,
            refused: 0,
        }
    }

    /// Some bytes were transferred: earlier failures no longer count.
    pub(crate) fn progressed(&mut self) {
        self.failures.progressed();
        self.redirects = 0;
        self.refused = 0;
    }

    /// Waits before the next attempt. Gives the new address if the trouble was a redirect.
    ///
    /// # Errors
    ///
    /// There shall be no further attempt.
    pub(crate) fn after(&mut self, trouble: Trouble, place: &Place) -> Result<Option<Uri>> {
        match trouble {
            Trouble::Final(error) => Err(error),
            Trouble::Authorize => {
                self.refused += 1;
                Ok(None)
            }
            Trouble::Elsewhere(uri) => {
                self.refused = 0;
                self.redirects += 1;
                if self.redirects > REDIRECTS {
                    let why = format!("more than {REDIRECTS} redirects, the last one to {uri}");
                    return Err(Error::Answer {
                        place: place.clone(),
                        why,
                    });
                }
                Ok(Some(uri))
            }
            Trouble::Passing { mut error, wait } => {
                self.refused = 0;
                if !self.failures.wait(wait) {
                    if let Error::Transport { attempts, .. } | Error::Status { attempts, .. } =
                        &mut error
                    {
                        *attempts = self.failures.failed();
                    }
                    return Err(error);
                }
                Ok(None)
            }
        }
    }
}

impl Transport {
    /// Asks until an answer is there that says something, and reads it to its end.
    pub(crate) fn answer(&self, call: &Call<'_>, body: Option<&[u8]>) -> Result<Answer> {
        let mut attempts = Attempts::new(self.retry);
        loop {
            let (response, uri) = self.respond(call, body, &mut attempts)?;
            let (parts, mut content) = response.into_parts();
            let mut bytes = Vec::new();
            let reader = content.with_config().limit(u64::MAX).reader();
            match reader.take(DOCUMENT_LIMIT + 1).read_to_end(&mut bytes) {
                Ok(_) if bytes.len() as u64 > DOCUMENT_LIMIT => {
                    let why = format!("it is longer than {DOCUMENT_LIMIT} bytes");
                    return Err(Error::Answer {
                        place: call.place.clone(),
                        why,
                    });
                }
                Ok(_) => {
                    return Ok(Answer {
                        status: parts.status,
                        headers: parts.headers,
                        body: bytes,
                        uri,
                    });
                }
                Err(error) => {
                    let error = transport(&call.place, format!("the answer broke off: {error}"));
                    attempts.after(Trouble::Passing { error, wait: None }, &call.place)?;
                }
            }
        }
    }

    /// Asks until an answer is there that says something. Its body is still to be read.
    pub(crate) fn respond(
        &self,
        call: &Call<'_>,
        body: Option<&[u8]>,
        attempts: &mut Attempts,
    ) -> Result<(Response<Body>, Uri)> {
        let mut uri = call.uri.clone();
        loop {
            let mut content = body.unwrap_or_default();
            let length = body.map(|body| body.len() as u64);
            let reader = body.is_some().then_some(&mut content as &mut dyn Read);
            match self.attempt(call, &uri, reader, length, attempts) {
                Ok(response) => return Ok((response, uri)),
                Err(trouble) => {
                    if let Some(elsewhere) = attempts.after(trouble, &call.place)? {
                        uri = elsewhere;
                    }
                }
            }
        }
    }

    /// Asks once, at `uri`. A body without a length is sent in chunks as it comes.
    pub(crate) fn attempt(
        &self,
        call: &Call<'_>,
        uri: &Uri,
        body: Option<&mut dyn Read>,
        length: Option<u64>,
        attempts: &Attempts,
    ) -> Result<Response<Body>, Trouble> {
        let authorization = match call.party {
            Some((party, base)) if same_origin(base, uri) => self
                .authenticator
                .header(party, |request| self.fetch_token(party, base, request))
                .map_err(Trouble::Final)?,
            _ => None,
        };
        let mut request = Request::builder().method(&call.method).uri(uri);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some(authorization) = &authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(length) = length {
            request = request.header(header::CONTENT_LENGTH, length);
        }
        let agent = self.agents.agent(uri);
        let response = match body {
            Some(body) => request
                .body(SendBody::from_reader(body))
                .map_err(ureq::Error::Http)
                .and_then(|r| agent.run(r)),
            None => request
                .body(())
                .map_err(ureq::Error::Http)
                .and_then(|r| agent.run(r)),
        };
        let response = response.map_err(|error| self.judge(&call.place, uri, error))?;
        self.answered.store(true, Ordering::Relaxed);

        let status = response.status();
        match (status.as_u16(), call.party) {
            (401, Some((party, base))) if same_origin(base, uri) => {
                self.unauthorized(call, party, response, authorization.as_deref(), attempts)
            }
            (status, _) if is_passing_status(status) => {
                let wait = retry_after(response.headers());
                Err(Trouble::Passing {
                    error: refused(&call.place, response),
                    wait,
                })
            }
            (301 | 302 | 303 | 307 | 308, Some(_)) => {
                let location = response
                    .headers()
                    .get(header::LOCATION)
                    .and_then(|value| value.to_str().ok());
                let target = location.and_then(|location| resolve(uri, location));
                Err(target.map_or_else(
                    || Trouble::Final(refused(&call.place, response)),
                    Trouble::Elsewhere,
                ))
            }
            _ => Ok(response),
        }
    }

    fn unauthorized(
        &self,
        call: &Call<'_>,
        party: Party<'_>,
        response: Response<Body>,
        sent: Option<&str>,
        attempts: &Attempts,
    ) -> Result<Response<Body>, Trouble> {
        let headers = response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenge = Challenge::among(headers.iter().filter_map(|value| value.to_str().ok()));
        // What was asked for is what was sent, and fresh: it is not a matter of asking again.
        let in_vain =
            sent.is_some() && (attempts.refused > 0 || challenge == Some(Challenge::Basic));
        let hopeless = attempts.refused > 1 || (sent.is_none() && attempts.refused > 0);
        match challenge {
            Some(challenge) if !in_vain && !hopeless => {
                self.authenticator.challenged(party, challenge, sent);
                Err(Trouble::Authorize)
            }
            _ => {
                let message = message_of(&refused(&call.place, response));
                Err(Trouble::Final(self.not_authorized(
                    &call.place,
                    party,
                    message,
                )))
            }
        }
    }

    fn not_authorized(&self, place: &Place, party: Party<'_>, message: String) -> Error {
        match self.authenticator.credential(party) {
            Ok(found) => Error::Unauthorized {
                place: place.clone(),
                message,
                credentials: found.description,
            },
            Err(error) => error,
        }
    }

    /// Asks a token server for a token.
    fn fetch_token(
        &self,
        party: Party<'_>,
        base: &Uri,
        request: &TokenRequest<'_>,
    ) -> Result<TokenAnswer> {
        let place = Place::new(
            party.registry,
            party.repository,
            format!("token from {}", printable(request.realm)),
        );
        let unusable = |why: String| Error::Answer {
            place: place.clone(),
            why,
        };
        let realm = resolve(base, request.realm)
            .ok_or_else(|| unusable("the token server's address is invalid".to_owned()))?;
        // A registry on this machine may have its token server there, too, at another port or
        // address. One that is reached over TLS has no reason to name one without.
        let secure = realm.scheme_str() == Some("https")
            || base.scheme_str() == Some("http")
                && realm
                    .authority()
                    .is_some_and(|authority| self.is_plain(authority.as_str()));
        if !secure && request.credential.is_some() {
            return Err(unusable(
                "it wants the password to be sent without TLS; allow plain HTTP if you mean that"
                    .to_owned(),
            ));
        }
        let mut call = Call {
            place: place.clone(),
            method: Method::GET,
            uri: realm,
            headers: Vec::new(),
            party: None,
        };
        let mut form = None;
        if let Some(Credential::IdentityToken(token)) = request.credential {
            call.method = Method::POST;
            call.headers.push((
                header::CONTENT_TYPE,
                "application/x-www-form-urlencoded".to_owned(),
            ));
            let text = format!(
                "grant_type=refresh_token&client_id=stream-layered&service={}&scope={}&refresh_token={}",
                escape(request.service.unwrap_or_default()),
                escape(&request.scopes.join(" ")),
                escape(token)
            );
            form = Some(text.into_bytes());
        } else {
            let mut url = call.uri.to_string();
            if let Some(service) = request.service {
                url = with_query(&url, "service", service);
            }
            for scope in &request.scopes {
                url = with_query(&url, "scope", scope);
            }
            if let Some(Credential::Password { user, password }) = request.credential {
                url = with_query(&url, "account", user);
                call.headers
                    .push((header::AUTHORIZATION, basic(user, password)));
            }
            call.uri = url
                .parse()
                .map_err(|_| unusable("the token server's address is invalid".to_owned()))?;
        }
        let answer = self.answer(&call, form.as_deref())?;
        match answer.status.as_u16() {
            200 => {
                serde_json::from_slice(&answer.body).map_err(|error| unusable(error.to_string()))
            }
            400 | 401 | 403 => {
                Err(self.not_authorized(&place, party, message_of(&answer.refused(&place))))
            }
            _ => Err(answer.refused(&place)),
        }
    }

    /// Whether a connection that failed is worth another attempt.
    fn judge(&self, place: &Place, uri: &Uri, error: ureq::Error) -> Trouble {
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let https = uri.scheme_str() == Some("https");
        let passing = may_pass(&error, self.answered.load(Ordering::Relaxed));
        let why = match &error {
            ureq::Error::HostNotFound => {
                format!("no address is known for {host}: check the name, and the network")
            }
            ureq::Error::Io(io) if io.kind() == io::ErrorKind::ConnectionRefused => {
                format!("{host} refuses connections: check the port, and that the registry runs")
            }
            ureq::Error::Io(io) if io.kind() == io::ErrorKind::InvalidData && https => format!(
                "no TLS with {host}: {io}; give its CA file, or allow plain HTTP if it has none"
            ),
            ureq::Error::Rustls(tls) => format!("no TLS with {host}: {tls}; give its CA file"),
            ureq::Error::Io(io) => format!("the connection to {host} broke: {io}"),
            ureq::Error::Timeout(_) => format!("{host} was silent for {:?}", self.timeout),
            ureq::Error::Protocol(_) | ureq::Error::BodyStalled => {
                format!("{host} does not speak HTTP: {error}")
            }
            ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
                format!("no connection to {host}: {error}")
            }
            _ => format!("{host}: {error}"),
        };
        let error = transport(place, why);
        if passing {
            Trouble::Passing { error, wait: None }
        } else {
            Trouble::Final(error)
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: impl ureq::http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The error that this answer means.
    pub(crate) fn refused(&self, place: &Place) -> Error {
        status_error(place, self.status, &self.body)
    }
}

/// The error that `response` means; what it says is read, up to a limit.
pub(crate) fn refused(place: &Place, mut response: Response<Body>) -> Error {
    let mut body = Vec::new();
    let status = response.status();
    // A broken text makes no difference: the status is the error.
    let _ = response
        .body_mut()
        .as_reader()
        .take(64 << 10)
        .read_to_end(&mut body);
    status_error(place, status, &body)
}

fn status_error(place: &Place, status: StatusCode, body: &[u8]) -> Error {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<OneError>,
    }
    #[derive(Deserialize)]
    struct OneError {
        code: Option<String>,
        message: Option<String>,
    }
    let first = serde_json::from_slice::<Errors>(body)
        .ok()
        .and_then(|errors| errors.errors.into_iter().next());
    let (code, text) = match first {
        Some(error) => (
            error.code.unwrap_or_default(),
            error.message.unwrap_or_default(),
        ),
        None => (String::new(), String::new()),
    };
    let message = match (code.as_str(), text.as_str()) {
        ("", "") => status.canonical_reason().unwrap_or_default().to_owned(),
        ("", one) | (one, "") => printable(one),
        (code, text) => printable(&format!("{code}: {text}")),
    };
    Error::Status {
        place: place.clone(),
        status: status.as_u16(),
        code,
        message,
        attempts: 1,
    }
}

fn message_of(error: &Error) -> String {
    match error {
        Error::Status { message, .. } => message.clone(),
        other => other.to_string(),
    }
}

pub(crate) fn transport(place: &Place, why: String) -> Error {
    Error::Transport {
        place: place.clone(),
        why,
        attempts: 1,
    }
}
