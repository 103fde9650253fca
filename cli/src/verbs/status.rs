//! `cutover status`: what is live, and how the running or last deployment stands.

use cutover_bus::ServiceLog;
use cutover_core::{
    CertificateNote, Deployment, DeploymentId, Duty, KeptRelease, Outcome, ReleaseId, Restarted, Service,
    ServiceKey, Timestamp, WatchNote,
};
use cutover_fleet::SidecarMember;
use serde::Serialize;

use crate::args::{Global, Status};
use crate::clock;
use crate::console::Console;
use crate::exit::Exit;
use crate::follow::{Interrupt, follow};
use crate::project;
use crate::session::Session;
use crate::tree::{Look, Tree, printable, render};

/// A service, as `--json` has it.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    key: &'a ServiceKey,
    live: Option<Live<'a>>,
    deployment: Option<&'a Deployment>,
    outcome: Option<Outcome>,
    /// Where it is ordered, or was.
    certificate: Option<CertificateNote>,
    /// Live replicas and sidecars that did not live, and were started anew.
    restarts: Vec<Restarted>,
}

#[derive(Serialize)]
struct Live<'a> {
    release: &'a ReleaseId,
    version: &'a str,
    since: Timestamp,
    deployment: &'a DeploymentId,
}

pub(super) async fn run(options: &Global, args: &Status, console: Console) -> anyhow::Result<Exit> {
    let keys = project::keys(options)?;
    let session = Session::look(options, console).await?;
    let keys = match keys {
        Some(keys) => keys,
        None => session.journal.services().await?,
    };
    let mut logs = Vec::new();
    for key in &keys {
        logs.push(session.journal.service(key).await?);
    }
    if args.watch
        && let Some(index) = logs.iter().position(|log| log.service().running().is_some())
    {
        let log = logs.swap_remove(index);
        let running = log.service().running().map(|running| running.id().clone());
        if let Some(deployment) = running {
            let followed = follow(&session, log, &deployment, console, Interrupt::catch()?).await?;
            return Ok(followed.into());
        }
    }
    for log in &logs {
        show(&session, log, console).await?;
    }
    if logs.is_empty() {
        console.note("nothing has been deployed yet");
    }
    Ok(Exit::Ok)
}

async fn show(session: &Session, log: &ServiceLog, console: Console) -> anyhow::Result<()> {
    let (key, service) = (log.key(), log.service());
    let certificate = if orders_certificate(service) {
        let note: Option<CertificateNote> = session.journal.note(Duty::Certificates, key).await?;
        Some(note.unwrap_or_default())
    } else {
        None
    };
    let restarts = restarts(key, service, session.journal.note(Duty::Watch, key).await?.unwrap_or_default());
    if console.json {
        let outcome = service.current.as_ref().and_then(Deployment::outcome);
        let (live, deployment) = (service.live().map(live), service.current.as_ref());
        let report = Report { key, live, deployment, outcome, certificate, restarts };
        return Ok(console.object(&report)?);
    }
    let missing = match service.running() {
        Some(running) => {
            let programs = crate::planning::programs(&running.plan);
            session.absent(&programs, running.plan.protocol).await?
        }
        None => Vec::new(),
    };
    let (width, _) = console.size();
    let look = Look { width, colour: console.colour, frame: 0 };
    match Tree::of(service, clock::now(), &missing) {
        Some(tree) => {
            for line in render(&tree, &look) {
                console.line(line)?;
            }
            console.line("")?;
        }
        None => console.line(format_args!("{} → {}", key.service, key.destination))?,
    }
    match service.live() {
        Some(live) => {
            let ago = clock::duration(clock::now().since(live.since));
            let (version, since) = (&live.release.version, clock::date_and_time(live.since));
            console
                .line(format_args!("serving: {version} (release {}) since {since}, for {ago}", live.id))?;
        }
        None => console.line("serving: nothing yet")?,
    }
    for (kept, until) in service.kept.iter().filter_map(|kept| Some((kept, service.warm_until(kept)?))) {
        let (version, until) = (&kept.release.version, clock::date_and_time(until));
        console.line(format_args!("warm: {version} (release {}) until {until}", kept.id))?;
    }
    for line in certificate.iter().flat_map(|note| certified(note, clock::now())) {
        console.line(line)?;
    }
    for restarted in &restarts {
        console.line(started_anew(restarted, clock::now()))?;
    }
    let debts = service.debts().filter(|owed| !owed.gives_way()).count();
    let migrating = service.obligations.iter().filter(|owed| owed.gives_way()).count();
    if migrating > 0 {
        console.line("migrations: not all is done (cutover migrations says what, and what it waits for)")?;
    }
    if debts > 0 {
        console.line(format_args!("owed: {debts} (cutover hosts says what, and by which host)"))?;
    }
    Ok(())
}

/// Whether a certificate is ordered for what is live, or for the deployment that runs.
fn orders_certificate(service: &Service) -> bool {
    let running = service.running().map(|running| &running.plan.release);
    let live = service.live().map(|live| &live.release);
    let mut tls = live.into_iter().chain(running).filter_map(|release| release.settings.proxy.tls.as_ref());
    tls.any(|tls| tls.acme().is_some())
}

/// What is noted of the replicas that are live.
fn restarts(key: &ServiceKey, service: &Service, note: WatchNote) -> Vec<Restarted> {
    let Some(live) = service.live() else { return Vec::new() };
    let Some(set) = live.replicas.as_ref() else { return Vec::new() };
    let sidecars = SidecarMember::of(key, &live.release.settings, &set.booted_by, &live.sidecar_images);
    let is_live = |restarted: &Restarted| {
        let mut here = set.hosts.get(&restarted.host).into_iter().flatten();
        here.any(|replica| replica.name == restarted.replica)
            || sidecars.iter().any(|sidecar| sidecar.name == restarted.replica)
    };
    note.restarts.into_iter().filter(is_live).collect()
}

/// A replica that was started anew, in a line.
fn started_anew(restarted: &Restarted, now: Timestamp) -> String {
    let Restarted { host, replica, times, at, said, .. } = restarted;
    let ago = clock::duration(now.since(*at));
    let often = if *times == 1 { format!("{ago} ago") } else { format!("{times} times, last {ago} ago") };
    format!("started anew: {replica} on {host}, {often}: {}", printable(said))
}

/// What is noted of a certificate, in lines.
fn certified(note: &CertificateNote, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    match &note.shown {
        Some(shown) => {
            let (names, until) = (shown.names.join(", "), clock::date_and_time(shown.until));
            let left = clock::duration(shown.until.since(now));
            lines.push(format!("certificate: {names} until {until}, {left} left"));
        }
        None => lines.push("certificate: none yet".to_owned()),
    }
    if let Some(failed) = note.orders.latest() {
        let at = clock::date_and_time(failed.at);
        let next = clock::time_of_day(note.orders.next(&failed.deployment, now));
        let reason = printable(&failed.reason);
        lines.push(format!("  could not be ordered at {at}, tried next at {next}: {reason}"));
    }
    let shown = note.shown.as_ref().map(|shown| shown.until);
    if let Some(issued) = note.orders.issued().filter(|issued| shown < Some(issued.until)) {
        let (names, at) = (issued.names.join(", "), clock::date_and_time(issued.at));
        lines.push(format!("  one for {names} was issued at {at}, and not every host shows it yet"));
    }
    lines
}

fn live(kept: &KeptRelease) -> Live<'_> {
    Live {
        release: &kept.id,
        version: &kept.release.version,
        since: kept.since,
        deployment: &kept.deployment,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::{FailedOrder, IssuedOrder, ShownCertificate};

    use super::*;

    #[test]
    fn a_replica_that_was_started_anew_is_named_with_what_it_said() {
        let mut note = WatchNote::default();
        let host = "a.example".parse().unwrap();
        let once = note.add(&host, "web-1", Timestamp(0), "503 \u{1b}[31m\"no\"");
        let now = Timestamp(300_000);
        let line = "started anew: web-1 on a.example, 5 min ago: 503 \"no\"";
        assert_eq!(started_anew(&once, now), line);
        let line = "started anew: web-1 on a.example, 2 times, last 0.0 s ago: no answer";
        assert_eq!(started_anew(&note.add(&host, "web-1", now, "no answer"), now), line);
        let key =
            ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() };
        assert!(restarts(&key, &Service::default(), note).is_empty(), "it isn't live any more");
    }

    #[test]
    fn a_certificate_says_until_when_and_why_another_could_not_be_ordered() {
        let mut note = CertificateNote::default();
        assert_eq!(certified(&note, Timestamp(0)), ["certificate: none yet"]);
        let until = Timestamp(10 * 24 * 3_600_000);
        note.shown = Some(ShownCertificate { names: vec!["a.example".into(), "b.example".into()], until });
        let deployment = "01jd0000000000000000000000".parse().unwrap();
        note.orders.add(FailedOrder { deployment, at: Timestamp(0), reason: "no \u{1b}[31mDNS".into() });
        let lines = certified(&note, Timestamp(24 * 3_600_000));
        assert!(lines[0].starts_with("certificate: a.example, b.example until 1970-01-1"), "{lines:?}");
        assert!(lines[0].ends_with(", 9 d left"), "{lines:?}");
        assert!(lines[1].ends_with(": no DNS"), "{lines:?}");

        let (names, directory) = (vec!["a.example".into()], "https://ca.example/dir".into());
        let issued = IssuedOrder { names, directory, at: Timestamp(0), until: Timestamp(until.0 + 1) };
        note.orders.issue(issued.clone());
        let lines = certified(&note, Timestamp(0));
        assert!(lines.len() == 2 && lines[1].contains("one for a.example was issued at"), "{lines:?}");
        note.orders.issue(IssuedOrder { until, ..issued });
        assert_eq!(certified(&note, Timestamp(0)).len(), 1);
    }
}
