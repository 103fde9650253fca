#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cutover_core::{ApplicationProtocol, HostSpec, ProbeSpec, Replica, Span};
use cutover_fleet::Machine;
use cutover_host::{Hosts, SshOptions};
use cutover_telemetry::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::super::live_replica::Terms;
use super::*;

/// How long a test waits for anything before it fails.
const LIMIT: Duration = Duration::from_secs(60);

fn host() -> HostSpec {
    HostSpec { name: "a.example".parse().unwrap(), port: 22, user: "root".into(), host_key: None }
}

fn key() -> ServiceKey {
    ServiceKey { destination: "production".parse().unwrap(), service: "shop".parse().unwrap() }
}

/// This machine in the place of the host, with no Docker.
fn fleet() -> Fleet {
    let hosts = Hosts::new(SshOptions::new("/nonexistent"), "/nonexistent");
    let fleet = Fleet::new(hosts.clone());
    fleet.put(&host(), Machine::new(host().name, hosts.local()));
    fleet
}

/// An application that answers 200 as long as `lives`, and 503 otherwise.
async fn application(lives: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let lives = lives.load(Ordering::Relaxed);
            tokio::spawn(async move {
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let status = if lives { "200 OK" } else { "503 Service Unavailable" };
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfour");
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

fn live(name: &str, address: SocketAddr) -> LiveReplica {
    let probe = ProbeSpec { period: Span::millis(20), failures: Some(3), ..ProbeSpec::http("/alive") };
    let (protocol, ready, stop) = (ApplicationProtocol::Http1, Duration::from_secs(60), Duration::ZERO);
    LiveReplica {
        host: host(),
        replica: Replica { name: name.into(), address },
        network: None,
        deployment: "01jd0000000000000000000000".parse().unwrap(),
        terms: Arc::new(Terms { probe, protocol, ready, stop }),
    }
}

fn shown(metrics: &Metrics, name: &str, replica: &str) -> Option<f64> {
    let families = metrics.registry().gather();
    let family = families.iter().find(|family| family.name() == name)?;
    let is_of =
        |metric: &&prometheus::proto::Metric| metric.get_label().iter().any(|label| label.value() == replica);
    family.get_metric().iter().find(is_of).map(|metric| metric.get_gauge().get_value())
}

async fn eventually(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
}

#[tokio::test]
async fn one_that_fails_is_shown_and_started_anew_and_one_that_is_not_live_any_more_is_not_shown() {
    let (fleet, gate, metrics, key) = (fleet(), Gate::default(), Metrics::new().unwrap(), key());
    let families = Families::new(&metrics).unwrap();
    let watch =
        ServiceWatch { key: &key, fleet: &fleet, gate: &gate, families: &families, clock: Clock::set() };
    let (well, ill) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
    let first = live("web-1", application(Arc::clone(&well)).await);
    let second = live("web-2", application(Arc::clone(&ill)).await);
    let (tell, told) = watch::channel(vec![first.clone(), second]);
    let restarts = AtomicUsize::new(0);
    let note = tokio::sync::Mutex::new(WatchNote::default());
    let restart = |failed: Failed| async {
        assert_eq!((failed.live.replica.name.as_str(), failed.times), ("web-2", 3));
        assert!(failed.said.starts_with("503"), "{failed:?}");
        let LiveReplica { host, replica, .. } = &*failed.live;
        let restarted = note.lock().await.add(&host.name, &replica.name, watch.clock.now(), &failed.said);
        restarts.fetch_add(1, Ordering::Relaxed);
        ill.store(true, Ordering::Relaxed);
        (failed, Restart::Done(restarted))
    };
    let success = |replica| shown(&metrics, "probe_success", replica);
    let play = async {
        eventually(|| success("web-1") == Some(1.0) && success("web-2") == Some(1.0)).await;
        assert_eq!(shown(&metrics, "probe_http_status_code", "web-1"), Some(200.0));
        assert_eq!(shown(&metrics, "probe_http_uncompressed_body_length", "web-1"), Some(4.0));
        assert!(shown(&metrics, "probe_duration_seconds", "web-1").unwrap() > 0.0);
        ill.store(false, Ordering::Relaxed);
        eventually(|| restarts.load(Ordering::Relaxed) == 1).await;
        eventually(|| success("web-2") == Some(1.0)).await;
        tell.send(vec![first]).unwrap();
        eventually(|| success("web-2").is_none()).await;
        assert_eq!(success("web-1"), Some(1.0));
    };
    let nothing = WatchNote::default();
    tokio::select! {
        never = watch.run(told, &nothing, restart) => match never {},
        () = play => {}
    }
    assert_eq!(success("web-1"), None, "whoever doesn't watch shows nothing");
}

#[tokio::test]
async fn a_host_that_is_lost_is_shown_as_failing_and_nothing_is_started_anew() {
    // Nobody knows its key: it is never connected.
    let fleet = Fleet::new(Hosts::new(SshOptions::new("/nonexistent"), "/nonexistent"));
    let (gate, metrics, key) = (Gate::default(), Metrics::new().unwrap(), key());
    let families = Families::new(&metrics).unwrap();
    let watch =
        ServiceWatch { key: &key, fleet: &fleet, gate: &gate, families: &families, clock: Clock::set() };
    let unreachable =
        HostSpec { name: "127.0.0.9".parse().unwrap(), port: 9, user: "root".into(), host_key: None };
    let lost = LiveReplica { host: unreachable, ..live("web-1", ([10, 0, 0, 1], 3000).into()) };
    let (_tell, told) = watch::channel(vec![lost]);
    let restart = async |failed: Failed| -> (Failed, Restart) { panic!("{failed:?}") };
    let nothing = WatchNote::default();
    tokio::select! {
        never = watch.run(told, &nothing, restart) => match never {},
        () = eventually(|| shown(&metrics, "probe_success", "web-1") == Some(0.0)) => {}
    }
}
