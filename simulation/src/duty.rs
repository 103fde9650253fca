//! Standing work: somebody looks again at what the service owes, at the time that was asked for, and now and then in any
//! case. Who does so has nothing in hand that could get lost: it carries out what follows from the log, as everybody does.

use std::time::Duration;

use cutover_core::{Lease, LeaseTerms, Timestamp};

use crate::flaw::Flaw;
use crate::process::{Connection, Lost};
use crate::tally::Happening;

/// Longer than in `cutover-bus`, as days are to be short: whoever holds the lease may still be stopped for longer than that.
const TERMS: LeaseTerms = LeaseTerms {
    lasts: Duration::from_secs(45),
    renewed_every: Duration::from_secs(15),
    margin: Duration::from_secs(9),
};

/// Carries out what follows from the state of the service now and then, as long as the process has the lease for it. One
/// that is stopped in between goes on although another has the lease by then: that does no harm.
pub(crate) async fn sweep(bus: Connection) {
    let began = bus.world.now();
    let mut lease = Lease::new(bus.process.name.clone(), TERMS);
    loop {
        // What fails is tried again.
        let looked = look(&bus, &mut lease, began).await;
        if looked.is_ok() && lease.epoch(bus.world.now().since(began)).is_some() {
            bus.world.count(Happening::Swept);
            let _ = carry_out(&bus, bus.now()).await;
        }
        bus.world.sleep(TERMS.renewed_every).await;
    }
}

/// Looks at the lease, renews it if it is held, and takes it if it is free or its holder is gone.
async fn look(bus: &Connection, lease: &mut Lease, began: Timestamp) -> Result<(), Lost> {
    let at = || bus.world.now().since(began);
    let last = bus.lease().await?;
    lease.see(last, if bus.world.has(Flaw::LeaseTakenAtOnce) { Duration::ZERO } else { at() });
    let sent = at();
    let step = lease.step(sent);
    let Some((expected, record)) = lease.record(step) else { return Ok(()) };
    match bus.write_lease(expected, record).await? {
        Some(sequence) => {
            lease.stored(step, sequence, sent);
            // Unless the answer has come so late that it is over by now.
            if lease.epoch(at()).is_some() {
                let held_until = began.after(sent + TERMS.lasts - TERMS.margin);
                let mut watch = bus.world.watch.borrow_mut();
                bus.world.hold(watch.sweeps(&bus.process.name, bus.world.now(), held_until));
            }
        }
        None => lease.refused(),
    }
    Ok(())
}

/// Carries out what follows from the state of the service whenever a time has come that somebody had asked for.
pub(crate) async fn timer(bus: Connection) {
    loop {
        let time = bus.world.timer().await;
        bus.world.count(Happening::Woken);
        bus.say(|| "is woken".to_owned());
        bus.process.scheduled.take();
        // It has come by the server's clock, whatever this machine's says. What fails is left to the sweep.
        let _ = carry_out(&bus, bus.now().max(time)).await;
    }
}

async fn carry_out(bus: &Connection, now: Timestamp) -> Result<(), Lost> {
    let log = bus.read().await?;
    bus.carry_out(&log, now).await
}
