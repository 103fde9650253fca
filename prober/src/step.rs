//! What a task is doing, told while it does it.

use tokio::sync::watch;

/// What a task is doing, in words. What is said is kept until something else is said; whoever listens may be slow.
#[derive(Debug, Default)]
pub struct Step(watch::Sender<String>);

impl Step {
    /// Says what is being done now.
    pub fn say(&self, text: String) {
        self.0.send_if_modified(|said| {
            let news = *said != text;
            *said = text;
            news
        });
    }

    /// Listens to what is said from now on.
    pub fn listen(&self) -> watch::Receiver<String> {
        self.0.subscribe()
    }
}
