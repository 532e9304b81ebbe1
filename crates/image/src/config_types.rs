//! The types of the fields in an image's `config`.
//!
//! Docker and podman refuse a configuration that does not fit them, but only after they have
//! received the whole image. The types are those of the OCI image specification's [`config`] and of
//! Docker's `Healthcheck`. `nix/config-types.nix` has the same list for the Nix side.
//!
//! [`config`]: https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md#properties

use serde_json::{Map, Value};

/// A field with another type than engines expect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} has to be {expected}")]
pub struct ConfigTypeError {
    /// The field: `config.Env`.
    pub field: String,
    /// What was expected.
    pub expected: &'static str,
}

/// The type of a field.
struct Type {
    is: fn(&Value) -> bool,
    name: &'static str,
}

const TEXT: Type = Type {
    is: Value::is_string,
    name: "a string",
};
const TEXTS: Type = Type {
    is: |value| {
        let list = value.as_array();
        list.is_some_and(|list| list.iter().all(Value::is_string))
    },
    name: "a list of strings",
};
const KEYS: Type = Type {
    is: |value| has_values(value, |value| value.is_object() || value.is_null()),
    name: "an object whose names count, such as {\"8080/tcp\": {}}",
};
const LABELS: Type = Type {
    is: |value| has_values(value, Value::is_string),
    name: "an object of strings",
};
const OBJECT: Type = Type {
    is: Value::is_object,
    name: "an object",
};
const NUMBER: Type = Type {
    is: Value::is_i64,
    name: "a number",
};
const NANOSECONDS: Type = Type {
    is: Value::is_i64,
    name: "a number of nanoseconds (30 s are 30000000000)",
};
const BOOLEAN: Type = Type {
    is: Value::is_boolean,
    name: "true or false",
};

const FIELDS: [(&str, Type); 25] = [
    ("User", TEXT),
    ("WorkingDir", TEXT),
    ("StopSignal", TEXT),
    ("Entrypoint", TEXTS),
    ("Cmd", TEXTS),
    ("Env", TEXTS),
    ("Shell", TEXTS),
    ("OnBuild", TEXTS),
    ("ExposedPorts", KEYS),
    ("Volumes", KEYS),
    ("Labels", LABELS),
    ("Healthcheck", OBJECT),
    ("ArgsEscaped", BOOLEAN),
    ("StopTimeout", NUMBER),
    // Of Docker's own configurations; images have them no longer.
    ("Hostname", TEXT),
    ("Domainname", TEXT),
    ("Image", TEXT),
    ("MacAddress", TEXT),
    ("AttachStdin", BOOLEAN),
    ("AttachStdout", BOOLEAN),
    ("AttachStderr", BOOLEAN),
    ("Tty", BOOLEAN),
    ("OpenStdin", BOOLEAN),
    ("StdinOnce", BOOLEAN),
    ("NetworkDisabled", BOOLEAN),
];

const HEALTHCHECK: [(&str, Type); 6] = [
    ("Test", TEXTS),
    ("Interval", NANOSECONDS),
    ("Timeout", NANOSECONDS),
    ("StartPeriod", NANOSECONDS),
    ("StartInterval", NANOSECONDS),
    ("Retries", NUMBER),
];

/// Checks the types of an image's `config`, which may be null. Fields that no engine knows may have
/// any.
///
/// # Errors
///
/// The first field with another type.
pub fn check(config: &Value) -> Result<(), ConfigTypeError> {
    match config {
        Value::Null => Ok(()),
        Value::Object(fields) => {
            check_fields("config", &FIELDS, fields)?;
            let health = fields
                .iter()
                .find(|(name, _)| is_named(name, "Healthcheck"));
            match health {
                Some((name, Value::Object(fields))) => {
                    check_fields(&format!("config.{name}"), &HEALTHCHECK, fields)
                }
                _ => Ok(()),
            }
        }
        _ => Err(ConfigTypeError {
            field: "config".to_owned(),
            expected: OBJECT.name,
        }),
    }
}

fn check_fields(
    of: &str,
    types: &[(&str, Type)],
    fields: &Map<String, Value>,
) -> Result<(), ConfigTypeError> {
    for (name, value) in fields {
        let expected = types.iter().find(|(known, _)| is_named(name, known));
        if let Some((_, expected)) = expected
            && !value.is_null()
            && !(expected.is)(value)
        {
            return Err(ConfigTypeError {
                field: format!("{of}.{name}"),
                expected: expected.name,
            });
        }
    }
    Ok(())
}

/// Engines are written in Go, whose JSON reader takes `env` for `Env`.
fn is_named(name: &str, known: &str) -> bool {
    name.eq_ignore_ascii_case(known)
}

fn has_values(value: &Value, is: fn(&Value) -> bool) -> bool {
    value
        .as_object()
        .is_some_and(|object| object.values().all(is))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_engines_refuse_is_refused() {
        for (config, says) in [
            (
                json!({"Env": {"A": "1"}}),
                "config.Env has to be a list of strings",
            ),
            (
                json!({"Env": "A=1"}),
                "config.Env has to be a list of strings",
            ),
            (
                json!({"Env": ["A=1", 2]}),
                "config.Env has to be a list of strings",
            ),
            (
                json!({"env": {"A": "1"}}),
                "config.env has to be a list of strings",
            ),
            (json!({"User": 1000}), "config.User has to be a string"),
            (
                json!({"Cmd": "x"}),
                "config.Cmd has to be a list of strings",
            ),
            (
                json!({"Entrypoint": "x"}),
                "config.Entrypoint has to be a list of strings",
            ),
            (
                json!({"ExposedPorts": ["80/tcp"]}),
                "config.ExposedPorts has to be an object whose names count",
            ),
            (
                json!({"Volumes": {"/data": true}}),
                "config.Volumes has to be an object whose names count",
            ),
            (
                json!({"Labels": {"a": 1}}),
                "config.Labels has to be an object of strings",
            ),
            (
                json!({"Labels": ["a=b"]}),
                "config.Labels has to be an object of strings",
            ),
            (
                json!({"StopSignal": 15}),
                "config.StopSignal has to be a string",
            ),
            (
                json!({"StopTimeout": "10"}),
                "config.StopTimeout has to be a number",
            ),
            (
                json!({"Healthcheck": ["CMD", "x"]}),
                "config.Healthcheck has to be an object",
            ),
            (
                json!({"Healthcheck": {"Test": "x"}}),
                "config.Healthcheck.Test has to be a list of strings",
            ),
            (
                json!({"Healthcheck": {"Interval": "30s"}}),
                "config.Healthcheck.Interval has to be a number of nanoseconds",
            ),
            (
                json!({"Healthcheck": {"Timeout": 1.5}}),
                "config.Healthcheck.Timeout has to be a number of nanoseconds",
            ),
            (
                json!({"Healthcheck": {"Retries": "3"}}),
                "config.Healthcheck.Retries has to be a number",
            ),
            (json!({"Tty": "yes"}), "config.Tty has to be true or false"),
            (json!([]), "config has to be an object"),
            (json!("Cmd"), "config has to be an object"),
        ] {
            let error = check(&config).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }

    #[test]
    fn what_engines_take_is_taken() {
        for config in [
            Value::Null,
            json!({}),
            json!({"Env": null, "Cmd": [], "Zebra": 1, "Labels": {}}),
            json!({
                "Env": ["A=1", "NOEQ"], "User": "1000:100", "WorkingDir": "/", "Cmd": ["x"], "Entrypoint": ["y"],
                "ExposedPorts": {"80/tcp": {}, "53/udp": null}, "Volumes": {"/data": {}}, "Labels": {"a": "b"},
                "StopTimeout": 10, "ArgsEscaped": true,
                "Healthcheck": {"Test": ["CMD", "x"], "Interval": 30_000_000_000_u64, "Retries": 3},
            }),
        ] {
            assert_eq!(check(&config), Ok(()), "{config}");
        }
    }
}
