//! The ways of an image onto a host.

use cutover_e2e::Host;

use crate::ours::Ours;
use crate::registry::Registry;
use crate::save;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `docker save | zstd | ssh | docker load`.
    Save,
    /// A registry on this machine, pushed to, and pulled from through an SSH tunnel.
    Registry,
    /// Cutover's builder and shipper.
    Ours,
}

/// A way that is laid.
pub(crate) enum Laid {
    Save,
    Registry(Registry),
    Ours(Box<Ours>),
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Save, Self::Registry, Self::Ours];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Save => "docker save | zstd | ssh | docker load",
            Self::Registry => "registry over an SSH tunnel",
            Self::Ours => "Cutover",
        }
    }

    /// Lays it to these hosts; connections that a control plane keeps open are open then.
    pub(crate) async fn lay(self, hosts: &[Host]) -> anyhow::Result<Laid> {
        Ok(match self {
            Self::Save => Laid::Save,
            Self::Registry => Laid::Registry(Registry::start().await?),
            Self::Ours => Laid::Ours(Box::new(Ours::new(hosts).await?)),
        })
    }
}

impl Laid {
    /// Takes the image out of this machine's Docker Engine, as far as that is a step of its own.
    pub(crate) async fn take_out(&mut self, image: &str) -> anyhow::Result<()> {
        match self {
            Self::Save => Ok(()),
            Self::Registry(registry) => registry.push(image),
            Self::Ours(ours) => ours.export(image).await,
        }
    }

    /// Brings it onto all hosts, at once.
    pub(crate) async fn send(&self, image: &str, hosts: &[Host]) -> anyhow::Result<()> {
        match self {
            Self::Save => save::send(image, hosts),
            Self::Registry(registry) => registry.pull(image, hosts),
            Self::Ours(ours) => ours.ship().await,
        }
    }
}
