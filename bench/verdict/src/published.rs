//! What Kayenta's users have published as missed, and what is said of it here.

use std::time::Duration;

use cutover_verdict::{
    Answer, Asked, Condition, Counts, Limit, Margin, Observed, Outcome, Query, Ratio, Round, Terms, Window,
    judge,
};

use crate::kayenta::{Classification, Classifier, NanStrategy};

/// A published series of points.
pub(crate) struct Published {
    pub(crate) name: &'static str,
    /// spinnaker/kayenta's issue.
    pub(crate) issue: u32,
    experiment: Vec<f64>,
    control: Vec<f64>,
    nan: NanStrategy,
}

/// All of them; 780 and 799 are also spinnaker/spinnaker's 6278 and 6275.
pub(crate) fn all() -> [Published; 4] {
    let nan = f64::NAN;
    let sparse = [1.0, nan, nan, nan, nan, 2.0, nan, nan, nan, nan, 1.0, nan, nan, nan, nan, 2.0];
    let absent = |nan_strategy| Published {
        name: "errors beside a baseline of NaN",
        issue: 799,
        experiment: sparse.into_iter().chain([nan; 4]).chain([1.0, nan, nan, nan, nan]).collect(),
        control: vec![nan; 25],
        nan: nan_strategy,
    };
    [
        Published {
            name: "7 of 10 points at 100 against 1",
            issue: 780,
            experiment: [vec![100.0; 7], vec![1.0; 3]].concat(),
            control: vec![1.0; 10],
            nan: NanStrategy::Remove,
        },
        Published {
            name: "errors 0, 1, 2, 1, 0, 0 against zeros",
            issue: 426,
            experiment: vec![0.0, 1.0, 2.0, 1.0, 0.0, 0.0],
            control: vec![0.0; 6],
            nan: NanStrategy::Remove,
        },
        absent(NanStrategy::Remove),
        absent(NanStrategy::Replace),
    ]
}

impl Published {
    /// What Kayenta's judge says of it.
    pub(crate) fn kayentas(&self) -> Classification {
        Classifier { nan: self.nan, ..Classifier::default() }.judge(&self.experiment, &self.control)
    }

    /// What is said of the same failures as the proxies would have counted them: the new version with 200 requests for each point,
    /// which are a twentieth of all, and nothing tolerated. No failures is a count, too: nothing there is not a number.
    pub(crate) fn as_counts(&self) -> Outcome {
        let failed = |point: &f64| if point.is_nan() { 0 } else { *point as u64 };
        let window = |(at, (new, old)): (u64, (&f64, &f64))| Window {
            from: Duration::from_secs(60 * at),
            to: Duration::from_secs(60 * (at + 1)),
            new: Counts::new(200, failed(new), []),
            old: Counts::new(3_800, 19 * failed(old), []),
            ..Window::default()
        };
        let windows: Vec<_> = (0..).zip(self.experiment.iter().zip(&self.control)).map(window).collect();
        let terms = Terms { failures: Margin::NONE, latency: None, ..Terms::default() };
        judge(&terms, &Observed { windows, ..Observed::default() }).outcome
    }

    /// What is said of the same points as a metrics server's answers, which may be half as much again beside the old version's:
    /// after each point, as it is asked then.
    pub(crate) fn as_answers(&self) -> Outcome {
        let query = Query {
            name: "points".into(),
            expression: "points".into(),
            condition: Condition::Beside { ratio: Ratio::thousandths(1_500), difference: Limit::default() },
            strikes: 2,
        };
        let answer = |point: &f64| Answer::Values(vec![point.to_string()]);
        let points = self.experiment.iter().zip(&self.control);
        let rounds: Vec<_> =
            points.map(|(new, old)| Round { new: answer(new), old: Some(answer(old)) }).collect();
        let terms = Terms { queries: vec![query], ..Terms::default() };
        let verdicts = (1..=rounds.len()).map(|asked| {
            let windows = vec![Window {
                new: Counts::new(200, 0, []),
                old: Counts::new(3_800, 0, []),
                ..Window::default()
            }];
            let asked = vec![Asked { name: "points".into(), rounds: rounds[..asked].to_vec() }];
            judge(&terms, &Observed { windows, asked, ..Observed::default() }).outcome
        });
        let verdicts: Vec<_> = verdicts.collect();
        let failed = verdicts.iter().find(|outcome| **outcome == Outcome::Fail);
        failed.or(verdicts.last()).copied().unwrap_or(Outcome::NoTraffic)
    }
}
