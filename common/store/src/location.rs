//! Where the artifact store is, as one text says it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

/// Where the artifact store is: a folder, or a bucket of an S3 server.
///
/// | text | |
/// |---|---|
/// | `/var/lib/cutover/store` | a folder, for one machine |
/// | `shared:/var/lib/cutover/store` | a folder of one machine that everything mounts, although the bus is reached over a network |
/// | `s3://bucket/prefix?endpoint=…` | a bucket; what may follow the `?` says [`BucketAddress`] |
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder.
    Folder {
        /// Its path.
        path: PathBuf,
        /// Whether it was said that all programs see the same folder.
        is_shared: bool,
    },
    /// A bucket.
    Bucket(BucketAddress),
}

/// A bucket of an S3 server, and how the server is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketAddress {
    /// The bucket's name.
    pub bucket: String,
    /// What all keys begin with: nothing, or a path without a slash at its ends.
    pub prefix: String,
    /// `endpoint`: the server's URL. None: AWS, or what the environment says (`AWS_ENDPOINT_URL`).
    pub endpoint: Option<String>,
    /// `region`: by default what the environment, the profile or the machine says, and `us-east-1` where none does.
    pub region: Option<String>,
    /// `credentials`: a file like `~/.aws/credentials` whose default profile they are taken from, such as a secret that is
    /// mounted. By default they come from where AWS's own tools look for them.
    pub credentials: Option<PathBuf>,
    /// `path-style`: whether the bucket stands in the path of a URL, and not in front of the host's name. By default it does
    /// wherever an endpoint is named: of AWS alone it is known that every bucket has a host name.
    pub path_style: bool,
    /// `checksums`: whether every request and answer carries one (`always`, the default), or only those that S3 demands it of
    /// (`required`), for servers that don't know them.
    pub checksums: bool,
}

/// A text that says no place of a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no place for the artifact store: {reason}")]
pub struct InvalidLocation {
    text: String,
    reason: String,
}

/// A folder store that a part of the programs would not see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the artifact store is the folder {}, which is for one machine, but the bus is not on this one: what is stored here would be missing elsewhere; set CUTOVER_STORE to s3://bucket, or, where all programs and `cutover` mount this very folder, to shared:{}",
    path.display(), path.display()
)]
pub struct OneMachine {
    path: PathBuf,
}

impl Location {
    /// A folder on this machine.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self::Folder { path: path.into(), is_shared: false }
    }

    /// Refuses a folder where programs on other machines would look for the content too.
    ///
    /// # Errors
    /// [`OneMachine`], unless the bus is on this machine or it is said that the folder is shared.
    pub fn check_reach(&self, bus_is_local: bool) -> Result<(), OneMachine> {
        match self {
            Self::Folder { path, is_shared: false } if !bus_is_local => {
                Err(OneMachine { path: path.clone() })
            }
            Self::Folder { .. } | Self::Bucket(_) => Ok(()),
        }
    }
}

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        let invalid = |reason: &str| InvalidLocation { text: text.to_owned(), reason: reason.to_owned() };
        if text.starts_with("s3:") {
            return bucket(text).map(Self::Bucket).map_err(|reason| invalid(&reason));
        }
        let shared = text.strip_prefix("shared:");
        let path = shared.unwrap_or(text);
        if path.is_empty() {
            return Err(invalid("no folder is named"));
        }
        // A folder of that name is meant by nobody.
        if path.contains("://") {
            return Err(invalid("it is either a folder or s3://bucket"));
        }
        Ok(Self::Folder { path: path.into(), is_shared: shared.is_some() })
    }
}

fn bucket(text: &str) -> Result<BucketAddress, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let bucket = url.host_str().filter(|bucket| !bucket.is_empty()).ok_or("no bucket is named")?.to_owned();
    if !url.username().is_empty() || url.password().is_some() || url.port().is_some() {
        return Err("the part between s3:// and the next slash is the bucket's name and nothing else; \
                    credentials come from the environment, a file or the machine"
            .to_owned());
    }
    let prefix = url.path().trim_matches('/').to_owned();
    // What needs no escaping in a URL, a header or a signature.
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.');
    if !prefix.bytes().all(is_plain) {
        return Err("a prefix has letters, digits, '-', '_', '.' and '/' only".to_owned());
    }
    let (mut endpoint, mut region, mut credentials, mut path_style, mut checksums) =
        (None, None, None, None, true);
    for (key, value) in url.query_pairs() {
        match (&*key, &*value) {
            ("endpoint", value) if value.starts_with("http://") || value.starts_with("https://") => {
                endpoint = Some(value.trim_end_matches('/').to_owned());
            }
            ("endpoint", _) => return Err("endpoint is a URL, http:// or https://".to_owned()),
            ("region", value) if !value.is_empty() => region = Some(value.to_owned()),
            ("credentials", value) if value.starts_with('/') => credentials = Some(PathBuf::from(value)),
            ("credentials", _) => return Err("credentials is the whole path of a file".to_owned()),
            ("path-style", "true") => path_style = Some(true),
            ("path-style", "false") => path_style = Some(false),
            ("path-style", _) => return Err("path-style is true or false".to_owned()),
            ("checksums", "always") => checksums = true,
            ("checksums", "required") => checksums = false,
            ("checksums", _) => return Err("checksums is always or required".to_owned()),
            (key, _) => {
                return Err(format!(
                    "it has no setting '{key}', but endpoint, region, credentials, path-style and checksums"
                ));
            }
        }
    }
    let path_style = path_style.unwrap_or(endpoint.is_some());
    Ok(BucketAddress { bucket, prefix, endpoint, region, credentials, path_style, checksums })
}

impl BucketAddress {
    /// The key of `name` below the prefix.
    pub(crate) fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }

    /// The object or the bucket of that key, for people: with the server, since two may have a bucket of the same name.
    pub(crate) fn place(&self, key: &str) -> String {
        let at = self.endpoint.as_deref().unwrap_or("AWS");
        format!("s3://{}/{key} at {at}", self.bucket)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path, .. } => path.display().fmt(f),
            Self::Bucket(address) => f.write_str(&address.place(&address.prefix)),
        }
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::folder(path)
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Self {
        Self::folder(path)
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::folder(path)
    }
}

impl From<&Self> for Location {
    fn from(location: &Self) -> Self {
        location.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Location>().unwrap_err().to_string()
    }

    #[test]
    fn a_folder_is_a_folder() {
        assert_eq!("/var/store".parse(), Ok(Location::folder("/var/store")));
        assert_eq!("store".parse(), Ok(Location::folder("store")));
        let shared = Location::Folder { path: "/var/store".into(), is_shared: true };
        assert_eq!("shared:/var/store".parse(), Ok(shared));
    }

    #[test]
    fn a_bucket_has_a_prefix_and_settings() {
        let aws = BucketAddress {
            bucket: "artifacts".to_owned(),
            prefix: String::new(),
            endpoint: None,
            region: None,
            credentials: None,
            path_style: false,
            checksums: true,
        };
        assert_eq!("s3://artifacts".parse(), Ok(Location::Bucket(aws.clone())));
        let garage = BucketAddress {
            prefix: "team/cutover".to_owned(),
            endpoint: Some("http://10.0.0.9:3900".to_owned()),
            region: Some("garage".to_owned()),
            credentials: Some("/run/secrets/s3".into()),
            path_style: true,
            checksums: false,
            ..aws
        };
        let text = "s3://artifacts/team/cutover/?endpoint=http://10.0.0.9:3900/&region=garage&credentials=/run/secrets/s3&checksums=required";
        assert_eq!(text.parse(), Ok(Location::Bucket(garage.clone())));
        assert_eq!(garage.key("blobs/sha256/00"), "team/cutover/blobs/sha256/00");
        assert_eq!(garage.place("a/b"), "s3://artifacts/a/b at http://10.0.0.9:3900");
        let virtual_hosts = "s3://artifacts?endpoint=https://s3.example.org&path-style=false".parse();
        assert!(matches!(virtual_hosts, Ok(Location::Bucket(BucketAddress { path_style: false, .. }))));
    }

    #[test]
    fn what_is_meant_otherwise_is_refused() {
        let table = [
            ("", "no folder is named"),
            ("shared:", "no folder is named"),
            ("s3:///prefix", "no bucket is named"),
            ("https://bucket.s3.amazonaws.com", "either a folder or s3://bucket"),
            ("s3://key:secret@bucket", "credentials come from the environment"),
            ("s3://bucket/a%20b", "a prefix has letters"),
            ("s3://bucket?endpoint=10.0.0.9:3900", "endpoint is a URL"),
            ("s3://bucket?path_style=true", "no setting 'path_style', but endpoint, region, credentials"),
            ("s3://bucket?path-style=yes", "path-style is true or false"),
            ("s3://bucket?credentials=s3", "credentials is the whole path"),
            ("s3://bucket?checksums=never", "checksums is always or required"),
        ];
        for (text, expected) in table {
            assert!(refused(text).contains(expected), "{text}: {}", refused(text));
        }
    }

    #[test]
    fn a_folder_is_for_one_machine_unless_it_is_shared() {
        let [alone, shared, bucket]: [Location; 3] =
            ["/store", "shared:/store", "s3://bucket"].map(|text| text.parse().unwrap());
        assert_eq!(alone.check_reach(true), Ok(()));
        let refused = alone.check_reach(false).unwrap_err().to_string();
        assert!(refused.contains("shared:/store") && refused.contains("s3://bucket"), "{refused}");
        assert_eq!(shared.check_reach(false), Ok(()));
        assert_eq!(bucket.check_reach(false), Ok(()));
    }
}
