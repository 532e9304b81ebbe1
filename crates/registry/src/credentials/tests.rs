use std::fs;

use super::*;

fn lookup(files: &[&str], registry: &str, repository: &str) -> Result<Found> {
    let dir = tempfile::tempdir().unwrap();
    let mut paths = vec![dir.path().join("missing.json")];
    for (number, text) in files.iter().enumerate() {
        let path = dir.path().join(format!("{number}.json"));
        fs::write(&path, text).unwrap();
        paths.push(path);
    }
    Credentials::from_files(paths).find(registry, repository)
}

fn user(files: &[&str], registry: &str, repository: &str) -> Option<String> {
    match lookup(files, registry, repository).unwrap().credential? {
        Credential::Password { user, password } => Some(format!("{user}:{password}")),
        Credential::IdentityToken(token) => Some(format!("token {token}")),
        Credential::RegistryToken(token) => Some(format!("registry token {token}")),
    }
}

fn auths(entries: &[(&str, &str)]) -> String {
    let entries: Vec<_> = entries
        .iter()
        .map(|(key, login)| {
            format!(
                "{key:?}: {{\"auth\": {:?}}}",
                BASE64.encode(login.as_bytes())
            )
        })
        .collect();
    format!("{{\"auths\": {{{}}}}}", entries.join(", "))
}

#[test]
fn a_login_is_found_under_each_form_of_the_registrys_name() {
    let file = auths(&[
        ("https://index.docker.io/v1/", "hub:1"),
        ("localhost:5000", "local:2:3"),
        ("https://old.example.org/v2/", "old:4"),
    ]);
    let files = [file.as_str()];
    assert_eq!(
        user(&files, "docker.io", "library/a").as_deref(),
        Some("hub:1")
    );
    assert_eq!(
        user(&files, "localhost:5000", "a").as_deref(),
        Some("local:2:3")
    );
    assert_eq!(
        user(&files, "old.example.org", "a").as_deref(),
        Some("old:4")
    );
    assert_eq!(user(&files, "localhost", "a"), None);
    assert_eq!(user(&files, "localhost:50001", "a"), None);
}

#[test]
fn the_longest_namespace_wins_and_the_first_file() {
    let first = auths(&[
        ("quay.io", "all:1"),
        ("quay.io/team", "team:2"),
        ("quay.io/team/app", "app:3"),
    ]);
    let second = auths(&[("quay.io", "second:4"), ("ghcr.io", "other:5")]);
    let files = [first.as_str(), second.as_str()];
    assert_eq!(
        user(&files, "quay.io", "team/app").as_deref(),
        Some("app:3")
    );
    assert_eq!(
        user(&files, "quay.io", "team/app2").as_deref(),
        Some("team:2")
    );
    assert_eq!(user(&files, "quay.io", "teams/x").as_deref(), Some("all:1"));
    assert_eq!(user(&files, "ghcr.io", "x").as_deref(), Some("other:5"));
}

#[test]
fn other_forms_of_an_entry() {
    let file = r#"{"auths": {
        "a": {"identitytoken": "t", "auth": "dTpw"},
        "b": {"username": "u", "password": "p"},
        "c": {},
        "d": {"auth": "dTpwAAA"},
        "e": {"registrytoken": "r", "auth": "dTpw"}
    }, "HttpHeaders": {"x": "y"}, "credsStore": "", "credHelpers": null}"#;
    assert_eq!(user(&[file], "a", "x").as_deref(), Some("token t"));
    assert_eq!(user(&[file], "b", "x").as_deref(), Some("u:p"));
    assert_eq!(user(&[file], "c", "x"), None);
    assert_eq!(user(&[file], "e", "x").as_deref(), Some("registry token r"));
    assert_eq!(
        user(&[file], "d", "x").as_deref(),
        Some("u:p"),
        "no padding, and NULs at its end"
    );
}

#[test]
fn a_broken_file_is_an_error_that_names_it() {
    for text in [
        "",
        "7",
        r#"{"auths": {"a": {"auth": "%%"}}}"#,
        r#"{"auths": {"a": {"auth": "dXNlcg=="}}}"#,
    ] {
        let error = lookup(&[text], "a", "x").unwrap_err().to_string();
        assert!(error.contains("0.json"), "{error}");
    }
}

#[test]
fn without_any_it_is_said_where_they_were_looked_for() {
    let found = lookup(&["{}"], "host:1", "x").unwrap();
    assert!(found.credential.is_none());
    assert!(
        found.description.contains("missing.json") && found.description.contains("0.json"),
        "{}",
        found.description
    );
    assert!(
        found.description.contains("docker login host:1"),
        "{}",
        found.description
    );
}

#[test]
fn a_helper_that_is_missing_is_named_with_its_file() {
    let file = r#"{"credHelpers": {"a": "surely-not-there"}}"#;
    let error = lookup(&[file], "a", "x").unwrap_err().to_string();
    assert!(
        error.contains("docker-credential-surely-not-there") && error.contains("0.json"),
        "{error}"
    );
    assert_eq!(user(&[file], "b", "x"), None);
}

#[test]
fn the_files_follow_the_environment() {
    let files = |set: &[(&str, &str)]| -> Vec<String> {
        let credentials = Credentials::from_variables(|name| {
            set.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| PathBuf::from(value))
        });
        credentials
            .files
            .iter()
            .map(|file| file.display().to_string())
            .collect()
    };
    assert_eq!(
        files(&[("HOME", "/h")]),
        ["/h/.config/containers/auth.json", "/h/.docker/config.json"]
    );
    assert_eq!(
        files(&[
            ("HOME", "/h"),
            ("XDG_RUNTIME_DIR", "/run/u"),
            ("DOCKER_CONFIG", "/d")
        ]),
        [
            "/run/u/containers/auth.json",
            "/h/.config/containers/auth.json",
            "/d/config.json"
        ]
    );
    assert_eq!(
        files(&[("HOME", "/h"), ("REGISTRY_AUTH_FILE", "/a.json")]),
        ["/a.json", "/h/.docker/config.json"]
    );
    assert!(files(&[]).is_empty());
}

#[test]
fn secrets_are_not_printed() {
    let credential = Credential::Password {
        user: "u".to_owned(),
        password: "secret".to_owned(),
    };
    assert!(!format!("{credential:?}").contains("secret"));
    assert!(!format!("{:?}", Credential::IdentityToken("secret".to_owned())).contains("secret"));
}

#[test]
#[cfg(unix)]
fn a_helper_is_asked_for_its_server() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let helper = |name: &str, script: &str| {
        let path = dir.path().join(name);
        // Written under another name, so that no thread's fork holds the one that is run open.
        fs::write(dir.path().join("script"), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(dir.path().join("script"), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(
            Command::new("cp")
                .arg(dir.path().join("script"))
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        path.display().to_string()
    };
    let file = Path::new("/the/config.json");
    let echo = helper(
        "echo",
        r#"read -r server; echo "{\"ServerURL\": \"s\", \"Username\": \"$1\", \"Secret\": \"for $server\"}""#,
    );
    assert_eq!(
        ask(&echo, "host:1", file).unwrap(),
        Some(Credential::Password {
            user: "get".to_owned(),
            password: "for host:1".to_owned()
        })
    );
    let token = helper("token", r#"echo '{"Username": "<token>", "Secret": "t"}'"#);
    assert_eq!(
        ask(&token, "host:1", file).unwrap(),
        Some(Credential::IdentityToken("t".to_owned()))
    );
    let none = helper(
        "none",
        "echo credentials not found in native keychain; exit 1",
    );
    assert_eq!(ask(&none, "host:1", file).unwrap(), None);
    for (name, script) in [
        ("fails", "echo the keychain is locked >&2; exit 3"),
        ("talks", "echo hello"),
    ] {
        let error = ask(&helper(name, script), "host:1", file)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(name) && error.contains("/the/config.json"),
            "{error}"
        );
    }
}
