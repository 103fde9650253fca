//! A secret in AWS Secrets Manager.

use std::fmt;
use std::str::FromStr;

use super::flaw::{Flaw, Parts, check};

/// `aws-sm://name?version=ID&region=REGION#key`, without the scheme.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AwsSecret {
    /// Its name, or its ARN.
    pub name: String,
    /// Which version; none: the current one.
    pub version: Option<AwsVersion>,
    /// The region; none: that of the program's environment. Of an ARN: the one in it.
    pub region: Option<String>,
    /// The field of the JSON object that its text is; none: the text as a whole.
    pub key: Option<String>,
}

/// Which version of a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AwsVersion {
    /// One for good, by its id.
    Id(String),
    /// The one that has this stage now, such as `AWSPREVIOUS`.
    Stage(String),
}

impl FromStr for AwsSecret {
    type Err = Flaw;

    fn from_str(text: &str) -> Result<Self, Flaw> {
        let Parts { name, settings, key } = Parts::of(text)?;
        if name.is_empty() {
            return Err(Flaw::NoName);
        }
        // CreateSecret, Name; an ARN has colons as well.
        let is_arn = name.starts_with("arn:");
        check(name, |c| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c) || is_arn && c == ':')?;
        let mut region = match (is_arn, name.split(':').collect::<Vec<_>>().as_slice()) {
            (false, _) => None,
            (true, ["arn", _, "secretsmanager", region, account, "secret", secret])
                if is_region(region) && !account.is_empty() && !secret.is_empty() =>
            {
                Some((*region).to_owned())
            }
            (true, _) => return Err(Flaw::Arn),
        };
        let mut version = None;
        for (setting, value) in settings {
            let wrong = |setting| Flaw::Value { setting, value: value.to_owned() };
            let new = match setting {
                "version" if is_word(value) => AwsVersion::Id(value.to_owned()),
                "version" => return Err(wrong("version")),
                "stage" if is_word(value) => AwsVersion::Stage(value.to_owned()),
                "stage" => return Err(wrong("stage")),
                "region" if region.is_none() && is_region(value) => {
                    region = Some(value.to_owned());
                    continue;
                }
                "region" if !is_arn => return Err(wrong("region")),
                _ => return Err(Flaw::Setting(setting.to_owned())),
            };
            if version.replace(new).is_some() {
                return Err(Flaw::VersionAndStage);
            }
        }
        Ok(Self { name: name.to_owned(), version, region, key: key.map(str::to_owned) })
    }
}

fn is_region(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

impl fmt::Display for AwsSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let version = self.version.as_ref().map(|version| match version {
            AwsVersion::Id(id) => ("version", id),
            AwsVersion::Stage(stage) => ("stage", stage),
        });
        let region = self.region.as_ref().filter(|_| !self.name.starts_with("arn:"));
        let settings = version.into_iter().chain(region.map(|region| ("region", region)));
        for (index, (setting, value)) in settings.enumerate() {
            write!(f, "{}{setting}={value}", if index == 0 { '?' } else { '&' })?;
        }
        self.key.iter().try_for_each(|key| write!(f, "#{key}"))
    }
}
