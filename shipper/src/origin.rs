//! Where images are sent from.

use std::sync::Arc;

use cutover_registry::Pace;
use cutover_secrets::Stores;
use cutover_store::Store;
use tokio::sync::Mutex;

/// The artifact store, and how images are sent from it. Cheap to clone; clones share the pace.
#[derive(Debug, Clone)]
pub struct Origin {
    pub(crate) store: Store,
    pub(crate) pace: Pace,
    /// What the password of a registry is found by.
    pub(crate) stores: Stores,
    /// Held while an image is put into a registry: of the hosts that need it, one sends it, and the others find it there.
    pub(crate) publishing: Arc<Mutex<()>>,
}

impl Origin {
    /// Sends what is in `store`, no faster than at `pace` to all hosts and registries together; registries are entered by what
    /// `stores` have.
    pub fn new(store: Store, pace: Pace, stores: Stores) -> Self {
        Self { store, pace, stores, publishing: Arc::default() }
    }
}
