//! The queries of a verdict, put again and again to those who answer them.

use std::convert::Infallible;

use cutover_bus::Assignment;
use cutover_core::{CanaryStep, Judges, KeptRelease, Names, Plan, Program};
use cutover_secrets::Values;
use cutover_verdict::{Answer, Condition, Query, Round};
use futures_util::future::join_all;
use tokio::time::sleep;

use super::http::Http;
use super::prometheus::ask;
use super::webhook::{Question, put};

/// What is asked, of whom, about which versions.
pub(super) struct Asking<'a> {
    judges: &'a Judges,
    queries: &'a [Query],
    plan: &'a Plan,
    release: String,
    old: Option<&'a KeptRelease>,
    http: Http,
    values: Values,
}

impl<'a> Asking<'a> {
    /// Asks about the new version of that deployment and the one that is live; none: nobody is to be asked.
    pub(super) fn new(assignment: &'a Assignment) -> Option<Self> {
        let plan = assignment.plan();
        let canary = &plan.release.settings.canary;
        let (judges, terms) = canary.judges.as_ref().zip(canary.verdict.as_ref())?;
        Some(Self {
            judges,
            queries: &terms.queries,
            plan,
            release: plan.release.id().to_string(),
            old: assignment.service.live(),
            http: Http::new(),
            values: Values::of(plan, Program::Switcher),
        })
    }

    /// Asks all of it, again and again, and tells what is answered.
    pub(super) async fn run(&self, step: (u32, &CanaryStep), tell: impl Fn(&str, Round)) -> Infallible {
        loop {
            let asked =
                self.queries.iter().map(async |query| tell(&query.name, self.round(query, step).await));
            join_all(asked).await;
            sleep(self.judges.every.0).await;
        }
    }

    async fn round(&self, query: &Query, step: (u32, &CanaryStep)) -> Round {
        if query.condition == Condition::Judged {
            let webhook = self.judges.webhooks.iter().find(|webhook| webhook.query == query.name);
            let question = Question::new(self.plan, self.old, step);
            let new = match webhook {
                Some(webhook) => put(&self.http, &self.values, webhook, &question).await,
                None => Answer::Down("the deploy file doesn't say who answers it".to_owned()),
            };
            return Round { new, old: None };
        }
        let new = Some(Names { release: &self.release, ..names(self.plan, &self.plan.release.version) });
        let beside = matches!(query.condition, Condition::Beside { .. });
        let old = self.old.map(|old| Names {
            release: old.id.as_str(),
            deployment: old.booted_by().as_str(),
            ..names(self.plan, &old.release.version)
        });
        let (new, old) = tokio::join!(self.answer(query, new), async {
            if beside { Some(self.answer(query, old).await) } else { None }
        });
        Round { new, old }
    }

    async fn answer(&self, query: &Query, names: Option<Names<'_>>) -> Answer {
        let Some(names) = names else {
            return Answer::Down("the version that it is compared with isn't known".to_owned());
        };
        match (names.fill(&query.expression), &self.judges.metrics) {
            (Ok(expression), Some(server)) => ask(&self.http, &self.values, server, &expression).await,
            (Ok(_), None) => Answer::Down("the deploy file names no metrics server".to_owned()),
            (Err(unknown), _) => Answer::Down(unknown.to_string()),
        }
    }
}

fn names<'a>(plan: &'a Plan, version: &'a str) -> Names<'a> {
    Names {
        service: plan.key.service.as_str(),
        destination: plan.key.destination.as_str(),
        version,
        release: "",
        deployment: plan.deployment.as_str(),
    }
}
