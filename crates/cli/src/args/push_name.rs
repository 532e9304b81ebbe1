//! What `push` is told to push to.

use std::str::FromStr;

use oci::{Reference, ReferenceError};

/// Stands for the name of an image of a fleet.
const NAME: &str = "{name}";
/// Stands for its tag.
const TAG: &str = "{tag}";

/// A reference; or a text that gives one for each image of a fleet, such as
/// `host/team/{name}:{tag}`.
#[derive(Debug, Clone)]
pub enum PushName {
    /// One reference.
    One(Reference),
    /// `{name}` and `{tag}` stand for those of an image.
    Each(String),
}

impl FromStr for PushName {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if !text.contains(NAME) && !text.contains(TAG) {
            return Ok(Self::One(text.parse()?));
        }
        let each = Self::Each(text.to_owned());
        // The rest of the text has to be right for any name.
        each.reference("name", "tag").map(|_| each)
    }
}

impl PushName {
    /// The reference of the image `name`:`tag`.
    ///
    /// # Errors
    ///
    /// With this name and tag, the text is no reference.
    pub fn reference(&self, name: &str, tag: &str) -> Result<Reference, ReferenceError> {
        match self {
            Self::One(reference) => Ok(reference.clone()),
            Self::Each(text) => text.replace(NAME, name).replace(TAG, tag).parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tags_stand_where_they_are_asked_for() {
        let reference = |text: &str| -> Option<String> {
            let name: PushName = text.parse().ok()?;
            Some(name.reference("api", "1.0").ok()?.to_string())
        };
        for (text, expected) in [
            ("localhost:5000/app:v1", Some("localhost:5000/app:v1")),
            ("localhost:5000/{name}", Some("localhost:5000/api")),
            (
                "localhost:5000/{name}:{tag}",
                Some("localhost:5000/api:1.0"),
            ),
            (
                "localhost:5000/team:{name}-{tag}",
                Some("localhost:5000/team:api-1.0"),
            ),
            ("ghcr.io/team/{name}:v1", Some("ghcr.io/team/api:v1")),
            ("localhost:5000/{nam}", None),
            ("localhost:5000/Team/{name}", None),
        ] {
            assert_eq!(reference(text).as_deref(), expected, "{text}");
        }
    }
}
