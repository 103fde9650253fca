//! What an operator has done to the traffic of a service, as it runs: each ends by itself when its time is over.

use std::sync::Arc;
use std::time::Duration;

use cutover_control::{MaintenanceStatus, PauseStatus};
use tokio::time::Instant;

use super::boot_clock::BootClock;
use super::expiry::Expiry;
use super::gate::{Gate, Terms};
use super::halt::{Maintenance, Pause};
use super::notice::Notice;

/// New requests wait.
#[derive(Debug)]
pub(crate) struct LivePause {
    gate: Arc<Gate>,
    pause: Pause,
    _expiry: Expiry,
}

/// New requests get a page.
#[derive(Debug)]
pub(crate) struct LiveMaintenance {
    notice: Arc<Notice>,
    maintenance: Maintenance,
    _expiry: Option<Expiry>,
}

impl LivePause {
    /// Goes on with the gate of the pause before, where that still holds; none: its time is over.
    pub(crate) fn start(pause: &Pause, before: Option<Self>, clock: &BootClock) -> Option<Self> {
        let left = clock.left(&pause.until);
        if left.is_zero() {
            return None;
        }
        let terms = Terms {
            limit: Duration::from_millis(pause.hold_ms),
            most: usize::try_from(pause.max_waiting).unwrap_or(usize::MAX),
            ends: Instant::now() + left,
        };
        let gate = match before.map(|before| before.gate).filter(|gate| !gate.is_open()) {
            Some(gate) => {
                gate.set_terms(terms);
                gate
            }
            None => Arc::new(Gate::new(terms)),
        };
        let opening = Arc::clone(&gate);
        let expiry = Expiry::after(left, move || opening.open());
        Some(Self { gate, pause: pause.clone(), _expiry: expiry })
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// None: it is over.
    pub(crate) fn status(&self, clock: &BootClock) -> Option<PauseStatus> {
        let left = clock.left(&self.pause.until);
        (!left.is_zero()).then(|| PauseStatus {
            left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            waiting: self.gate.waiting() as u64,
            refused: self.gate.refused(),
        })
    }
}

impl LiveMaintenance {
    /// None: its time is over.
    pub(crate) fn start(maintenance: &Maintenance) -> Option<Self> {
        let notice = Arc::new(Notice::new(maintenance));
        let left = notice.left();
        if left.is_some_and(|left| left.is_zero()) {
            return None;
        }
        let expiry = left.map(|left| {
            let ending = Arc::clone(&notice);
            Expiry::after(left, move || ending.end())
        });
        Some(Self { notice, maintenance: maintenance.clone(), _expiry: expiry })
    }

    pub(crate) fn notice(&self) -> &Arc<Notice> {
        &self.notice
    }

    /// None: it is over.
    pub(crate) fn status(&self) -> Option<MaintenanceStatus> {
        (!self.notice.is_over()).then_some(MaintenanceStatus { until: self.maintenance.until })
    }
}
