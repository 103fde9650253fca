use std::fmt;
use std::str::FromStr;

/// Where a proxy speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Https {
    /// On a port.
    Port(u16),
    /// Nowhere, as somebody has said.
    Nowhere,
}

/// [`Https::Nowhere`] in words.
const NOWHERE: &str = "none";

impl Https {
    /// Unless it is said otherwise.
    pub(super) const USUAL: Self = Self::Port(443);

    pub(super) const fn port(self) -> Option<u16> {
        match self {
            Self::Port(port) => Some(port),
            Self::Nowhere => None,
        }
    }
}

impl fmt::Display for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => port.fmt(f),
            Self::Nowhere => NOWHERE.fmt(f),
        }
    }
}

impl FromStr for Https {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(port) if port > 0 => Ok(Self::Port(port)),
            _ if text == NOWHERE => Ok(Self::Nowhere),
            _ => Err(format!("expected a port, or {NOWHERE}")),
        }
    }
}
