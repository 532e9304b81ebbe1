//! Authentication to a registry: Basic credentials and Bearer tokens.
//!
//! Follows the distribution project's token authentication specification: a 401 names a token
//! server (`realm`), a `service` and a scope; the token that it returns is sent with every request
//! until it expires, and is then fetched anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use net::basic;
use serde::Deserialize;

use crate::credentials::{Credential, Credentials, Found};
use crate::error::Result;

/// What a registry asks for in the `WWW-Authenticate` headers of a 401.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// The challenge to answer among those of the headers: Bearer before Basic.
    pub(crate) fn among<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let all: Vec<_> = headers.into_iter().flat_map(challenges).collect();
        let bearer = all.iter().find_map(|(scheme, parameters)| {
            let parameter = |name: &str| {
                parameters
                    .get(name)
                    .cloned()
                    .filter(|value| !value.is_empty())
            };
            let realm = parameter("realm").filter(|_| scheme == "bearer")?;
            Some(Self::Bearer {
                realm,
                service: parameter("service"),
                scope: parameter("scope"),
            })
        });
        bearer.or_else(|| {
            all.iter()
                .any(|(scheme, _)| scheme == "basic")
                .then_some(Self::Basic)
        })
    }
}

/// The challenges of one header (RFC 9110, section 11.6.1), with names in lower case.
fn challenges(header: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            return found;
        }
        let name = word.to_ascii_lowercase();
        let Some(value) = after.trim_start().strip_prefix('=') else {
            found.push((name, BTreeMap::new()));
            rest = after;
            continue;
        };
        let (value, after) = parameter_value(value.trim_start());
        if let Some((_, parameters)) = found.last_mut() {
            parameters.insert(name, value);
        }
        rest = after;
    }
}

/// A token or a quoted string, and what follows it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        // A stray `=` must not stop the caller from getting on.
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// The answer of a token server.
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// A token that a server gave us.
#[derive(Clone)]
struct Token {
    header: String,
    good_until: Instant,
}

impl TokenAnswer {
    fn into_token(self, asked_at: Instant) -> Option<Token> {
        let text = self
            .token
            .or(self.access_token)
            .filter(|token| !token.is_empty())?;
        // The specification's default, and its minimum, is a minute. A tenth is kept back,
        // so that a token does not expire on its way.
        let lifetime = Duration::from_secs(self.expires_in.unwrap_or(60).min(24 * 3600));
        Some(Token {
            header: format!("Bearer {text}"),
            good_until: asked_at + lifetime.mul_f32(0.9),
        })
    }
}

/// What must be known to ask a token server.
pub(crate) struct TokenRequest<'a> {
    pub(crate) realm: &'a str,
    pub(crate) service: Option<&'a str>,
    pub(crate) scopes: Vec<&'a str>,
    pub(crate) credential: Option<&'a Credential>,
}

/// What is known of a registry's authentication, shared by all requests to it.
///
/// Two locks, because a token server's refusal is reported with the credential that was used, while
/// the other threads still wait for the token.
#[derive(Default)]
struct Registry {
    asks: Mutex<Asks>,
    /// By repository.
    credentials: Mutex<BTreeMap<String, Found>>,
}

/// What a registry asks for, and what was got for it.
#[derive(Default)]
struct Asks {
    challenge: Option<Challenge>,
    /// By the scopes asked for.
    tokens: BTreeMap<Vec<String>, Token>,
}

/// Keeps the challenges, credentials and tokens of each registry.
pub(crate) struct Authenticator {
    credentials: Credentials,
    /// By name. Held briefly: slow work holds the locks of its registry only.
    registries: Mutex<BTreeMap<String, Arc<Registry>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// On whose behalf a request is made.
#[derive(Clone, Copy)]
pub(crate) struct Party<'a> {
    /// The registry as references name it.
    pub(crate) registry: &'a str,
    pub(crate) repository: &'a str,
    /// What the request needs, such as `repository:app:pull,push`.
    pub(crate) scopes: &'a [String],
}

impl Authenticator {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            registries: Mutex::default(),
        }
    }

    fn registry(&self, party: Party<'_>) -> Arc<Registry> {
        let mut registries = lock(&self.registries);
        Arc::clone(registries.entry(party.registry.to_owned()).or_default())
    }

    /// The credential to use, and what to say should it be refused. Helpers are asked once.
    pub(crate) fn credential(&self, party: Party<'_>) -> Result<Found> {
        let registry = self.registry(party);
        let mut known = lock(&registry.credentials);
        if let Some(found) = known.get(party.repository) {
            return Ok(found.clone());
        }
        let found = self.credentials.find(party.registry, party.repository)?;
        known.insert(party.repository.to_owned(), found.clone());
        Ok(found)
    }

    /// Notes what the registry asks for, and drops the token that it did not accept.
    pub(crate) fn challenged(&self, party: Party<'_>, challenge: Challenge, refused: Option<&str>) {
        let registry = self.registry(party);
        let mut asks = lock(&registry.asks);
        asks.challenge = Some(challenge);
        if let Some(refused) = refused {
            asks.tokens.retain(|_, token| token.header != refused);
        }
    }

    /// The `Authorization` header to send: none as long as the registry has not asked for one.
    ///
    /// `fetch` asks a token server; while it does, other requests to the same registry wait, since
    /// most need the same token.
    pub(crate) fn header(
        &self,
        party: Party<'_>,
        fetch: impl FnOnce(&TokenRequest<'_>) -> Result<TokenAnswer>,
    ) -> Result<Option<String>> {
        let registry = self.registry(party);
        let mut asks = lock(&registry.asks);
        let Some(challenge) = &asks.challenge else {
            return Ok(None);
        };
        let found = self.credential(party)?;
        // As docker does: a token for the registry itself is shown as it is.
        if let Some(Credential::RegistryToken(token)) = &found.credential {
            return Ok(Some(format!("Bearer {token}")));
        }
        let (realm, service, scope) = match challenge {
            Challenge::Basic => {
                return Ok(match &found.credential {
                    Some(Credential::Password { user, password }) => Some(basic(user, password)),
                    _ => None,
                });
            }
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => (realm, service, scope),
        };
        let now = Instant::now();
        if let Some(token) = asks
            .tokens
            .get(party.scopes)
            .filter(|token| now < token.good_until)
        {
            return Ok(Some(token.header.clone()));
        }
        let scopes = match (party.scopes, scope) {
            ([], Some(scope)) => scope.split(' ').collect(),
            (scopes, _) => scopes.iter().map(String::as_str).collect(),
        };
        let request = TokenRequest {
            realm,
            service: service.as_deref(),
            scopes,
            credential: found.credential.as_ref(),
        };
        let Some(token) = fetch(&request)?.into_token(now) else {
            return Ok(None);
        };
        let header = token.header.clone();
        asks.tokens.insert(party.scopes.to_vec(), token);
        Ok(Some(header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        })
    }

    #[test]
    fn the_challenges_that_registries_send() {
        let among = |header| Challenge::among([header]);
        assert_eq!(
            among(
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#
            ),
            bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                Some("repository:a/b:pull,push")
            )
        );
        assert_eq!(
            among("bearer  REALM=https://a/token , service = \"x y\""),
            bearer("https://a/token", Some("x y"), None)
        );
        assert_eq!(
            among(r#"Bearer realm="a\"b\\c""#),
            bearer("a\"b\\c", None, None)
        );
        assert_eq!(among(r#"Basic realm="test""#), Some(Challenge::Basic));
        assert_eq!(among("BASIC"), Some(Challenge::Basic));
        assert_eq!(
            among(r#"Basic realm="x", Bearer realm="https://t""#),
            bearer("https://t", None, None)
        );
        assert_eq!(
            Challenge::among(["Basic realm=x", "Negotiate abc==, Bearer realm=y"]),
            bearer("y", None, None)
        );
        assert_eq!(among("Negotiate"), None);
        assert_eq!(
            among("Bearer service=x"),
            None,
            "a token without a realm cannot be had"
        );
        assert_eq!(among(""), None);
    }

    #[test]
    fn broken_headers_come_to_an_end() {
        for header in [
            "=",
            "a==",
            ",,,",
            "Bearer realm=\"x",
            "Bearer realm=",
            "Bearer =x",
            "\"\"\"",
            "é=é",
        ] {
            challenges(header);
        }
    }

    #[test]
    fn a_token_is_asked_for_once_and_again_when_it_was_refused() {
        let authenticator = Authenticator::new(Credentials::none());
        let scopes = ["repository:a:pull".to_owned()];
        let party = Party {
            registry: "r",
            repository: "a",
            scopes: &scopes,
        };
        let answer = |text: &str, expires_in| {
            Ok(TokenAnswer {
                token: None,
                access_token: Some(text.to_owned()),
                expires_in,
            })
        };
        let unasked =
            |_: &TokenRequest<'_>| -> Result<TokenAnswer> { panic!("a token was asked for") };

        assert_eq!(authenticator.header(party, unasked).unwrap(), None);
        let challenge = bearer("https://t", None, None).unwrap();
        authenticator.challenged(party, challenge.clone(), None);
        let first = authenticator.header(party, |request| {
            assert_eq!(request.scopes, ["repository:a:pull"]);
            answer("one", Some(3600))
        });
        assert_eq!(first.unwrap().as_deref(), Some("Bearer one"));
        assert_eq!(
            authenticator.header(party, unasked).unwrap().as_deref(),
            Some("Bearer one")
        );

        authenticator.challenged(party, challenge.clone(), Some("Bearer of long ago"));
        assert_eq!(
            authenticator.header(party, unasked).unwrap().as_deref(),
            Some("Bearer one")
        );
        authenticator.challenged(party, challenge, Some("Bearer one"));
        let second = authenticator.header(party, |_| answer("two", Some(0)));
        assert_eq!(second.unwrap().as_deref(), Some("Bearer two"));
        let third = authenticator.header(party, |_| answer("three", None));
        assert_eq!(
            third.unwrap().as_deref(),
            Some("Bearer three"),
            "the second had expired at once"
        );
    }

    #[test]
    fn a_registry_whose_token_server_is_slow_holds_up_no_other() {
        let authenticator = Authenticator::new(Credentials::none());
        let party = |registry| Party {
            registry,
            repository: "a",
            scopes: &[],
        };
        let token = || TokenAnswer {
            token: Some("one".to_owned()),
            access_token: None,
            expires_in: None,
        };
        let challenge = bearer("https://t", None, None).unwrap();
        for registry in ["slow", "other"] {
            authenticator.challenged(party(registry), challenge.clone(), None);
        }
        let (sender, other) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let slow = authenticator.header(party("slow"), |_| {
                scope.spawn(|| {
                    let header = authenticator.header(party("other"), |_| Ok(token()));
                    sender.send(header.unwrap()).unwrap();
                });
                // The slow server answers only after the other one.
                let header = other.recv_timeout(Duration::from_secs(10)).unwrap();
                assert_eq!(header.as_deref(), Some("Bearer one"));
                Ok(token())
            });
            assert_eq!(slow.unwrap().as_deref(), Some("Bearer one"));
        });
    }

    #[test]
    fn basic_credentials_go_with_every_request_once_they_are_asked_for() {
        let credential = Credential::Password {
            user: "Aladdin".to_owned(),
            password: "open sesame".to_owned(),
        };
        let authenticator = Authenticator::new(Credentials::given(credential));
        let party = Party {
            registry: "r",
            repository: "a",
            scopes: &[],
        };
        authenticator.challenged(party, Challenge::Basic, None);
        let header = authenticator.header(party, |_| unreachable!()).unwrap();
        assert_eq!(
            header.as_deref(),
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            "the example of RFC 7617"
        );
    }
}
