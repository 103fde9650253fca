//! Questions to the programs that run, which each of them answers for itself: whether it finds secrets. Nothing of it is kept.

use std::time::Duration;

use cutover_core::{Program, Reference, Sighting};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::{Bus, Error};

/// What a program finds of the references that it was asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sightings {
    /// Its name, as in claims: machine and process.
    pub worker: String,
    /// One for each reference, in their order.
    pub sightings: Vec<Sighting>,
}

impl Bus {
    /// Asks all instances of a program whether they find the values of references. Waits until `expected` have answered, for at most
    /// `limit`; who doesn't know the question doesn't answer.
    ///
    /// # Errors
    /// A connection that is lost; a question that is larger than the server takes; a user who may not ask.
    pub async fn ask_for_secrets(
        &self,
        program: Program,
        references: &[&Reference],
        expected: usize,
        limit: Duration,
    ) -> Result<Vec<Sightings>, Error> {
        const DOING: &str = "asking for secrets";
        let failed = |message: String| Error::Request { doing: DOING, message };
        let question = serde_json::to_vec(references).map_err(|error| failed(error.to_string()))?;
        // An answer may have headers that end it.
        let line = self.line().await?;
        let inbox = line.client.new_inbox();
        let mut answers =
            line.client.subscribe(inbox.clone()).await.map_err(|error| failed(error.to_string()))?;
        let subject = program.asked_for_secrets();
        let refused = self.refusals.of([subject.clone()].into_iter()).next();
        tokio::pin!(refused);
        line.client
            .publish_with_reply(subject, inbox, question.into())
            .await
            .map_err(|error| failed(error.to_string()))?;
        let mut told = Vec::with_capacity(expected);
        let deadline = tokio::time::Instant::now() + limit;
        while told.len() < expected {
            let answer = tokio::select! {
                answer = tokio::time::timeout_at(deadline, answers.next()) => answer,
                subject = &mut refused => return Err(Error::NotAllowed { doing: DOING, subject }),
            };
            let Ok(Some(answer)) = answer else {
                self.has_ended(&line).await;
                break;
            };
            if answer.status == Some(async_nats::StatusCode::NO_RESPONDERS) {
                break;
            }
            let answer: Option<Sightings> = serde_json::from_slice(&answer.payload).ok();
            told.extend(answer.filter(|answer| answer.sightings.len() == references.len()));
        }
        Ok(told)
    }

    /// The questions to a program from now on. Each instance gets all of them.
    ///
    /// # Errors
    /// A connection that is lost.
    pub async fn secret_questions(&self, program: Program) -> Result<SecretQuestions, Error> {
        let failed = |message: String| Error::Request { doing: "waiting for questions", message };
        let questions = self.client.subscribe(program.asked_for_secrets()).await;
        let questions = questions.map_err(|error| failed(error.to_string()))?;
        Ok(SecretQuestions { questions, client: self.client.clone() })
    }
}

/// Questions that wait for an answer.
#[derive(Debug)]
pub struct SecretQuestions {
    questions: async_nats::Subscriber,
    client: async_nats::Client,
}

impl SecretQuestions {
    /// Answers each by `look`, one after the other, for as long as it is polled. `worker` is the name that the answers bear.
    pub async fn answer(mut self, worker: &str, look: impl AsyncFn(&[Reference]) -> Vec<Sighting>) {
        while let Some(question) = self.questions.next().await {
            let Some(inbox) = question.reply else { continue };
            // Of another version, with references that aren't known here.
            let Ok(references) = serde_json::from_slice::<Vec<Reference>>(&question.payload) else {
                continue;
            };
            let answer = Sightings { worker: worker.to_owned(), sightings: look(&references).await };
            let Ok(answer) = serde_json::to_vec(&answer) else { continue };
            if let Err(error) = self.client.publish(inbox, answer.into()).await {
                tracing::debug!(%error, "a question was not answered");
            }
        }
    }
}
