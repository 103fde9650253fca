//! How the application behaves, from its environment.

use std::env::{self, VarError};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// All settings; README.md says what each is for.
pub(crate) struct Settings {
    pub(crate) port: u16,
    pub(crate) second_port: Option<u16>,
    pub(crate) version: String,
    pub(crate) start_delay: Duration,
    /// When `/up` turns green, counted from the start; `None` is never.
    pub(crate) ready_after: Option<Duration>,
    /// The share of the answers of `/` that are 500, from 0 to 1.
    pub(crate) fail_rate: f64,
    pub(crate) fail_after: Duration,
    /// How long the delayed answers of `/` take.
    pub(crate) delay: Duration,
    /// The share of the answers of `/` that are delayed, from 0 to 1.
    pub(crate) delay_rate: f64,
    pub(crate) crash: Option<Crash>,
    /// When `/alive` turns red, counted from the start; `None` is never.
    pub(crate) dead_after: Option<Duration>,
    /// When `/embed` begins to answer, counted from the start.
    pub(crate) model_after: Duration,
    /// How many numbers an embedding has.
    pub(crate) model_dimensions: u64,
    /// The server of a model that `/` and `/up` ask too, as `host:port`.
    pub(crate) model_server: Option<String>,
    pub(crate) hoard: Option<Hoard>,
}

/// Memory that is taken and never given back.
#[derive(Clone, Copy)]
pub(crate) struct Hoard {
    pub(crate) mebibytes: usize,
    pub(crate) after: Duration,
}

/// An exit that nobody asked for.
#[derive(Clone, Copy)]
pub(crate) struct Crash {
    pub(crate) code: u8,
    pub(crate) after: Duration,
}

impl Settings {
    pub(crate) fn from_env() -> Result<Self> {
        Ok(Self {
            port: parsed("PORT")?.unwrap_or(3000),
            second_port: parsed("SECOND_PORT")?,
            version: text("VERSION")?.unwrap_or_else(|| "unknown".to_owned()),
            start_delay: duration("START_DELAY")?.unwrap_or_default(),
            ready_after: match text("READY")?.as_deref() {
                None => Some(duration("READY_AFTER")?.unwrap_or_default()),
                Some("never") => None,
                Some(other) => bail!("READY is {other}; the only value is `never`"),
            },
            fail_rate: share("FAIL_RATE", 0.0)?,
            fail_after: duration("FAIL_AFTER")?.unwrap_or_default(),
            delay: duration("DELAY")?.unwrap_or_default(),
            delay_rate: share("DELAY_RATE", 1.0)?,
            dead_after: duration("DEAD_AFTER")?,
            model_after: duration("MODEL_AFTER")?.unwrap_or_default(),
            model_dimensions: parsed("MODEL_DIMENSIONS")?.unwrap_or(384),
            model_server: text("MODEL_SERVER")?,
            hoard: parsed("HOARD")?
                .map(|mebibytes| {
                    anyhow::Ok(Hoard { mebibytes, after: duration("HOARD_AFTER")?.unwrap_or_default() })
                })
                .transpose()?,
            crash: match (parsed("CRASH")?, duration("CRASH_AFTER")?) {
                (None, None) => None,
                (code, after) => Some(Crash { code: code.unwrap_or(1), after: after.unwrap_or_default() }),
            },
        })
    }
}

fn text(name: &str) -> Result<Option<String>> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{name} can't be read")),
    }
}

fn parsed<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(name: &str) -> Result<Option<T>> {
    let Some(value) = text(name)? else { return Ok(None) };
    value.parse().map(Some).with_context(|| format!("{name} is {value}, which it can't be"))
}

fn share(name: &str, default: f64) -> Result<f64> {
    let share = parsed(name)?.unwrap_or(default);
    ensure!((0.0..=1.0).contains(&share), "{name} is {share}; it must lie between 0 and 1");
    Ok(share)
}

fn duration(name: &str) -> Result<Option<Duration>> {
    let value: Option<humantime::Duration> = parsed(name)?;
    Ok(value.map(Into::into))
}
