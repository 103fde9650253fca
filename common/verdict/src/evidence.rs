use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Finding, Histogram, Share, Standing, Subject};

/// What a verdict stands on; for the journal, and to be printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The comparisons: failures first.
    pub findings: Vec<Finding>,
    /// How fast both were; nothing where latencies aren't compared, or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<Speed>,
    /// Each query's name and what its answers say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queries: Vec<(String, Standing)>,
}

/// How large the difference in latency is, whether or not it is proven.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Quantiles in milliseconds, the new version's and the old one's, estimated within the histogram's buckets; to a tenth.
    pub quantiles: Vec<(Share, f64, f64)>,
    /// How likely a request to the new version takes longer than one to the old version: 0.5 where they are alike.
    pub superiority: f64,
}

// None of the numbers is ever NaN.
impl Eq for Speed {}

impl Speed {
    pub(crate) fn of(new: &Histogram, old: &Histogram, quantiles: &[Share]) -> Option<Self> {
        let superiority = (1e6 * new.superiority(old)?).round() / 1e6;
        let both = |share: &Share| {
            let tenths = |ms: f64| (ms * 10.0).round() / 10.0;
            Some((*share, tenths(new.quantile(share.fraction())?), tenths(old.quantile(share.fraction())?)))
        };
        Some(Self { quantiles: quantiles.iter().filter_map(both).collect(), superiority })
    }

    /// Cliff's delta: -1 where each request to the new version is faster than each to the old one, 1 where it is slower.
    pub fn cliffs_delta(&self) -> f64 {
        2.0 * self.superiority - 1.0
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16}{:>9}{:>11}{:>11}", "latency", "new", "old", "ratio")?;
        for (share, new, old) in &self.quantiles {
            let name = format!("p{}", share.to_string().trim_end_matches(" %"));
            let ratio = if *old > 0.0 { format!("{:.2}", new / old) } else { "-".to_owned() };
            writeln!(f, "  {name:<14}{new:>6.0} ms{old:>8.0} ms{ratio:>11}")?;
        }
        let (superiority, delta) = (self.superiority, self.cliffs_delta());
        write!(f, "  {:<14}{superiority:.3} (0.5 is alike), Cliff's delta {delta:+.3}", "slower")
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What has a number to be looked at stands in full.
        let full = |finding: &Finding| {
            matches!(finding.subject, Subject::Failures | Subject::Synthetic) || finding.is_worse()
        };
        let text =
            |finding: &Finding| if full(finding) { finding.to_string() } else { format!("{finding:#}") };
        let findings = self.findings.iter().map(text);
        let speed = self.speed.iter().map(ToString::to_string);
        let queries = self.queries.iter().map(|(name, standing)| format!("{name:<16}{standing}"));
        f.write_str(&findings.chain(speed).chain(queries).collect::<Vec<_>>().join("\n"))
    }
}
