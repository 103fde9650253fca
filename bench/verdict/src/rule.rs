use cutover_verdict::{Counts, Terms, Trial, Window};

/// Something that watches a canary and may say that it has to go.
pub(crate) trait Rule {
    /// What was counted over some seconds before the canary got anything.
    fn before(&mut self, _window: &Window) {}

    /// What was counted over the next seconds. Whether the canary has to go.
    fn window(&mut self, _window: &Window) -> bool {
        false
    }

    /// What was counted over the last minute. Whether the canary has to go.
    fn minute(&mut self, _new: &Counts, _old: &Counts) -> bool {
        false
    }
}

/// Cutover's verdict.
pub(crate) struct Ours(Trial);

impl Ours {
    pub(crate) fn new(terms: Terms) -> Self {
        Self(Trial::new(terms))
    }
}

impl Rule for Ours {
    fn before(&mut self, window: &Window) {
        self.0.observe(window);
    }

    fn window(&mut self, window: &Window) -> bool {
        self.0.observe(window);
        self.0.has_failed()
    }
}
