//! What a program does about secrets beside its work.

use std::convert::Infallible;

use cutover_bus::SecretQuestions;
use cutover_core::{Failure, Reference, Sighting};
use cutover_secrets::{Error, Found, Stores, keep_token};

/// Keeps the program's token alive, and tells whoever asks whether references have values here.
pub(crate) async fn attend(questions: SecretQuestions, worker: &str) -> Infallible {
    let stores = Stores::from_environment();
    tokio::join!(keep_token(&stores), questions.answer(worker, look));
    std::future::pending().await
}

/// Looks for the values as they would be looked for if they were needed, and drops them at once.
async fn look(references: &[Reference]) -> Vec<Sighting> {
    let found = Stores::from_environment().find(references).await;
    let sighting = |found: Result<Found, Error>| match found {
        Ok(Found { version, .. }) => Sighting::Found { version },
        Err(error) => {
            let Failure { message, retry, .. } = Failure::of(&error, error.retryable());
            Sighting::Missing { why: message, retry }
        }
    };
    found.into_iter().map(sighting).collect()
}
