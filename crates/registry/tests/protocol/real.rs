//! Against a real registry: the distribution project's own, `docker-registry` in Debian.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use oci::{Descriptor, Digest, Platform, Reference, media_type};
use registry::{
    Access, Arrival, Blob, Client, Credential, Credentials, Document, Error, Options, PlainHttp,
    Push, PushOptions, Result, Summary,
};
use test_peers::needs;

use crate::limiting::limiting;
use crate::support::{Made, client, config, manifest, options};

/// A registry on loopback that ends with the test.
struct Server {
    address: String,
    child: Child,
    #[allow(dead_code)]
    dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts one with these further settings.
    fn start(http: &str, further: &str) -> Self {
        let program = env::var("STREAM_LAYERED_TEST_REGISTRY_SERVER").unwrap();
        let dir = tempfile::tempdir().unwrap();
        // The port is free now, and most likely a moment later.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let settings = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {dir}/data}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '{address}', secret: test{http}}}\n{further}",
            dir = dir.path().display()
        );
        // The password is "password".
        fs::write(
            dir.path().join("htpasswd"),
            "user:$2b$05$fQoNe1aktcqEvvEJcGFFMumhnc9dv6IvGw/xoVMuzK/i.dq9qyWgq\n",
        )
        .unwrap();
        let file = dir.path().join("config.yml");
        fs::write(
            &file,
            settings.replace(
                "HTPASSWD",
                &dir.path().join("htpasswd").display().to_string(),
            ),
        )
        .unwrap();
        let mut child = Command::new(program)
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..500 {
            if TcpStream::connect(&address).is_ok() {
                return Self {
                    address,
                    child,
                    dir,
                };
            }
            assert!(child.try_wait().unwrap().is_none(), "the registry ended");
            thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        panic!("the registry does not answer on {address}");
    }

    fn open() -> Self {
        Self::start("", "")
    }

    fn is_empty(&self) -> bool {
        !self
            .dir
            .path()
            .join("data/docker/registry/v2/repositories/app/_manifests/tags/v1")
            .exists()
    }
}

fn push(
    address: &str,
    client: &Client,
    options: PushOptions,
    layers: &[&dyn Blob],
) -> Result<(Digest, Summary)> {
    push_to(&format!("{address}/app:v1"), client, options, layers)
}

fn push_to(
    name: &str,
    client: &Client,
    options: PushOptions,
    layers: &[&dyn Blob],
) -> Result<(Digest, Summary)> {
    let reference: Reference = name.parse()?;
    let repository = client.repository(&reference, Access::Push);
    let config = config("amd64");
    let before = repository.manifest("v1")?;
    let mut push = Push::new(&repository, options, &());
    before.iter().for_each(|before| push.assume_present(before));
    let mut listed = push.blobs(layers)?;
    listed.splice(..0, push.blobs(&[&config])?);
    let listed: Vec<_> = listed.iter().map(|blob| (blob.digest, blob.size)).collect();
    let digest = push.manifest("v1", media_type::MANIFEST, &manifest(&listed))?;
    Ok((digest, push.summary()))
}

/// Reads the image back and compares every layer.
#[track_caller]
fn holds(address: &str, client: &Client, digest: Digest, layers: &[&Made]) {
    let reference: Reference = format!("{address}/app:v1").parse().unwrap();
    let repository = client.repository(&reference, Access::Pull);
    let manifest = repository.manifest("v1").unwrap().unwrap();
    assert_eq!(manifest.digest, digest);
    let Document::Image { layers: listed, .. } = &manifest.document else {
        panic!("not an image")
    };
    assert_eq!(listed.len(), layers.len());
    for (listed, layer) in listed.iter().zip(layers) {
        let bytes = repository
            .blob_bytes(listed.digest, listed.size, u64::MAX)
            .unwrap();
        assert!(bytes == layer.bytes(), "{} came back changed", layer.name());
    }
}

#[needs(registry_server)]
#[test]
fn an_image_is_pushed_and_read_back() {
    let server = Server::open();
    let layers: Vec<_> = (0..6)
        .map(|seed| {
            if seed % 2 == 0 {
                Made::known(seed, 300_000 * seed)
            } else {
                Made::unknown(seed, 1_500_000 * seed)
            }
        })
        .collect();
    let blobs: Vec<&dyn Blob> = layers.iter().map(|layer| layer as &dyn Blob).collect();
    let (digest, summary) =
        push(&server.address, &client(), PushOptions::default(), &blobs).unwrap();
    assert_eq!((summary.present, summary.sent), (0, 7));
    holds(
        &server.address,
        &client(),
        digest,
        &layers.iter().collect::<Vec<_>>(),
    );

    // Again, from nothing but what is known; then with one layer more.
    let (again, summary) =
        push(&server.address, &client(), PushOptions::default(), &blobs).unwrap();
    assert_eq!((again, summary.present, summary.sent), (digest, 7, 0));
    let more = Made::unknown(9, 10_000);
    let blobs: Vec<&dyn Blob> = blobs.into_iter().chain([&more as &dyn Blob]).collect();
    let (_, summary) = push(&server.address, &client(), PushOptions::default(), &blobs).unwrap();
    assert_eq!(
        (summary.present, summary.sent, summary.bytes_sent),
        (7, 1, 10_000)
    );

    // Into another repository, where nothing has to be sent but its configuration.
    let other = format!("{}/team/other:v1", server.address);
    let from = PushOptions {
        mount_from: vec!["app".to_owned()],
        ..PushOptions::default()
    };
    let (_, summary) = push_to(&other, &client(), from, &blobs).unwrap();
    assert_eq!((summary.mounted, summary.sent), (8, 0));
}

#[needs(registry_server)]
#[test]
fn a_proxy_that_takes_only_small_requests_gets_pieces() {
    let server = Server::open();
    let layers = [Made::known(1, 3_000_000), Made::unknown(2, 2_000_001)];
    let proxy = limiting(&server.address, 1 << 20);
    let options = PushOptions::default();
    let (digest, summary) = push(&proxy, &client(), options, &[&layers[0], &layers[1]]).unwrap();
    assert_eq!(summary.sent, 3);
    holds(
        &server.address,
        &client(),
        digest,
        &[&layers[0], &layers[1]],
    );
}

#[needs(registry_server)]
#[test]
fn platforms_and_artifacts_stand_beside_each_other() {
    let server = Server::open();
    let client = client();
    let reference: Reference = format!("{}/app:all", server.address).parse().unwrap();
    let repository = client.repository(&reference, Access::Push);
    for architecture in ["arm64", "amd64"] {
        let config = config(architecture);
        let mut push = Push::new(&repository, PushOptions::default(), &());
        let there = push.blobs(&[&config]).unwrap()[0];
        assert_eq!(there.how, Arrival::Sent);
        let bytes = manifest(&[(there.digest, there.size)]);
        let digest = Digest::of(&bytes);
        push.manifest(&digest.to_string(), media_type::MANIFEST, &bytes)
            .unwrap();
        let image = Descriptor {
            platform: Some(Platform::linux(architecture)),
            ..Descriptor::of(media_type::MANIFEST, &bytes)
        };
        let index = repository.put_in_index("all", &image).unwrap();
        let listed = repository.manifest("all").unwrap();
        assert_eq!(listed.map(|listed| listed.digest), Some(index));
        let subject = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type::MANIFEST, "artifactType": "application/x-memory",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": there.digest, "size": there.size},
            "layers": [], "subject": image, "annotations": {"note": architecture},
        });
        repository
            .put_referrer(media_type::MANIFEST, subject.to_string().as_bytes())
            .unwrap();
        let found = repository
            .referrers(digest, "application/x-memory")
            .unwrap();
        assert_eq!(found[0].annotations["note"], architecture);
    }
    let index = repository.manifest("all").unwrap().unwrap();
    let Document::Index { manifests } = index.document else {
        panic!("not an index")
    };
    assert_eq!(manifests.len(), 2);
}

#[needs(registry_server)]
#[test]
fn only_the_right_password_is_let_in() {
    let server = Server::start("", "auth: {htpasswd: {realm: test, path: HTPASSWD}}\n");
    let layer = Made::unknown(1, 2_000_000);
    let attempt = |credentials: Credentials| {
        let client = Client::new(Options {
            credentials,
            ..options()
        })
        .unwrap();
        push(&server.address, &client, PushOptions::default(), &[&layer])
    };
    let password = |password: &str| {
        Credentials::given(Credential::Password {
            user: "user".to_owned(),
            password: password.to_owned(),
        })
    };
    for refused in [Credentials::none(), password("wrong")] {
        let error = attempt(refused).unwrap_err();
        assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
    }
    attempt(password("password")).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.json");
    // base64 of user:password
    fs::write(
        &file,
        format!(
            "{{\"auths\": {{{:?}: {{\"auth\": \"dXNlcjpwYXNzd29yZA==\"}}}}}}",
            server.address
        ),
    )
    .unwrap();
    let (_, summary) = attempt(Credentials::from_files(vec![file])).unwrap();
    assert_eq!(summary.sent, 0);
}

#[needs(registry_server)]
#[test]
fn tls_is_spoken_with_those_whose_authority_is_known() {
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol/tls");
    let http = format!(
        ", tls: {{certificate: {}, key: {}}}",
        tls.join("server.pem").display(),
        tls.join("server.key").display()
    );
    let server = Server::start(&http, "");
    let layers = [Made::known(1, 3_000_000), Made::unknown(2, 2_000_001)];
    let attempt = |plain_http, ca_files| {
        let client = Client::new(Options {
            plain_http,
            ca_files,
            ..options()
        })?;
        let (digest, _) = push(
            &server.address,
            &client,
            PushOptions::default(),
            &[&layers[0], &layers[1]],
        )?;
        holds(&server.address, &client, digest, &[&layers[0], &layers[1]]);
        Ok::<_, Error>(())
    };
    let error = attempt(PlainHttp::Never, Vec::new())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no TLS with") && error.contains("CA file"),
        "{error}"
    );
    let error = attempt(PlainHttp::Loopback, Vec::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("400"), "{error}");
    let error = attempt(PlainHttp::Never, vec![tls.join("server.key")])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("server.key") && error.contains("cannot use these certificates"),
        "{error}"
    );
    attempt(PlainHttp::Never, vec![tls.join("ca.pem")]).unwrap();
}

#[needs(registry_server)]
#[test]
fn plain_http_is_not_taken_for_tls() {
    let server = Server::open();
    let client = Client::new(Options {
        plain_http: PlainHttp::Never,
        ..options()
    })
    .unwrap();
    let error = push(&server.address, &client, PushOptions::default(), &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no TLS with") && error.contains("plain HTTP"),
        "{error}"
    );
}

#[test]
fn a_registry_that_is_not_there_is_told_at_once() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let error = push(&address, &client(), PushOptions::default(), &[]).unwrap_err();
    assert!(
        matches!(error, Error::Transport { attempts: 1, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("refuses connections"), "{error}");
}

/// Passes bytes on to the registry, and breaks the first connections after this many bytes.
fn breaking(server: &Server, after: &'static [u64]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (target, next) = (server.address.clone(), Arc::new(AtomicUsize::new(0)));
    thread::spawn(move || {
        for from in listener.incoming().flatten() {
            let to = TcpStream::connect(&target).unwrap();
            let limit = after
                .get(next.fetch_add(1, Ordering::Relaxed))
                .copied()
                .unwrap_or(u64::MAX);
            let (mut back_from, mut back_to) = (to.try_clone().unwrap(), from.try_clone().unwrap());
            thread::spawn(move || {
                io::copy(&mut back_from, &mut back_to).map(|_| back_to.shutdown(Shutdown::Both))
            });
            thread::spawn(move || {
                let _ = io::copy(&mut (&from).take(limit), &mut &to);
                let _ = (&to).flush();
                let _ = to.shutdown(Shutdown::Both);
                let _ = from.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

#[needs(registry_server)]
#[test]
fn connections_that_break_are_made_good() {
    let server = Server::open();
    let layers = [Made::known(1, 3_000_000), Made::unknown(2, 2_000_001)];
    let address = breaking(
        &server,
        &[2_000_000, 1_000_000, 900_000, 10_000, 500, 4_000_000],
    );
    let one = PushOptions {
        jobs: 1,
        ..PushOptions::default()
    };
    let (digest, summary) = push(&address, &client(), one, &[&layers[0], &layers[1]]).unwrap();
    assert_eq!(summary.sent, 3);
    holds(
        &server.address,
        &client(),
        digest,
        &[&layers[0], &layers[1]],
    );
}

#[needs(registry_server)]
#[test]
fn a_connection_that_always_breaks_leaves_no_tag_and_what_arrived_stays() {
    let server = Server::open();
    let layers = [Made::known(1, 300_000), Made::known(2, 3_000_000)];
    let one = || PushOptions {
        jobs: 1,
        ..PushOptions::default()
    };
    let address = breaking(&server, &[700_000; 100]);
    push(&address, &client(), one(), &[&layers[0], &layers[1]]).unwrap_err();
    assert!(server.is_empty());
    let (digest, summary) =
        push(&server.address, &client(), one(), &[&layers[0], &layers[1]]).unwrap();
    assert_eq!((summary.present, summary.sent), (1, 2));
    holds(
        &server.address,
        &client(),
        digest,
        &[&layers[0], &layers[1]],
    );
}
