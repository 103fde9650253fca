//! What is wrong with a reference to a secret in a store of secrets.

/// What is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Nothing says which field of the secret is meant.
    #[error("it doesn't say which field is meant: end it with #key")]
    NoKey,
    /// There is no path, or one of a single part.
    #[error("a mount and a path are needed, as in kv/shop")]
    NoPath,
    /// There is no name.
    #[error("there is no name")]
    NoName,
    /// A part of the path that a server could take for another path.
    #[error("'{0}' can't be a part of a path")]
    Part(String),
    /// A character that can't stand there.
    #[error("{0:?} can't stand in it; what is written is taken as it is, so nothing is percent-encoded")]
    Character(char),
    /// A setting that isn't known, or stands where it has none.
    #[error("'{0}' is not known there")]
    Setting(String),
    /// A setting that is given twice.
    #[error("'{0}' is given twice")]
    Twice(String),
    /// A setting with another value than it can have.
    #[error("'{value}' can't be its {setting}")]
    Value {
        /// The setting.
        setting: &'static str,
        /// The value.
        value: String,
    },
    /// Two settings that exclude each other.
    #[error("a version and a stage are given: one of them is enough")]
    VersionAndStage,
    /// A resource name of AWS that is not one of a secret.
    #[error("that is no ARN of a secret: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME")]
    Arn,
}

/// A reference without its scheme, taken apart.
pub(super) struct Parts<'a> {
    /// Before the `?`.
    pub(super) name: &'a str,
    /// Between `?` and `#`, by `&`.
    pub(super) settings: Vec<(&'a str, &'a str)>,
    /// After the `#`.
    pub(super) key: Option<&'a str>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(text: &'a str) -> Result<Self, Flaw> {
        let (address, key) = match text.split_once('#') {
            Some((address, key)) => (address, Some(key)),
            None => (text, None),
        };
        match key {
            Some("") => return Err(Flaw::NoKey),
            Some(key) => check(key, |c| !c.is_whitespace() && !c.is_control() && !matches!(c, '#' | '?'))?,
            None => {}
        }
        let (name, settings) = address.split_once('?').unwrap_or((address, ""));
        let mut read: Vec<(&str, &str)> = Vec::new();
        for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            if read.iter().any(|(known, _)| *known == name) {
                return Err(Flaw::Twice(name.to_owned()));
            }
            read.push((name, value));
        }
        Ok(Self { name, settings: read, key })
    }
}

/// Refuses a text with a character that isn't allowed.
pub(super) fn check(text: &str, is_allowed: impl Fn(char) -> bool) -> Result<(), Flaw> {
    text.chars().find(|c| !is_allowed(*c)).map_or(Ok(()), |c| Err(Flaw::Character(c)))
}
