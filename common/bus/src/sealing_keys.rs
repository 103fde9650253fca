//! To whom values are sealed: the programs' keys of the bus.

use std::collections::BTreeMap;

use cutover_core::BusUser;

use crate::{Bus, Error};

impl Bus {
    /// The public keys in force, as the bus itself has them; none where it doesn't tell its users apart.
    ///
    /// # Errors
    /// A server that doesn't answer.
    pub async fn keys_in_force(&self) -> Result<BTreeMap<BusUser, String>, Error> {
        let (_, roster) = self.identity("looking up whom values are sealed to").await?;
        Ok(roster.keys())
    }
}
