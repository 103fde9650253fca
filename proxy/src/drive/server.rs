use std::future::Future;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::control_server::{Callee, ControlServer};
use crate::drive::back_end::BackEnd;
use crate::drive::displaced::Displaced;
use crate::drive::driver::Driver;
use crate::drive::nginx::Nginx;
use crate::drive::options::{DriveOptions, Driven};
use crate::drive::traefik::Traefik;
use crate::error::Error;
use crate::store::Store;

/// Drives another proxy, with the routes and fences that it had when it last ran.
#[derive(Debug)]
pub struct DriveServer(Driving);

#[derive(Debug)]
enum Driving {
    Nginx(ControlServer<Arc<Driver<Nginx>>>),
    Traefik(ControlServer<Arc<Driver<Traefik>>>),
}

impl DriveServer {
    /// Reads the state, has the other proxy do what it says, and takes the control socket.
    ///
    /// # Errors
    ///
    /// When a socket can't be had, another proxy has it, or the state can't be read. Another proxy that isn't there is none:
    /// every call is refused until it is.
    pub async fn bind(driven: &Driven) -> Result<Self, Error> {
        Ok(Self(match driven {
            Driven::Nginx(options) => {
                Driving::Nginx(drive(&options.drive, Nginx::new(options).await?).await?)
            }
            Driven::Traefik(options) => Driving::Traefik(drive(&options.drive, Traefik::new(options)).await?),
        }))
    }

    /// Answers calls until `stop`; one that has begun is answered. The other proxy goes on as it is.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        match self.0 {
            Driving::Nginx(control) => run(control, stop).await,
            Driving::Traefik(control) => run(control, stop).await,
        }
    }
}

async fn drive<B: BackEnd + Sync>(
    options: &DriveOptions,
    back_end: B,
) -> Result<ControlServer<Arc<Driver<B>>>, Error> {
    let control = ControlServer::bind(&options.control, options.control_gid).await?;
    let (store, ledger) = Store::open(&options.state)?;
    let displaced = Displaced::open(&options.state)?;
    let driver = Driver::start(store, ledger, displaced, back_end).await;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "driving {}", B::NAME);
    Ok(control.with(Arc::new(driver)))
}

async fn run<C: Callee>(control: ControlServer<Arc<C>>, stop: impl Future<Output = ()>) {
    let closing = CancellationToken::new();
    let answering = control.run(closing.clone());
    tokio::pin!(answering);
    tokio::select! {
        () = &mut answering => {}
        () = stop => {
            closing.cancel();
            answering.await;
        }
    }
}
