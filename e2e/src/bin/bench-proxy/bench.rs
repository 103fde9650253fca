//! What all tables stand on.

use crate::options::Options;
use crate::peer::Peer;
use crate::running::Running;
use crate::upstream::Upstream;

pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) upstream: Upstream,
}

impl Bench {
    /// Starts the application, and says what is compared.
    pub(crate) async fn new(options: Options) -> anyhow::Result<Self> {
        for peer in options.contenders() {
            println!("{peer} {}", peer.version(&options.lab).await?);
        }
        let upstream = Upstream::start(&Peer::Nginx.program(&options.lab)).await?;
        Ok(Self { options, upstream })
    }

    /// A proxy of its own for each run, so that none inherits what another run has done to it.
    pub(crate) async fn start(&self, peer: Peer) -> anyhow::Result<Running> {
        Running::start(peer, &peer.program(&self.options.lab), self.upstream.address(0)).await
    }

    /// All proxies in each round, so that what the machine does meanwhile meets all of them.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u32, Peer)> + use<> {
        let (rounds, contenders) = (self.options.rounds(), self.options.contenders());
        (1..=rounds).flat_map(move |round| contenders.clone().into_iter().map(move |peer| (round, peer)))
    }

    /// Tells how far it is.
    pub(crate) fn progress(&self, table: &str, round: u32, peer: Peer) {
        eprintln!("{table}: round {round} of {}, {peer}", self.options.rounds());
    }
}
