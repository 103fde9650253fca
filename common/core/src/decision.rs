//! Decisions: what must be decided once for a service, in one order, on one subject.

use serde::{Deserialize, Serialize};

use crate::{DeploymentId, HostName, Plan};

/// A decision on a service at a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// A deployment begins.
    Accepted(Box<Plan>),
    /// The running deployment is to be taken back.
    Aborted {
        /// Which.
        deployment: DeploymentId,
        /// Who asked for it.
        by: String,
    },
    /// A deployment that ended without its release being live goes on from where it failed.
    Replayed {
        /// Which.
        deployment: DeploymentId,
        /// Who asked for it.
        by: String,
        /// The stage from which on nothing that was done counts; none: from the first whose output is gone.
        from: Option<crate::Stage>,
    },
    /// The contract that a deployment owes may begin at once, whatever is kept for rollback.
    Approved {
        /// Which deployment.
        deployment: DeploymentId,
        /// Who has approved it.
        by: String,
    },
    /// The canary of the running deployment needn't hold any longer.
    Promoted {
        /// Which deployment.
        deployment: DeploymentId,
        /// Who has decided it.
        by: String,
        /// The step that ends, from 0; none: all of them.
        step: Option<u32>,
    },
    /// What a host owes is forgotten: it is gone for good, or was put right by hand.
    Forgiven {
        /// The deployment that was the last one when this was decided.
        deployment: DeploymentId,
        /// The host.
        host: HostName,
        /// Who asked for it.
        by: String,
    },
}

impl Decision {
    /// The deployment that it is about.
    pub const fn deployment(&self) -> &DeploymentId {
        match self {
            Self::Accepted(plan) => &plan.deployment,
            Self::Aborted { deployment, .. }
            | Self::Replayed { deployment, .. }
            | Self::Approved { deployment, .. }
            | Self::Promoted { deployment, .. }
            | Self::Forgiven { deployment, .. } => deployment,
        }
    }
}
