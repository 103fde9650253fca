use std::future::Future;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::control::{ControlServer, Store};
use crate::drive::back_end::BackEnd;
use crate::drive::displaced::Displaced;
use crate::drive::driver::Driver;
use crate::drive::nginx::Nginx;
use crate::drive::options::{DriveOptions, Driven};
use crate::drive::traefik::Traefik;
use crate::error::Error;

/// Drives another proxy, with the routes and fences that it had when it last ran.
#[derive(Debug)]
pub struct DriveServer(Driving);

#[derive(Debug)]
enum Driving {
    Nginx(Served<Nginx>),
    Traefik(Served<Traefik>),
}

#[derive(Debug)]
struct Served<B> {
    driver: Arc<Driver<B>>,
    control: ControlServer<Arc<Driver<B>>>,
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
            Driving::Nginx(served) => served.run(stop).await,
            Driving::Traefik(served) => served.run(stop).await,
        }
    }
}

async fn drive<B: BackEnd + Sync>(options: &DriveOptions, back_end: B) -> Result<Served<B>, Error> {
    let control = ControlServer::bind(&options.control, options.control_gid).await?;
    let (store, ledger) = Store::open(&options.state)?;
    let displaced = Displaced::open(&options.state)?;
    let driver = Arc::new(Driver::start(store, ledger, displaced, back_end).await);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "driving {}", B::NAME);
    Ok(Served { control: control.with(Arc::clone(&driver)), driver })
}

impl<B: BackEnd + Sync> Served<B> {
    async fn run(self, stop: impl Future<Output = ()>) {
        let closing = CancellationToken::new();
        let answering = self.control.run(closing.clone());
        let driver = self.driver;
        let going = async {
            tokio::select! {
                () = answering => {}
                never = driver.end_canaries() => match never {},
            }
        };
        tokio::pin!(going);
        tokio::select! {
            () = &mut going => {}
            () = stop => {
                closing.cancel();
                going.await;
            }
        }
    }
}
