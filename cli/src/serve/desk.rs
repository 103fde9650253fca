//! One service: its requests, one after the other.

use std::rc::Rc;
use std::time::Duration;

use cutover_bus::{DecideError, TakenRequest};
use cutover_core::{
    Answer, Decision, DeploymentId, Newest, Plan, QueuePolicy, Refused, Request, Service, ServiceKey, Turn,
};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Repositories;
use super::checkout::Checkout;
use crate::args::Global;
use crate::console::Console;
use crate::error::Error;
use crate::planning;
use crate::session::Session;
use crate::verbs::deploy::{self, Wish};

/// How often requests that wait are held, and it is looked whether the deployment that runs has ended.
const LOOK: Duration = Duration::from_secs(2);
/// How long is waited after something failed that may pass.
const AGAIN: Duration = Duration::from_secs(10);
/// How often such a thing is tried.
const TRIES: u32 = 30;

/// What all services' requests are carried out with.
pub(crate) struct Desk {
    pub(crate) session: Session,
    pub(crate) repositories: Repositories,
    pub(crate) options: Global,
    pub(crate) console: Console,
}

/// A request that waits, and how often it was tried in vain.
struct Waiting {
    taken: TakenRequest,
    /// The deployment that it leads to: the same whoever carries it out, however often.
    deployment: DeploymentId,
    tries: u32,
}

/// The newest request of the service that has led to something, as far as the answers were read.
#[derive(Clone)]
struct Seen {
    newest: Newest,
    from: u64,
}

impl Seen {
    /// Reads on, and answers which later request has taken the place of one that waits.
    async fn instead_of(&mut self, one: &TakenRequest) -> Result<Option<String>, cutover_bus::Error> {
        let (answers, from) = one.answers(self.from).await?;
        self.from = from;
        answers.into_iter().for_each(|answered| self.newest.see(answered));
        Ok(self.newest.instead_of(one.sequence).map(str::to_owned))
    }
}

impl Desk {
    /// Carries out what comes for one service, until no more can come.
    ///
    /// # Errors
    /// None but of a bus that has another journal: what is not answered then comes again.
    pub(crate) async fn attend(
        self: Rc<Self>,
        key: ServiceKey,
        mut coming: mpsc::UnboundedReceiver<TakenRequest>,
    ) {
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut seen = Seen { newest: Newest::default(), from: 1 };
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                taken = coming.recv() => match taken {
                    Some(taken) => queue(&mut waiting, taken),
                    None => return,
                },
                _ = looks.tick() => {}
            }
            // What has come together is looked at together.
            while let Ok(taken) = coming.try_recv() {
                queue(&mut waiting, taken);
            }
            hold(&waiting).await;
            while !waiting.is_empty() {
                match Box::pin(self.step(&key, &mut waiting, &mut seen)).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        self.console.note(format_args!("{key}: {error}"));
                        break;
                    }
                }
            }
        }
    }

    /// Does what comes first; false: nothing can be done now.
    async fn step(
        &self,
        key: &ServiceKey,
        waiting: &mut Vec<Waiting>,
        seen: &mut Seen,
    ) -> Result<bool, cutover_bus::Error> {
        let log = self.session.journal.service(key).await?;
        // It was accepted, and whoever had it then is gone.
        if let Some(known) = waiting.iter().position(|one| is_known(log.service(), &one.deployment)) {
            let answer =
                waiting.get(known).map_or(Answer::Nothing, |one| Answer::Accepted(one.deployment.clone()));
            return self.answer_at(waiting, known, answer).await;
        }
        // The first is the oldest.
        if let Some(one) = waiting.first()
            && let Some(by) = seen.instead_of(&one.taken).await?
        {
            return self.answer_at(waiting, 0, Answer::Superseded(by)).await;
        }
        for (index, Waiting { taken, .. }) in waiting.iter().enumerate() {
            if let Err(why) = self.repositories.source(&taken.request.key, &taken.request.occasion) {
                return self.answer_at(waiting, index, Answer::Refused(why)).await;
            }
        }
        let policies: Vec<QueuePolicy> = waiting.iter().map(|one| one.taken.request.policy).collect();
        match Turn::of(&policies, log.service().running().is_some()) {
            Turn::Wait => Ok(false),
            Turn::Rejected(index) => {
                let why = "a deployment runs, and the source says to reject what comes then".to_owned();
                self.answer_at(waiting, index, Answer::Refused(why)).await
            }
            Turn::CarryOut(index) => {
                let Some(one) = waiting.get(index) else { return Ok(false) };
                let answer = {
                    let carried = self.carry_out(one, seen.clone());
                    tokio::pin!(carried);
                    loop {
                        tokio::select! { done = &mut carried => break done, () = sleep(LOOK) => hold(waiting).await }
                    }
                };
                match answer {
                    Ok(answer) => self.answer_at(waiting, index, answer).await,
                    Err(error) => self.failed(waiting, index, &error).await,
                }
            }
        }
    }

    /// The request in a place is over, or comes first again after a while.
    async fn failed(
        &self,
        waiting: &mut Vec<Waiting>,
        index: usize,
        error: &anyhow::Error,
    ) -> Result<bool, cutover_bus::Error> {
        let Some(one) = waiting.get_mut(index) else { return Ok(false) };
        one.tries += 1;
        if may_pass(error) && one.tries < TRIES {
            self.console.note(format_args!("{}: {error:#}; it is tried again", one.taken.request.id()));
            let again = sleep(AGAIN);
            tokio::pin!(again);
            loop {
                tokio::select! { () = &mut again => return Ok(true), () = sleep(LOOK) => hold(waiting).await }
            }
        }
        self.answer_at(waiting, index, Answer::Refused(format!("{error:#}"))).await
    }

    /// Carries a request out, on the way that `cutover deploy` goes.
    async fn carry_out(&self, one: &Waiting, mut seen: Seen) -> anyhow::Result<Answer> {
        let request = &one.taken.request;
        let source = match self.repositories.source(&request.key, &request.occasion) {
            Ok(source) => source,
            Err(why) => return Ok(Answer::Refused(why)),
        };
        let checkout = Checkout::of(source, &request.key, &request.occasion, &self.options).await?;
        let mut log = self.session.journal.service(&request.key).await?;
        let wish = Wish { by: request.by(), version: None, force: false, rebuild: false };
        let project = &checkout.project;
        project.tell(self.console);
        deploy::check_window(&project.target, wish.force)?;
        let planned = Box::pin(deploy::plan(&self.session, &log, project, wish, self.console)).await?;
        let Some(plan) = planned else { return Ok(Answer::Nothing) };
        // Always the same: a request that comes again after a crash is known by it.
        let plan = Plan { deployment: one.deployment.clone(), ..plan };
        // Another `cutover serve` may have been faster with a later one.
        if let Some(by) = seen.instead_of(&one.taken).await? {
            return Ok(Answer::Superseded(by));
        }
        let accepted = Decision::Accepted(Box::new(plan));
        self.session.journal.decide(&mut log, accepted).await.map_err(crate::decide::refused)?;
        Ok(Answer::Accepted(one.deployment.clone()))
    }

    async fn answer_at(
        &self,
        waiting: &mut Vec<Waiting>,
        index: usize,
        answer: Answer,
    ) -> Result<bool, cutover_bus::Error> {
        let Some(one) = waiting.get(index) else { return Ok(false) };
        one.taken.answer(answer.clone()).await?;
        let Request { key, occasion, .. } = &one.taken.request;
        let id = one.taken.request.id();
        let said = match answer {
            Answer::Accepted(deployment) => format!("deployment {} accepted", deployment.short()),
            Answer::Nothing => "nothing to do: just that is live".to_owned(),
            Answer::Superseded(by) => format!("superseded by {by}"),
            Answer::Refused(why) => format!("refused: {why}"),
        };
        self.console.note(format_args!("{id}: {key}, {occasion}: {said}"));
        waiting.remove(index);
        Ok(true)
    }
}

/// Takes a request in, in the order in which they were stored: what somebody else has let go of comes later. One that comes again takes
/// its own place, as the message before holds nothing any more.
fn queue(waiting: &mut Vec<Waiting>, taken: TakenRequest) {
    let id = taken.request.id();
    match waiting.iter_mut().find(|one| one.taken.request.id() == id) {
        Some(one) => one.taken = taken,
        None => match planning::id_of(taken.at, &id) {
            Ok(deployment) => {
                let place = waiting.partition_point(|one| one.taken.sequence < taken.sequence);
                waiting.insert(place, Waiting { taken, deployment, tries: 0 });
            }
            Err(error) => tracing::error!(request = id, %error, "a request is left alone"),
        },
    }
}

async fn hold(waiting: &[Waiting]) {
    for one in waiting {
        one.taken.hold().await;
    }
}

fn is_known(service: &Service, deployment: &DeploymentId) -> bool {
    service.deployment(deployment).is_some()
        || service.history.iter().any(|ended| ended.deployment == *deployment)
}

/// Whether the same may go better in a while.
fn may_pass(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let bus = cause.downcast_ref::<cutover_bus::Error>().is_some_and(cutover_bus::Error::retryable);
        let decided = matches!(
            cause.downcast_ref::<DecideError>(),
            Some(DecideError::Refused(Refused::Running { .. }))
        );
        let git =
            cause.downcast_ref::<cutover_context::Error>().is_some_and(cutover_context::Error::retryable);
        let store = cause.downcast_ref::<cutover_store::Error>().is_some_and(cutover_store::Error::retryable);
        let intake =
            cause.downcast_ref::<cutover_intake::Error>().is_some_and(cutover_intake::Error::retryable);
        let own = cause.downcast_ref::<Error>();
        bus || decided
            || git
            || store
            || intake
            || matches!(own, Some(Error::NoWorkers(_) | Error::Running { .. }))
    })
}
