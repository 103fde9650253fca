//! The keys `proxy.healthcheck` and `proxy.ejection`: when a replica that serves is taken out.

use super::error::{Problem, Problems};
use super::raw::{Ejection, HealthCheck};
use super::section::Section;
use super::units::{limit, whole};

/// Reads the section `healthcheck`.
pub(super) fn health_check(mut section: Section<'_>, problems: &mut Problems) -> HealthCheck {
    let check = HealthCheck {
        period: section.value("period", limit, problems),
        timeout: section.value("timeout", limit, problems),
        successes: section.value("successes", whole(1..=100), problems),
        failures: section.value("failures", whole(1..=100), problems),
    };
    section.done(problems);
    check
}

/// Reads the section `ejection`.
pub(super) fn ejection(mut section: Section<'_>, problems: &mut Problems) -> Ejection {
    let ejection = Ejection {
        place: section.place,
        failures: section.value("failures", whole(0..=1000), problems),
        base_time: section.value("base_time", limit, problems),
        max_time: section.value("max_time", limit, problems),
    };
    section.done(problems);
    ejection
}

/// What a destination makes of the section `ejection`, at `path`.
pub(super) fn resolved(
    ejection: &Ejection,
    path: &str,
    destination: &str,
    problems: &mut Problems,
) -> crate::Ejection {
    let usual = crate::Ejection::default();
    let resolved = crate::Ejection {
        failures: ejection.failures.unwrap_or(usual.failures),
        base_time: ejection.base_time.unwrap_or(usual.base_time),
        max_time: ejection.max_time.unwrap_or(usual.max_time),
    };
    let (base, max) = (resolved.base_time, resolved.max_time);
    if base > max {
        let message = format!(
            "the first time would be longer than the longest in destination '{destination}': {base} and {max}"
        );
        let wrong = Problem::new(path, ejection.place, message);
        problems.add(wrong.hint("raise `max_time`, or lower `base_time`"));
    }
    resolved
}
