//! The arguments that every program takes.

/// The arguments that every program takes; each can be set in the environment.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The NATS server that the journal is on.
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222", hide_env_values = true)]
    pub nats_url: String,
    /// Tasks of one stage side by side.
    #[arg(long, env = "CUTOVER_SLOTS", default_value_t = 4, value_parser = slots)]
    pub slots: usize,
}

fn slots(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(slots @ 1..=256) => Ok(slots),
        _ => Err("a number from 1 to 256".to_owned()),
    }
}
