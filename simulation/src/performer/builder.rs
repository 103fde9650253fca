//! Builder: what it makes is kept, also when the deployment is taken back.

use cutover_core::{Digest, Failure, Output};

use super::Hand;
use crate::invariant;

pub(super) async fn build(hand: &Hand<'_>) -> Result<Output, Failure> {
    let world = &hand.bus.world;
    let image = Digest::of(hand.plan().release.version.as_bytes());
    let slow = world.draw(|chance, _| if chance.one_in(10) { 20_000 } else { 1_000 });
    hand.take_time(50, slow).await;
    world.hold(invariant::an_effect_has_a_claim(&world.watch.borrow(), hand.assignment));
    world.store.borrow_mut().insert(image.clone());
    Ok(Output::Built {
        image,
        bytes: 1,
        commit: None,
        provenance: None,
        sidecars: cutover_core::SidecarImages::new(),
    })
}
