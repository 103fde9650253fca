//! `cutover serve`: carries requests for deployments out, each service by itself.

use std::collections::BTreeMap;
use std::rc::Rc;

use cutover_core::ServiceKey;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use crate::args::{Global, Serve};
use crate::console::Console;
use crate::exit::Exit;
use crate::follow::Interrupt;
use crate::serve::{Desk, Repositories};
use crate::session::Session;

pub(super) async fn run(options: &Global, args: &Serve, console: Console) -> anyhow::Result<Exit> {
    let repositories = Repositories::read(&args.repositories)?;
    let mut interrupt = Interrupt::catch()?;
    let session = Session::open(options, console).await?;
    // A journal of an earlier version has no stream of requests.
    session.bus.set_up(session.bus.suitable_copies()).await?;
    let (mut requests, stop) = (session.journal.requests(), CancellationToken::new());
    let desk = Rc::new(Desk { session, repositories, options: options.clone(), console });
    console.note("requests are carried out");
    let told = stop.clone();
    let work = Box::pin(async move {
        let mut services: BTreeMap<ServiceKey, mpsc::UnboundedSender<_>> = BTreeMap::new();
        while let Some(taken) = requests.next(&stop).await? {
            let key = taken.request.key.clone();
            let service = services.entry(key.clone()).or_insert_with(|| {
                let (sender, coming) = mpsc::unbounded_channel();
                tokio::task::spawn_local(Rc::clone(&desk).attend(key, coming));
                sender
            });
            // It ends with this.
            let _ = service.send(taken);
        }
        Ok::<_, anyhow::Error>(Exit::Ok)
    });
    let local = LocalSet::new();
    local
        .run_until(async {
            tokio::select! {
                done = work => done,
                // What isn't answered comes again.
                _ = interrupt.signal() => {
                    told.cancel();
                    Ok(Exit::Ok)
                }
            }
        })
        .await
}
