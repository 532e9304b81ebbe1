//! How one image of a fleet is named on the command line.

/// `NAME=WHAT` in its parts. A path that has `=` in it is no such text: a name has no `/` and does not
/// begin with `.`.
pub fn named(text: &str) -> Option<(&str, &str)> {
    let (name, what) = text.split_once('=')?;
    let is_name = !name.is_empty() && !name.contains('/') && !name.starts_with(['.', '-']);
    (is_name && !what.is_empty()).then_some((name, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_no_names() {
        for (text, expected) in [
            ("api=./result", Some(("api", "./result"))),
            ("api=docker://host/a:1", Some(("api", "docker://host/a:1"))),
            ("api=/nix/store/a=b", Some(("api", "/nix/store/a=b"))),
            ("./a=b", None),
            ("/nix/store/a=b", None),
            ("../a=b", None),
            ("=a", None),
            ("a=", None),
            ("fleet.json", None),
        ] {
            assert_eq!(named(text), expected, "{text}");
        }
    }
}
