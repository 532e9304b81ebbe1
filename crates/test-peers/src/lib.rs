//! The attribute of a test that works against real programs: Docker, Nix, a registry.
//!
//! The test harness decides before it starts a test whether it is ignored, and a test that finds out
//! by itself that its peer is missing can only pass, which nobody sees. So the attribute looks at the
//! environment while the test is compiled. `.ci/peers` starts the peers and sets the variables.

use std::os::unix::fs::MetadataExt as _;
use std::{env, fs};

use proc_macro::{Delimiter, LexError, TokenStream, TokenTree};

/// Where this variable is `1`, no test is ignored: one whose peer is missing fails.
const REQUIRE: &str = "STREAM_LAYERED_REQUIRE_PEERS";

/// A peer: the word for it, its name, and the variables that say where it is.
struct Peer {
    word: &'static str,
    name: &'static str,
    variables: &'static [&'static str],
}

/// All of them. Variables stand here without `STREAM_LAYERED_TEST_`.
const PEERS: [Peer; 17] = [
    peer("nix", "Nix", &["NIX"]),
    peer("newer_nix", "a newer Nix", &["NIX_NEW"]),
    peer("docker", "Docker", &["DOCKER_HOST", "DOCKER"]),
    peer(
        "docker_on_containerd",
        "Docker with containerd's store",
        &["CONTAINERD_DOCKER_HOST", "DOCKER"],
    ),
    peer("containerd", "containerd", &["CONTAINERD"]),
    peer(
        "containerd_2",
        "containerd 2",
        &["CONTAINERD_2", "CONTAINERD_2_CTR"],
    ),
    peer("kind", "kind", &["KIND", "NODES"]),
    peer("podman", "podman", &["PODMAN"]),
    peer("podman_socket", "podman's API", &["PODMAN_HOST", "PODMAN"]),
    peer("ssh", "a server for ssh", &["SSH"]),
    peer("skopeo", "skopeo", &["SKOPEO"]),
    peer("umoci", "umoci", &["UMOCI"]),
    peer("oci_schemas", "the schemas of OCI", &["OCI_SCHEMAS"]),
    peer("registry", "a registry", &["REGISTRY", "REGISTRY_LOG"]),
    peer(
        "registry_with_users",
        "a registry with users",
        &["AUTH_REGISTRY"],
    ),
    peer(
        "registry_server",
        "a registry's program",
        &["REGISTRY_SERVER"],
    ),
    peer("s3s_fs", "s3s-fs", &["S3S_FS"]),
];

const fn peer(word: &'static str, name: &'static str, variables: &'static [&'static str]) -> Peer {
    Peer {
        word,
        name,
        variables,
    }
}

/// `#[needs(docker, nix)]`, above `#[test]`: the test is ignored, with the reason, where a peer is
/// missing. A quoted name is that of any program on the `PATH`: `#[needs("zstd")]`. `root` is
/// the user that cargo runs as.
#[proc_macro_attribute]
pub fn needs(peers: TokenStream, test: TokenStream) -> TokenStream {
    expand(peers, test).unwrap_or_else(Error::into_compile_error)
}

fn expand(peers: TokenStream, test: TokenStream) -> Result<TokenStream, Error> {
    // `#[test]` takes itself away when it is expanded, and would not see an `#[ignore]` that comes later.
    let is_test = test.clone().into_iter().any(|token| {
        matches!(&token, TokenTree::Group(group)
            if group.delimiter() == Delimiter::Bracket && group.stream().to_string() == "test")
    });
    if !is_test {
        return Err(Error("#[needs(…)] stands above #[test]".to_owned()));
    }
    let (missing, variables) = missing(peers)?;
    let mut output = TokenStream::new();
    if let Some(missing) = missing
        && env::var(REQUIRE).as_deref() != Ok("1")
    {
        output.extend(parse(&format!("#[ignore = {missing:?}]"))?);
    }
    output.extend(test);
    // The compiler writes down what `option_env` reads: cargo compiles the test again when it changes.
    for variable in variables.iter().map(String::as_str).chain([REQUIRE]) {
        let read = format!("const _: Option<&str> = option_env!({variable:?});");
        output.extend(parse(&read)?);
    }
    Ok(output)
}

/// Why the test is to be ignored, if it is, and all variables that this depends on.
fn missing(peers: TokenStream) -> Result<(Option<String>, Vec<String>), Error> {
    let (mut missing, mut variables) = (None, Vec::new());
    for token in peers {
        match token {
            TokenTree::Punct(comma) if comma.as_char() == ',' => {}
            TokenTree::Ident(word) => {
                let word = word.to_string();
                if word == "root" {
                    if !is_root() {
                        missing.get_or_insert_with(|| {
                            "needs root, to become somebody else".to_owned()
                        });
                    }
                    continue;
                }
                let Some(peer) = PEERS.iter().find(|peer| peer.word == word) else {
                    return Err(Error(format!("tests know no peer `{word}`")));
                };
                for variable in peer.variables {
                    let variable = format!("STREAM_LAYERED_TEST_{variable}");
                    if env::var_os(&variable).is_none_or(|value| value.is_empty()) {
                        let why = || format!("needs {}: {variable} is not set", peer.name);
                        missing.get_or_insert_with(why);
                    }
                    variables.push(variable);
                }
            }
            TokenTree::Literal(program) => {
                let program = program.to_string();
                let program = program.trim_matches('"');
                if !is_on_path(program) {
                    missing.get_or_insert_with(|| format!("needs {program}"));
                }
            }
            other => return Err(Error(format!("`{other}` is no peer"))),
        }
    }
    Ok((missing, variables))
}

fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// The kernel gives the files about a process to its user.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn parse(text: &str) -> Result<TokenStream, Error> {
    text.parse()
        .map_err(|error: LexError| Error(error.to_string()))
}

/// What is wrong with the attribute.
struct Error(String);

impl Error {
    fn into_compile_error(self) -> TokenStream {
        parse(&format!("compile_error!({:?});", self.0)).unwrap_or_default()
    }
}
