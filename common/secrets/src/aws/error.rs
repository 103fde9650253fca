//! Why there is nothing to be had from AWS Secrets Manager. No message holds a value, or a credential.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};

/// A reason why a secret can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing says which region.
    #[error(
        "nothing says which region: set AWS_REGION in the environment of this program, or write ?region="
    )]
    NoRegion,
    /// There is nothing to sign requests with.
    #[error(
        "this program finds no credentials for AWS: not in its environment, ~/.aws, a web identity, its container or its machine"
    )]
    NoCredentials,
    /// The credentials aren't good, or aren't good for this.
    #[error(
        "permission denied ({code}): a policy must allow secretsmanager:GetSecretValue on it, and kms:Decrypt where it has a key of its own"
    )]
    Denied {
        /// AWS's name for it.
        code: String,
    },
    /// There is none.
    #[error("there is no such secret in that region, or not in that version")]
    Missing,
    /// AWS refuses for another reason.
    #[error("AWS refuses: {code}: {said}")]
    Refused {
        /// AWS's name for it.
        code: String,
        /// Its reason.
        said: String,
    },
    /// AWS can't answer now, or not to so many requests.
    #[error("AWS can't answer now ({code})")]
    Busy {
        /// AWS's name for it.
        code: String,
    },
    /// AWS can't be reached.
    #[error("AWS Secrets Manager can't be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It is no text.
    #[error("its value is not UTF-8 text")]
    NotText,
}

impl Error {
    pub(super) fn of<E>(error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        if lacks_credentials(&error) {
            return Self::NoCredentials;
        }
        let SdkError::ServiceError(answer) = &error else { return Self::Unreachable(error.into()) };
        let (status, meta) = (answer.raw().status().as_u16(), answer.err().meta());
        let code = meta.code().map_or_else(|| format!("status {status}"), str::to_owned);
        match code.as_str() {
            "ResourceNotFoundException" => Self::Missing,
            // What is common to all services of AWS, beside its own.
            "AccessDeniedException"
            | "ExpiredTokenException"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationToken"
            | "OptInRequired"
            | "UnrecognizedClientException" => Self::Denied { code },
            "ThrottlingException"
            | "RequestLimitExceeded"
            | "InternalServiceError"
            | "ServiceUnavailable" => Self::Busy { code },
            _ if status == 429 || status >= 500 => Self::Busy { code },
            _ => Self::Refused { code, said: meta.message().unwrap_or_default().chars().take(300).collect() },
        }
    }

    /// Whether the same may go better later, with nobody mending anything here.
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Unreachable(_))
    }
}

fn lacks_credentials<E: std::error::Error + 'static>(error: &SdkError<E>) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<CredentialsError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
