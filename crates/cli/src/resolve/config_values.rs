//! Values in an image's `config` with which no container starts, although they have the right types.
//!
//! Only what the command line gives is held to them: an image of the Nix side is as nixpkgs makes it.

use serde_json::{Map, Value};

/// Why a value is refused.
type Why = &'static str;

/// What holds a text to its form.
pub type Check = fn(&str) -> Result<(), Why>;

/// `NAME=VALUE`.
pub fn variable(text: &str) -> Result<(), Why> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() && !text.contains('\0') => Ok(()),
        _ => Err("expected NAME=VALUE"),
    }
}

/// `PORT/PROTOCOL`.
pub fn port(text: &str) -> Result<(), Why> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let is_port =
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse().is_ok_and(|n: u16| n > 0);
    if is_port && ["tcp", "udp", "sctp"].contains(&protocol) {
        Ok(())
    } else {
        Err(
            "expected PORT[/PROTOCOL]: a number from 1 to 65535, and tcp, udp or sctp; repeat it for more ports",
        )
    }
}

/// `USER[:GROUP]`, each a name or a number.
pub fn user(text: &str) -> Result<(), Why> {
    // What Docker takes for a number of a user or group.
    let is_part = |part: &str| {
        let is_number = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        !part.starts_with('-')
            && !part.contains(|c: char| c.is_whitespace() || c.is_control() || ":/".contains(c))
            && (!is_number || part.parse().is_ok_and(|id: u32| i32::try_from(id).is_ok()))
    };
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    if is_part(user) && is_part(group) {
        Ok(())
    } else {
        Err("expected USER[:GROUP]: names without spaces, or numbers from 0 to 2147483647")
    }
}

/// An absolute path.
pub fn directory(text: &str) -> Result<(), Why> {
    if text.starts_with('/') && !text.contains('\0') {
        Ok(())
    } else {
        Err("expected an absolute path, which begins with `/`")
    }
}

/// Checks a `config` whose fields have the right types. An empty `User` or `WorkingDir` is none.
///
/// # Errors
///
/// The first field that is wrong, and why.
pub fn check(config: &Map<String, Value>) -> Result<(), String> {
    let texts = |key: &str| -> Vec<&str> {
        match config.get(key) {
            Some(Value::String(text)) if text.is_empty() => Vec::new(),
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            Some(Value::Object(object)) => object.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    };
    let checks: [(&str, Check); 5] = [
        ("Env", variable),
        ("ExposedPorts", port),
        ("User", user),
        ("WorkingDir", directory),
        ("Volumes", directory),
    ];
    for (key, check) in checks {
        for text in texts(key) {
            check(text).map_err(|why| format!("config.{key}: {text:?}: {why}"))?;
        }
    }
    let health = config.get("Healthcheck").and_then(Value::as_object);
    for (key, value) in health.into_iter().flatten() {
        // Docker refuses the rest.
        let is_time =
            ["Interval", "Timeout", "StartPeriod", "StartInterval"].contains(&key.as_str());
        let is_short = value
            .as_i64()
            .is_some_and(|time| time != 0 && time < 1_000_000);
        if is_time && is_short {
            return Err(format!(
                "config.Healthcheck.{key}: {value} ns is less than 1 ms (30 s are 30000000000)"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_containers_start_with_is_taken() {
        for text in ["A=", "A=b=c", "a b=c"] {
            assert_eq!(variable(text), Ok(()), "{text}");
        }
        for text in ["80", "80/tcp", "65535/udp", "1/sctp"] {
            assert_eq!(port(text), Ok(()), "{text}");
        }
        for text in [
            "root",
            "1000:100",
            "0",
            "me:users",
            ":100",
            "a.b-c_d",
            "2147483647",
        ] {
            assert_eq!(user(text), Ok(()), "{text}");
        }
        assert_eq!(directory("/"), Ok(()));
        let config = json!({"User": "", "WorkingDir": "", "Env": ["A=1"], "Healthcheck": {"Interval": 1_000_000}});
        assert_eq!(check(config.as_object().unwrap()), Ok(()));
    }

    #[test]
    fn what_no_container_starts_with_is_refused() {
        for text in ["FOO", "=b", ""] {
            assert!(variable(text).is_err(), "{text}");
        }
        for text in [
            "abc", "0", "65536", "-1", "+80", "80/http", "80-90", "80/", "", "80 ",
        ] {
            assert!(port(text).is_err(), "{text}");
        }
        for text in ["a b", "a:b:c", "-1", "4294967296", "a/b", "a\n"] {
            assert!(user(text).is_err(), "{text}");
        }
        for text in ["data", "", "./x", "~"] {
            assert!(directory(text).is_err(), "{text}");
        }
        for (config, says) in [
            (
                json!({"Env": ["A=1", "FOO"]}),
                "config.Env: \"FOO\": expected NAME=VALUE",
            ),
            (
                json!({"ExposedPorts": {"abc": {}}}),
                "config.ExposedPorts: \"abc\"",
            ),
            (json!({"User": "a b"}), "config.User: \"a b\""),
            (json!({"WorkingDir": "rel"}), "config.WorkingDir: \"rel\""),
            (
                json!({"Healthcheck": {"Interval": 30}}),
                "config.Healthcheck.Interval: 30 ns",
            ),
        ] {
            let error = check(config.as_object().unwrap()).unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
