//! Hosts of its own for each way, and what is brought onto them.

use std::time::Instant;

use anyhow::ensure;
use cutover_e2e::{Host, Link};

use crate::application::Application;
use crate::sent::{Case, Sent};
use crate::way::{Laid, Way};

/// One host: the first time, a small change, and nothing new.
pub(crate) async fn one_host(way: Way, round: u32, rate: Option<&str>) -> anyhow::Result<Vec<Sent>> {
    let mut application = Application::new()?;
    let hosts = up(way, &format!("r{round}"), 1, rate)?;
    let mut laid = way.lay(&hosts).await?;
    let first = application.next()?;
    let changed = application.next()?;
    Ok(vec![
        send(way, Case::First, &mut laid, &first, &hosts).await?,
        send(way, Case::Changed, &mut laid, &changed, &hosts).await?,
        send(way, Case::Unchanged, &mut laid, &changed, &hosts).await?,
    ])
}

/// Several hosts at once, the first time.
pub(crate) async fn fleet(way: Way, count: u32, rate: Option<&str>) -> anyhow::Result<Sent> {
    let mut application = Application::new()?;
    let hosts = up(way, "fleet", count, rate)?;
    let mut laid = way.lay(&hosts).await?;
    let image = application.next()?;
    send(way, Case::Fleet, &mut laid, &image, &hosts).await
}

fn up(way: Way, scene: &str, count: u32, rate: Option<&str>) -> anyhow::Result<Vec<Host>> {
    let way = match way {
        Way::Save => "save",
        Way::Registry => "registry",
        Way::Ours => "ours",
    };
    let hosts: Vec<Host> = (1..=count)
        .map(|number| Host::up(&format!("ship-{way}-{scene}-{number}")))
        .collect::<anyhow::Result<_>>()?;
    if let Some(rate) = rate {
        hosts.iter().try_for_each(|host| Link::of(host)?.limit(rate))?;
    }
    Ok(hosts)
}

async fn send(way: Way, case: Case, laid: &mut Laid, image: &str, hosts: &[Host]) -> anyhow::Result<Sent> {
    let links: Vec<Link> = hosts.iter().map(Link::of).collect::<anyhow::Result<_>>()?;
    let carried = || links.iter().map(Link::carried).sum::<anyhow::Result<u64>>();
    let begun = Instant::now();
    laid.take_out(image).await?;
    let (out, before, begun) = (begun.elapsed(), carried()?, Instant::now());
    laid.send(image, hosts).await?;
    let (onto, wire) = (begun.elapsed(), carried()? - before);
    for host in hosts {
        let layers = host.exec(&["sh", "-c", "docker images --quiet --no-trunc | head -n 1 | xargs docker inspect --format '{{len .RootFS.Layers}}'"])?;
        ensure!(layers.trim() == "4", "{} doesn't have the image: {layers}", host.address);
    }
    let sent = Sent { way, case, out, onto, wire };
    eprintln!("{}", sent.line());
    Ok(sent)
}
