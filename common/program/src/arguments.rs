//! The arguments that programs take.

use std::ffi::OsString;

use cutover_bus::{Access, Files, KeyError};

/// The arguments of every program that does stages; each can be set in the environment.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// How the bus is entered.
    #[command(flatten)]
    pub bus: BusArguments,
    /// Tasks of one stage side by side.
    #[arg(long, env = "CUTOVER_SLOTS", default_value_t = 4, value_parser = slots)]
    pub slots: usize,
}

/// The arguments that say how the bus is entered.
#[derive(Clone, Debug, clap::Args)]
pub struct BusArguments {
    /// The NATS server that the journal is on.
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222", hide_env_values = true)]
    pub nats_url: String,
    /// The file with the program's key of the bus, where the bus tells its users apart.
    #[arg(long, env = "CUTOVER_NATS_KEY", value_name = "PATH")]
    pub nats_key: Option<OsString>,
    /// A PEM file with the certificates that the NATS server's is verified by, instead of those that the system trusts.
    #[arg(long, env = "CUTOVER_NATS_CA", value_name = "PATH")]
    pub nats_ca: Option<OsString>,
    /// A PEM file with a certificate for a NATS server that asks for one.
    #[arg(long, env = "CUTOVER_NATS_CERTIFICATE", value_name = "PATH")]
    pub nats_certificate: Option<OsString>,
    /// A PEM file with its key.
    #[arg(long, env = "CUTOVER_NATS_CERTIFICATE_KEY", value_name = "PATH")]
    pub nats_certificate_key: Option<OsString>,
}

impl BusArguments {
    /// How the bus is entered.
    ///
    /// # Errors
    /// A key that can't be read.
    pub fn access(&self) -> Result<Access, KeyError> {
        let files = Files {
            key: self.nats_key.as_deref(),
            roots: self.nats_ca.as_deref(),
            certificate: self.nats_certificate.as_deref(),
            certificate_key: self.nats_certificate_key.as_deref(),
        };
        Access::by(&self.nats_url, files)
    }
}

fn slots(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(slots @ 1..=256) => Ok(slots),
        _ => Err("a number from 1 to 256".to_owned()),
    }
}
