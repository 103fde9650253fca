//! What may be wrong with an S3 server, or with how it is asked.

use std::fmt;

/// Why an S3 server did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There are none, or where they should be found they can't be had.
    NoCredentials,
    /// It knows the key not, or another secret.
    Credentials,
    /// The credentials are too few.
    Forbidden,
    /// The bucket isn't there.
    NoBucket,
    /// The bucket is elsewhere, or requests are signed for elsewhere.
    Region,
    /// The clocks differ by more than a signature may be old: 15 minutes.
    Clock,
    /// It doesn't know the checksums.
    Checksums,
    /// No answer came.
    Unreachable,
    /// It can't at the moment.
    Busy,
    /// Something else: the code that it answered.
    Refused(String),
}

impl Trouble {
    /// What a code means that a server answered, or a status, where it answered none.
    pub(crate) fn of(code: Option<&str>, status: u16) -> Self {
        match (code.unwrap_or_default(), status) {
            (
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "ExpiredToken"
                | "InvalidToken"
                | "TokenRefreshRequired",
                _,
            ) => Self::Credentials,
            ("RequestTimeTooSkewed" | "RequestExpired", _) => Self::Clock,
            (
                "PermanentRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException"
                | "TemporaryRedirect",
                _,
            )
            | ("", 301 | 307) => Self::Region,
            ("NoSuchBucket", _) => Self::NoBucket,
            ("BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody", _) => Self::Busy,
            ("NotImplemented" | "InvalidTrailer", _) => Self::Checksums,
            (_, 429 | 500 | 502..=504) => Self::Busy,
            ("InternalError" | "ServiceUnavailable" | "RequestTimeout" | "SlowDown", _) => Self::Busy,
            ("AccessDenied" | "AllAccessDisabled", _) | ("", 403) => Self::Forbidden,
            ("", status) => Self::Refused(format!("status {status}")),
            (code, _) => Self::Refused(code.to_owned()),
        }
    }

    /// Whether the same request may succeed later with nobody mending anything.
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Unreachable | Self::Busy)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCredentials => {
                "there are no credentials to be had; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file (s3://…?credentials=), or give the machine a role"
            }
            Self::Credentials => {
                "the server doesn't accept the credentials; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the file"
            }
            Self::Forbidden => {
                "the credentials may not do this; allow s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucketMultipartUploads and s3:AbortMultipartUpload"
            }
            Self::NoBucket => "there is no such bucket; create it, or correct its name",
            Self::Region => "the bucket is in another region; name that one: s3://…?region=",
            Self::Clock => "the clocks of this machine and of the server differ too much; set this machine's (NTP)",
            Self::Checksums => {
                "the server doesn't know a header of the request; if it doesn't know checksums, say so: s3://…?checksums=required"
            }
            Self::Unreachable => "the server doesn't answer; check the endpoint and the network",
            Self::Busy => "the server can't at the moment; it may be asked again",
            Self::Refused(code) => return write!(f, "the server answered {code}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_more_than_a_status() {
        let table = [
            (Some("SignatureDoesNotMatch"), 403, Trouble::Credentials),
            (Some("AccessDenied"), 403, Trouble::Forbidden),
            (None, 403, Trouble::Forbidden),
            (Some("RequestTimeTooSkewed"), 403, Trouble::Clock),
            (Some("NoSuchBucket"), 404, Trouble::NoBucket),
            (Some("PermanentRedirect"), 301, Trouble::Region),
            (None, 301, Trouble::Region),
            (Some("SlowDown"), 503, Trouble::Busy),
            (Some("InternalError"), 500, Trouble::Busy),
            (Some("NotImplemented"), 501, Trouble::Checksums),
            (Some("EntityTooLarge"), 400, Trouble::Refused("EntityTooLarge".to_owned())),
            (None, 418, Trouble::Refused("status 418".to_owned())),
        ];
        for (code, status, expected) in table {
            assert_eq!(Trouble::of(code, status), expected, "{code:?} {status}");
        }
    }
}
