//! What a replica is asked before it gets traffic, one after the other.

use cutover_core::{InferenceSpec, ProbeSpec, Settings};

/// What a replica is asked before it gets traffic.
#[derive(Clone, Copy, Debug)]
pub struct Questions<'a> {
    /// What must be answered before anything else is asked.
    pub startup: Option<&'a ProbeSpec>,
    /// Whether it is ready.
    pub readiness: &'a ProbeSpec,
    /// What its model must answer.
    pub inference: Option<&'a InferenceSpec>,
    /// What it must go on answering, once it has started.
    pub liveness: Option<&'a ProbeSpec>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    Startup(&'a ProbeSpec),
    Readiness(&'a ProbeSpec),
    Inference(&'a InferenceSpec),
}

impl<'a> Questions<'a> {
    /// What a release says.
    pub fn of(settings: &'a Settings) -> Self {
        let probes = &settings.probes;
        Self {
            startup: probes.startup.as_deref(),
            readiness: &settings.readiness,
            inference: probes.inference.as_deref(),
            liveness: probes.liveness.as_deref(),
        }
    }

    pub(crate) fn first(&self) -> Asked<'a> {
        self.startup.map_or(Asked::Readiness(self.readiness), Asked::Startup)
    }

    /// What comes after it; none: nothing.
    pub(crate) fn after(&self, asked: Asked<'a>) -> Option<Asked<'a>> {
        match asked {
            Asked::Startup(_) => Some(Asked::Readiness(self.readiness)),
            Asked::Readiness(_) => self.inference.map(Asked::Inference),
            Asked::Inference(_) => None,
        }
    }
}

impl Asked<'_> {
    /// Its key in the deploy file.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Startup(_) => "startup_probe",
            Self::Readiness(_) => "readiness_probe",
            Self::Inference(_) => "inference_probe",
        }
    }

    /// The question, and what must come of it. `port` is the service's own.
    pub(crate) fn words(self, port: u16) -> String {
        match self {
            Self::Startup(spec) | Self::Readiness(spec) => {
                format!("{} {}", spec.check.question(port), spec.check.wanted())
            }
            Self::Inference(spec) => {
                let check = cutover_core::Check::Http(spec.request.clone().into());
                format!("{} {}", check.question(port), check.wanted())
            }
        }
    }
}
