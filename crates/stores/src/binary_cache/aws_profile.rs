//! Who one is to AWS: keys from the environment, from its files, or from a program that they name.
//!
//! The files are those of the AWS command line
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>). What is not read: logins by
//! SSO, roles that are assumed (`role_arn`, web identities), and the metadata of instances and
//! containers. Each is a protocol of its own, and `aws configure export-credentials`, set as
//! `credential_process`, speaks all of them.

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rusty_s3::Credentials;
use serde::Deserialize;

use super::environment::{Environment, LONGEST_SETTINGS};
use super::error::BinaryCacheError;

/// Longest answer of a `credential_process`, in bytes; tokens have a few thousand.
const LONGEST_ANSWER: u64 = 64 << 10;

/// How long a `credential_process` may take. It may wait for a person who presses a key.
const PATIENCE: Duration = Duration::from_secs(120);

/// A profile of the AWS files, and what the environment says in its place.
pub(super) struct Profile<'a> {
    environment: &'a Environment,
    name: String,
    /// Whether the cache's address names it. It goes before keys in the environment then.
    is_named: bool,
    /// Settings of the credentials file before those of the configuration file.
    settings: Vec<(String, String)>,
}

impl<'a> Profile<'a> {
    /// Reads the profile that the cache's address names, or else `AWS_PROFILE`, or else `default`.
    pub(super) fn read(
        environment: &'a Environment,
        named: Option<&str>,
    ) -> Result<Self, BinaryCacheError> {
        let name = named
            .or_else(|| environment.get("AWS_PROFILE"))
            .unwrap_or("default");
        let files = [
            ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
            ("AWS_CONFIG_FILE", ".aws/config"),
        ];
        let mut settings = Vec::new();
        for path in files
            .into_iter()
            .filter_map(|(variable, below_home)| environment.file(variable, below_home))
        {
            match files::read_text(&path, LONGEST_SETTINGS) {
                Ok(text) => settings.extend(section(&text, name)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(settings_error(path, error)),
            }
        }
        Ok(Self {
            environment,
            name: name.to_owned(),
            is_named: named.is_some(),
            settings,
        })
    }

    /// A setting of the files.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let setting = self.settings.iter().find(|(key, _)| key == name)?;
        Some(&setting.1)
    }

    /// The keys; nothing where there are none, and only a public bucket answers.
    pub(super) fn credentials(&self) -> Result<Option<Credentials>, BinaryCacheError> {
        let variables = |name: &str| {
            let variable = name.to_ascii_uppercase();
            self.environment.get(&variable).map(str::to_owned)
        };
        let in_files = |name: &str| self.get(name).map(str::to_owned);
        let known = match self.is_named {
            true => keys(in_files),
            false => keys(variables).or_else(|| keys(in_files)),
        };
        match (known, self.get("credential_process")) {
            (None, Some(command)) => self.ask(command, PATIENCE).map(Some),
            (known, _) => Ok(known),
        }
    }

    /// Runs a `credential_process`
    /// (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>). As for
    /// the AWS command line, no shell reads the command. It is asked once: keys that expire while
    /// the program runs are refused by the server.
    fn ask(&self, command: &str, within: Duration) -> Result<Credentials, BinaryCacheError> {
        let words = shlex::split(command).unwrap_or_default();
        // Arguments may be secrets, and so may all that the program prints.
        let program = words.first().map_or("", String::as_str);
        let failed = |why: String| BinaryCacheError::CredentialProcess {
            profile: self.name.clone(),
            program: program.to_owned(),
            why,
        };
        let [program, arguments @ ..] = words.as_slice() else {
            return Err(failed(
                "it is empty, or a quote in it has no end".to_owned(),
            ));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // It may ask for something, or say what is wrong.
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| failed(format!("cannot run it: {error}")))?;
        let (text, status) = answer(&mut child, within).map_err(|why| {
            let _ = child.kill();
            let _ = child.wait();
            failed(why)
        })?;
        if !status.success() {
            return Err(failed(format!("it failed ({status})")));
        }
        // The parser's words would show a part of the answer.
        let answer: Answer = serde_json::from_slice(&text)
            .map_err(|_| failed("its answer has no AccessKeyId and SecretAccessKey".to_owned()))?;
        if answer.version != 1 {
            let version = answer.version;
            return Err(failed(format!("its answer has version {version}, not 1")));
        }
        Ok(answer.into_credentials())
    }
}

/// What a program prints, and how it ends; or, in a few words, why neither is known.
fn answer(child: &mut Child, within: Duration) -> Result<(Vec<u8>, ExitStatus), String> {
    let deadline = Instant::now() + within;
    let late = || format!("it did not end within {within:?}");
    let stdout = child.stdout.take();
    let (sender, answer) = mpsc::channel();
    // The thread is left alone if the answer has no end.
    thread::Builder::new()
        .spawn(move || {
            let mut text = Vec::new();
            let read = match stdout {
                Some(stdout) => stdout.take(LONGEST_ANSWER + 1).read_to_end(&mut text),
                None => Ok(0),
            };
            let _ = sender.send(read.map(|_| text));
        })
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    let text = answer.recv_timeout(within).map_err(|_| late())?;
    let text = text.map_err(|error| format!("cannot read its answer: {error}"))?;
    if text.len() as u64 > LONGEST_ANSWER {
        return Err(format!("its answer is longer than {LONGEST_ANSWER} bytes"));
    }
    let status = wait(child, deadline).map_err(|error| error.to_string())?;
    Ok((text, status.ok_or_else(late)?))
}

/// Waits until a program ends, but no longer than that.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() >= deadline {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// What a `credential_process` prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    version: u64,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl Answer {
    fn into_credentials(self) -> Credentials {
        new_credentials(
            self.access_key_id,
            self.secret_access_key,
            self.session_token,
        )
    }
}

fn keys(get: impl Fn(&str) -> Option<String>) -> Option<Credentials> {
    let (key, secret) = (get("aws_access_key_id")?, get("aws_secret_access_key")?);
    Some(new_credentials(key, secret, get("aws_session_token")))
}

fn new_credentials(key: String, secret: String, token: Option<String>) -> Credentials {
    match token {
        Some(token) => Credentials::new_with_token(key, secret, token),
        None => Credentials::new(key, secret),
    }
}

fn settings_error(path: PathBuf, error: std::io::Error) -> BinaryCacheError {
    let source = error.into();
    BinaryCacheError::Settings { path, source }
}

/// The settings of a profile, which the configuration file calls `[profile NAME]`.
fn section(text: &str, profile: &str) -> Vec<(String, String)> {
    let mut inside = false;
    let mut settings = Vec::new();
    for line in text.lines() {
        // Lines that are set in belong to a setting of more parts, and are none of ours.
        if line.starts_with([' ', '\t', '#', ';']) {
            continue;
        }
        if let Some(name) = line
            .trim_end()
            .strip_prefix('[')
            .and_then(|l| l.strip_suffix(']'))
        {
            let name = name.trim();
            inside = name.strip_prefix("profile ").map_or(name, str::trim) == profile;
        } else if inside && let Some((key, value)) = line.split_once('=') {
            settings.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Credentials of a profile `ci` with this `credential_process`.
    fn ask(command: &str) -> Result<Option<Credentials>, String> {
        with_profile(command, |profile| profile.credentials())
    }

    fn with_profile<T>(
        command: &str,
        credentials: impl FnOnce(&Profile<'_>) -> Result<T, BinaryCacheError>,
    ) -> Result<T, String> {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config");
        let text = format!("[profile ci]\ncredential_process = {command}\n");
        std::fs::write(&config, text).unwrap();
        let file = ("AWS_CONFIG_FILE".to_owned(), config.display().to_string());
        let environment: Environment = [file].into_iter().collect();
        let profile = Profile::read(&environment, Some("ci")).unwrap();
        credentials(&profile).map_err(|error| error.to_string())
    }

    /// It never ends, also where it has closed its output.
    #[test]
    fn a_program_that_hangs_is_ended() {
        for command in ["sleep 600", "sh -c 'exec sleep 600 >&-'"] {
            let within = Duration::from_millis(50);
            let asked = with_profile(command, |profile| profile.ask(command, within));
            let error = asked.err().unwrap();
            assert!(error.contains("did not end within 50ms"), "{error}");
        }
    }

    #[test]
    fn a_program_may_give_the_keys() {
        let answer = r#"{"Version": 1, "AccessKeyId": "key", "SecretAccessKey": "s",
            "SessionToken": "t", "Expiration": "2019-05-29T00:21:43Z"}"#
            .replace('\n', "");
        let found = ask(&format!("printf '%s' '{answer}'")).unwrap().unwrap();
        assert_eq!(
            (found.key(), found.secret(), found.token()),
            ("key", "s", Some("t"))
        );
        let answer = r#"{"Version": 1, "AccessKeyId": "key", "SecretAccessKey": "s"}"#;
        let found = ask(&format!("echo '{answer}'")).unwrap().unwrap();
        assert_eq!(found.token(), None);
    }

    #[test]
    fn keys_in_the_files_need_no_program() {
        let found = ask("false\naws_access_key_id = a\naws_secret_access_key = b");
        assert_eq!(found.unwrap().unwrap().key(), "a");
    }

    #[test]
    fn a_program_that_fails_is_named_without_a_secret() {
        let wrong = r#"{"Version": 2, "AccessKeyId": "hush", "SecretAccessKey": "hush"}"#;
        for (command, expected) in [
            (
                "false hush".to_owned(),
                "`false`: it failed (exit status: 1)",
            ),
            (
                "/there/is/none hush".to_owned(),
                "`/there/is/none`: cannot run it",
            ),
            ("echo hush".to_owned(), "has no AccessKeyId"),
            ("echo '[\"hush\"]'".to_owned(), "has no AccessKeyId"),
            (format!("echo '{wrong}'"), "version 2, not 1"),
            ("yes hush".to_owned(), "longer than 65536 bytes"),
            ("echo 'hush".to_owned(), "a quote in it has no end"),
        ] {
            let error = ask(&command).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("profile ci"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
