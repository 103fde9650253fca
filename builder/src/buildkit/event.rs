//! What a build tells while it runs.

/// Something happened in a build. Steps that don't need each other run, and are told, side by side.
#[derive(Debug, Clone, PartialEq)]
pub enum BuildEvent {
    /// A step began.
    StepStarted {
        /// As BuildKit calls it: `[2/3] RUN make`.
        name: String,
    },
    /// A step ended, well or badly.
    StepFinished {
        /// As BuildKit calls it.
        name: String,
        /// Whether its result was known from an earlier build.
        cached: bool,
        /// How long it ran.
        seconds: f64,
    },
    /// A step printed a line.
    Line {
        /// The step, as BuildKit calls it.
        step: String,
        /// The line, without its end.
        text: String,
    },
}
