use crate::comparison::Comparison;
use crate::guard::Watch;
use crate::latency::Latency;
use crate::{
    Action, Asked, Evidence, Finding, Histogram, Moment, Outcome, Proof, Reason, Speed, Standing, Subject,
    Terms, Verdict, Window,
};

/// A new version on trial beside an old one: takes windows as they come, and can be asked for a verdict at any time.
#[derive(Clone, Debug)]
pub struct Trial {
    terms: Terms,
    failures: Comparison,
    /// Of requests that were sent on its behalf: a comparison of its own, as clients' and these come in another mixture to each version.
    synthetic: Option<Comparison>,
    latency: Option<Latency>,
    watch: Watch,
    new: u64,
    /// The old version's, beside it.
    old: u64,
}

impl Trial {
    /// Begins. The terms are expected to make sense ([`Terms::check`]).
    pub fn new(terms: Terms) -> Self {
        let (failures, latency) = terms.levels();
        let comparison = |subject| Comparison::new(subject, terms.failures.line(), failures);
        Self {
            failures: comparison(Subject::Failures),
            synthetic: terms.synthetic.then(|| comparison(Subject::Synthetic)),
            latency: terms.latency.clone().map(|terms| Latency::new(terms, latency)),
            watch: Watch::new(terms.guards.clone()),
            new: 0,
            old: 0,
            terms,
        }
    }

    /// How long the old version's requests took before the trial, as far as its proxies know: where to compare latencies needn't be
    /// learnt then.
    pub fn know(&mut self, before: &Histogram) {
        if let Some(latency) = &mut self.latency {
            latency.know(before);
        }
    }

    /// The next window; it may well begin with some in which the new version got nothing yet: see [`Observed`](crate::Observed).
    pub fn observe(&mut self, window: &Window) {
        self.new += window.new.requests;
        if window.new.requests > 0 {
            self.old += window.old.requests;
        }
        self.watch.update(window);
        if window.synthetic {
            if let Some(synthetic) = &mut self.synthetic {
                synthetic.update(window.time(), window.new.failures(), window.old.failures());
            }
            // How long they took is how long the way to the host is.
            return;
        }
        self.failures.update(window.time(), window.new.failures(), window.old.failures());
        if let Some(latency) = &mut self.latency {
            latency.update(window);
        }
    }

    /// Whether the counts alone say already that the new version is worse than tolerated: the quick question, for after each window.
    /// Once they do, they go on doing so.
    pub fn has_failed(&self) -> bool {
        let slower = self.latency.as_ref().is_some_and(Latency::is_worse);
        let failed = std::iter::once(&self.failures).chain(&self.synthetic).any(Comparison::is_worse);
        self.watch.tripped().is_some() || failed || slower
    }

    /// What is known by now.
    pub fn verdict(&self, moment: Moment, asked: &[Asked]) -> Verdict {
        let findings = self.findings();
        let standing = |query: &crate::Query| {
            let rounds =
                asked.iter().find(|asked| asked.name == query.name).map_or(&[][..], |asked| &asked.rounds);
            (query.name.clone(), query.standing(rounds))
        };
        let queries: Vec<_> = self.terms.queries.iter().map(standing).collect();
        let (outcome, reasons) = self.outcome(moment, &findings, &queries);
        let policies = self.terms.policies;
        let action = match outcome {
            _ if self.terms.dry_run && moment.elapsed < moment.hold => Action::Hold,
            _ if self.terms.dry_run => Action::Proceed,
            Outcome::Fail => Action::GoBack,
            Outcome::Pass if self.terms.early || moment.elapsed >= moment.hold => Action::Proceed,
            Outcome::Pass => Action::Hold,
            Outcome::Inconclusive => policies.inconclusive.action(moment.elapsed, moment.hold),
            Outcome::NoTraffic => policies.no_traffic.action(moment.elapsed, moment.hold),
            Outcome::MetricsDown => policies.metrics_down.action(moment.elapsed, moment.hold),
        };
        let quantiles = self.terms.latency.as_ref().map_or(&[][..], |terms| &terms.quantiles);
        let speed = self.latency.as_ref().map(Latency::seen);
        let speed = speed.and_then(|(new, old)| Speed::of(new, old, quantiles));
        Verdict { outcome, action, reasons, evidence: Evidence { findings, speed, queries } }
    }

    /// Where one kind of requests hasn't come at all, the other one stands for both.
    fn findings(&self) -> Vec<Finding> {
        let synthetic = self.synthetic.as_ref().filter(|synthetic| !synthetic.is_empty());
        let clients = synthetic.is_none() || !self.failures.is_empty();
        let failures = clients.then(|| self.failures.finding());
        let slower = self.latency.iter().filter(|_| clients).flat_map(Latency::findings);
        failures.into_iter().chain(synthetic.map(Comparison::finding)).chain(slower).collect()
    }

    /// Harm comes before all else; then what can't be known; then what may be missing for a pass.
    fn outcome(
        &self,
        moment: Moment,
        findings: &[Finding],
        queries: &[(String, Standing)],
    ) -> (Outcome, Vec<Reason>) {
        let queries_that = |which: fn(&Standing) -> bool| {
            let those = queries.iter().filter(move |(_, standing)| which(standing));
            those.map(|(name, standing)| Reason::Query { name: name.clone(), standing: standing.clone() })
        };
        let about = |which: fn(&Finding) -> bool, why: fn(Subject) -> Reason| {
            findings.iter().filter(move |finding| which(finding)).map(move |finding| why(finding.subject))
        };

        let tripped = self.watch.tripped().map(Reason::Guard).into_iter();
        let worse = about(Finding::is_worse, Reason::Worse);
        let failing = queries_that(|standing| matches!(standing, Standing::Failing(_)));
        let harm: Vec<_> = tripped.chain(worse).chain(failing).collect();
        if !harm.is_empty() {
            return (Outcome::Fail, harm);
        }

        let silent =
            (moment.silent >= self.terms.silence).then_some(Reason::Silent { silent: moment.silent });
        let down = queries_that(|standing| matches!(standing, Standing::Down(_) | Standing::Unmeasured));
        let unknown: Vec<_> = silent.into_iter().chain(down).collect();
        if !unknown.is_empty() {
            return (Outcome::MetricsDown, unknown);
        }
        if self.new == 0 {
            return (Outcome::NoTraffic, vec![Reason::NoRequests]);
        }

        let minimum = self.terms.minimum;
        let few = (self.new < minimum).then_some(Reason::TooFew { requests: self.new, minimum });
        let alone = (self.old == 0).then_some(Reason::NothingBeside);
        let bad = queries_that(|standing| {
            matches!(standing, Standing::Bad(_) | Standing::NoNumber(_) | Standing::Undecided(_))
        });
        let missing: Vec<_> = few.into_iter().chain(alone).chain(bad).collect();
        let only_synthetic = findings.iter().all(|finding| finding.subject == Subject::Synthetic);
        let reference = self.latency.as_ref().filter(|_| !only_synthetic).and_then(Latency::missing);
        let reference = reference.map(|(requests, wanted)| Reason::NoReference { requests, wanted });
        let unproven: Vec<_> =
            about(|finding| !finding.is_harmless(), Reason::Unproven).chain(reference).collect();
        if missing.is_empty() && unproven.is_empty() {
            return (Outcome::Pass, vec![Reason::Harmless]);
        }
        let over = self.terms.proof == Proof::Quiet && moment.elapsed >= moment.hold;
        let signs: Vec<_> = about(Finding::is_suspicious, Reason::Suspicious).collect();
        if over && missing.is_empty() && signs.is_empty() {
            return (Outcome::Pass, vec![Reason::Quiet]);
        }
        let missing = missing.into_iter().chain(signs);
        (Outcome::Inconclusive, if over { missing.collect() } else { missing.chain(unproven).collect() })
    }
}
