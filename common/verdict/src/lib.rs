//! Whether a new version is worse than the old one beside it: pure. No I/O, no clock, no runtime; time comes in as a value.
//!
//! What the proxies have counted of both over the same time goes in as [`Window`]s (a [`Meter`] makes them of cumulative
//! readings), and a [`Verdict`] comes out, with the [`Evidence`] that it stands on. The tests are anytime-valid: the verdict may
//! be asked for after every request, and stopped on, without a healthy version being called worse more often than was
//! declared. `docs/verdict.md` says what is guaranteed and what isn't.
//!
//! ```
//! use std::time::Duration;
//! use cutover_verdict::{Action, Counts, Moment, Observed, Outcome, Terms, Window, judge};
//!
//! // 95 requests of the old version and 5 of the new one each second: one of a hundred fails, and one of ten.
//! let windows = (0..120).map(|second| Window {
//!     from: Duration::from_secs(second),
//!     to: Duration::from_secs(second + 1),
//!     new: Counts::new(5, second % 2, []),
//!     old: Counts::new(95, 1, []),
//!     ..Window::default()
//! });
//! let observed = Observed {
//!     windows: windows.collect(),
//!     moment: Moment { elapsed: Duration::from_secs(120), hold: Duration::from_secs(600), ..Moment::default() },
//!     ..Observed::default()
//! };
//! let verdict = judge(&Terms::default(), &observed);
//! assert_eq!((verdict.outcome, verdict.action), (Outcome::Fail, Action::GoBack));
//! ```

mod alternative;
mod answer;
mod comparison;
mod counts;
mod decimal;
mod dispersion;
mod e_process;
mod evidence;
mod finding;
mod guard;
mod histogram;
mod interval;
mod latency;
mod limit;
mod margin;
mod meter;
mod millis;
mod observed;
mod outcome;
mod policy;
mod proportion;
mod query;
mod ratio;
mod reason;
mod share;
mod terms;
mod trial;
mod verdict;
mod window;

pub use answer::{Answer, Judgement};
pub use counts::Counts;
pub use decimal::InvalidDecimal;
pub use evidence::{Evidence, Speed};
pub use finding::{Finding, Rate, Subject};
pub use guard::{Burst, Guards, Restarts, Tripped};
pub use histogram::Histogram;
pub use interval::Interval;
pub use latency::LatencyTerms;
pub use limit::{InvalidLimit, Limit};
pub use margin::{Line, Margin};
pub use meter::{Meter, Reading};
pub use observed::{Moment, Observed};
pub use outcome::Outcome;
pub use policy::{Action, Policies, Policy};
pub use proportion::Proportion;
pub use query::{Asked, Condition, Query, Round, Standing};
pub use ratio::Ratio;
pub use reason::Reason;
pub use share::Share;
pub use terms::{InvalidTerms, Proof, Terms};
pub use trial::Trial;
pub use verdict::{Verdict, judge};
pub use window::{Incidents, Window};
