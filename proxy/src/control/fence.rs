use std::collections::BTreeMap;

use cutover_control::{Epoch, Refusal, ServiceKey};
use serde::{Deserialize, Serialize};

/// The highest claim that was seen for each service: an older one of the same journal is refused, and so is any of
/// another journal until that is adopted. A service that was never seen accepts any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fences(BTreeMap<ServiceKey, Epoch>);

impl Fences {
    /// Lets a claim pass, and no older one from then on. The same claim may pass again.
    ///
    /// # Errors
    ///
    /// [`Refusal::ForeignJournal`] or [`Refusal::StaleEpoch`].
    pub(crate) fn raise(&mut self, key: &ServiceKey, epoch: &Epoch) -> Result<(), Refusal> {
        match self.0.get(key) {
            Some(highest) if highest.journal != epoch.journal => {
                Err(Refusal::ForeignJournal { journal: highest.journal.clone() })
            }
            Some(highest) if highest.sequence > epoch.sequence => {
                Err(Refusal::StaleEpoch { highest: highest.clone() })
            }
            _ => {
                self.0.insert(key.clone(), epoch.clone());
                Ok(())
            }
        }
    }

    /// Accepts a journal's claims from now on. The fence of a journal that is accepted already stays as it is.
    pub(crate) fn adopt(&mut self, key: &ServiceKey, journal: &str) {
        if self.0.get(key).is_none_or(|highest| highest.journal != journal) {
            self.0.insert(key.clone(), Epoch { journal: journal.to_owned(), sequence: 0 });
        }
    }

    /// Whether an operator's command may pass, which is no claim; one without a journal may.
    ///
    /// # Errors
    ///
    /// [`Refusal::ForeignJournal`].
    pub(crate) fn admit(&self, key: &ServiceKey, journal: Option<&str>) -> Result<(), Refusal> {
        match (self.0.get(key), journal) {
            (Some(highest), Some(journal)) if highest.journal != journal => {
                Err(Refusal::ForeignJournal { journal: highest.journal.clone() })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn highest(&self, key: &ServiceKey) -> Option<&Epoch> {
        self.0.get(key)
    }
}
