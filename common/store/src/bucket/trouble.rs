//! What an answer of the SDK means.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::Bucket;
use crate::{Error, Trouble};

impl Bucket {
    /// Says what was being done to the object or the folder of that key.
    pub(super) fn failed<E>(&self, action: &'static str, key: &str) -> impl FnOnce(SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let place = self.address.place(key);
        move |error| {
            let trouble = trouble(&error);
            Error::S3 { action, place, trouble, source: error.into_source().ok() }
        }
    }
}

/// The status of an answer that is an error.
pub(super) fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn trouble<E>(error: &SdkError<E>) -> Trouble
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if lacks_credentials(error) {
        return Trouble::NoCredentials;
    }
    match error {
        SdkError::ServiceError(answer) => {
            Trouble::of(answer.err().meta().code(), answer.raw().status().as_u16())
        }
        SdkError::ConstructionFailure(_) => Trouble::Refused("nothing: the request can't be made".to_owned()),
        // What can't be read is what a connection left that broke.
        _ => Trouble::Unreachable,
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
