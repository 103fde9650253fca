//! The stages of a deployment, the program that each belongs to, and the order of the pipeline.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One step of a deployment. The declaration order is the order of the pipeline; the last two take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// An image from a build context, or an image that exists, into the artifact store.
    Build,
    /// What the host lacks of the image, and nothing else.
    Ship,
    /// The schema changes that the old version tolerates.
    Expand,
    /// Rows brought over to the new structure: before the switch where the new version reads them, else owed once the old one
    /// is gone.
    Backfill,
    /// New replicas beside the old ones.
    Boot,
    /// Are the new replicas ready, seen from inside the host's network?
    Probe,
    /// A share of the traffic to the new replicas, step by step, where the release says so.
    Canary,
    /// Traffic to the new replicas.
    Switch,
    /// Errors and liveness of the new version under real traffic, for a declared time.
    Soak,
    /// The old replicas stop once drained, or stay warm; images beyond the retained releases go.
    Retire,
    /// The old replicas that were kept warm stop. No stage of a deployment: it is owed once that has ended.
    Cool,
    /// The schema changes that only the new version tolerates. No stage of a deployment: they are owed once that has ended, and
    /// done when nothing needs the old structure.
    Contract,
    /// Takes back a switch: the old replicas get the traffic, and the fence goes up.
    Restore,
    /// Takes back a boot: the new replicas are removed.
    Discard,
}

/// A program that does stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// Builds images.
    Builder,
    /// Ships, boots, retires and discards.
    Shipper,
    /// Probes and watches.
    Prober,
    /// Moves traffic.
    Switcher,
    /// Changes schemas.
    Migrator,
}

/// A name that is no stage's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a stage: one of build, ship, expand, backfill, boot, probe, canary, switch, soak, retire"
)]
pub struct UnknownStage(String);

impl Stage {
    /// Whether whoever does it mostly watches how something goes.
    pub const fn is_watch(self) -> bool {
        matches!(self, Self::Canary | Self::Soak)
    }

    /// Every stage.
    pub const ALL: [Self; 14] = [
        Self::Build,
        Self::Ship,
        Self::Expand,
        Self::Backfill,
        Self::Boot,
        Self::Probe,
        Self::Canary,
        Self::Switch,
        Self::Soak,
        Self::Retire,
        Self::Cool,
        Self::Contract,
        Self::Restore,
        Self::Discard,
    ];

    /// The only program that does this stage.
    pub const fn program(self) -> Program {
        match self {
            Self::Build => Program::Builder,
            Self::Ship | Self::Boot | Self::Retire | Self::Cool | Self::Discard => Program::Shipper,
            Self::Expand | Self::Backfill | Self::Contract => Program::Migrator,
            Self::Probe | Self::Soak => Program::Prober,
            Self::Canary | Self::Switch | Self::Restore => Program::Switcher,
        }
    }

    /// Whether there is one task for each host, or one task in all.
    pub const fn per_host(self) -> bool {
        !matches!(
            self,
            Self::Build | Self::Expand | Self::Backfill | Self::Canary | Self::Soak | Self::Contract
        )
    }

    /// Whether the stage takes something back.
    pub const fn takes_back(self) -> bool {
        matches!(self, Self::Restore | Self::Discard)
    }

    /// Whether it is a step of the way forward that a plan may have.
    pub const fn is_planned(self) -> bool {
        !matches!(self, Self::Cool | Self::Contract) && !self.takes_back()
    }

    /// Whether what the stage made is still there, and of use, when a deployment is replayed after it was taken back.
    pub const fn output_is_kept(self) -> bool {
        matches!(self, Self::Build | Self::Ship | Self::Expand)
    }

    /// How many claims a task of this stage may have in one round, crashes of workers included. What takes back tries
    /// longer: giving up there leaves a host that owes something. A canary may hold for days, in which programs are replaced
    /// more than once.
    pub const fn attempts(self) -> u32 {
        match self {
            Self::Canary => 100,
            _ if self.takes_back() => 6,
            _ => 4,
        }
    }

    /// The name in subjects and in front of people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Ship => "ship",
            Self::Expand => "expand",
            Self::Backfill => "backfill",
            Self::Boot => "boot",
            Self::Probe => "probe",
            Self::Canary => "canary",
            Self::Switch => "switch",
            Self::Soak => "soak",
            Self::Retire => "retire",
            Self::Cool => "cool",
            Self::Contract => "contract",
            Self::Restore => "restore",
            Self::Discard => "discard",
        }
    }
}

impl Program {
    /// Every program, in the order of the pipeline.
    pub const ALL: [Self; 5] = [Self::Builder, Self::Shipper, Self::Migrator, Self::Prober, Self::Switcher];

    /// The program's name in front of people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Builder => "builder",
            Self::Shipper => "shipper",
            Self::Prober => "prober",
            Self::Switcher => "switcher",
            Self::Migrator => "migrator",
        }
    }

    /// The name of its binary, and of its service on the bus.
    pub fn binary(self) -> String {
        format!("cutover-{}", self.as_str())
    }

    /// The stages that it does.
    pub fn stages(self) -> impl Iterator<Item = Stage> {
        Stage::ALL.into_iter().filter(move |stage| stage.program() == self)
    }
}

impl FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(text: &str) -> Result<Self, UnknownStage> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.as_str() == text)
            .ok_or_else(|| UnknownStage(text.to_owned()))
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
