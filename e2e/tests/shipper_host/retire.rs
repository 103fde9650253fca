//! The old version goes, once it has answered its last request.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::bench::{Bench, key};
use crate::image::{application, image, payload};

/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Asks through the proxy, on a connection of its own; answers with all that came.
async fn get(proxy: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_version_answers_its_last_request_and_is_gone() {
    let bench = Bench::up("retire").await;
    let app = application();
    let mut plans = Vec::new();
    for (seed, end) in [(1, "aaaaaa"), (2, "bbbbbb"), (3, "cccccc")] {
        let digest = image(&bench.store, &[&app, &payload(seed, 1000)]).await;
        plans.push(bench.plan(end, &digest));
    }
    let [oldest, old, new] = <[_; 3]>::try_from(plans).unwrap();
    for plan in [&oldest, &old, &new] {
        bench.ship(plan).await.unwrap();
    }
    bench.start_proxy().await;
    let before = bench.boot(&old, 1).await.unwrap();
    bench.switch(&old, 2, &before).await;
    let proxy = bench.host.http().unwrap();
    let slow = tokio::spawn(async move { get(proxy, "/slow?ms=1500").await });
    let arrived = async {
        let in_flight = async || {
            let status = bench.machine.proxy().service(&key()).await.unwrap().unwrap();
            status.active.unwrap().targets.iter().map(|target| target.in_flight).sum::<u64>()
        };
        while in_flight().await == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, arrived).await.unwrap();

    let after = bench.boot(&new, 3).await.unwrap();
    for replica in &after {
        bench.ready(replica.address).await;
    }
    // Not the active one yet: nothing may be retired for it.
    let failure = bench.retire(&new, 4, &[]).await.unwrap_err();
    assert!(failure.message.contains("is not the active deployment"), "{failure:?}");
    assert_eq!(bench.containers().len(), 4);

    bench.switch(&new, 5, &after).await;
    let images = [old.image.as_ref().unwrap(), new.image.as_ref().unwrap()];
    let stopped = timeout(LIMIT, bench.retire(&new, 6, &images)).await.unwrap().unwrap();
    assert_eq!(stopped, 2);
    let answer = timeout(LIMIT, slow).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("slept 1.5s"), "{answer}");
    assert!(answer.to_lowercase().contains("x-version: bbbbbb"), "{answer}");

    assert_eq!(bench.containers(), ["hello-production-cccccc-1", "hello-production-cccccc-2"]);
    assert!(get(proxy, "/").await.to_lowercase().contains("x-version: cccccc"));
    let there = bench.images();
    assert!(!there.contains(oldest.image.unwrap().short()), "{there}");
    assert!(images.iter().all(|image| there.contains(image.short())), "{there}");

    // Docker starts it again from now on; its limits are as they were.
    let format = "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}";
    let policy = bench.docker(&["inspect", "--format", format, "hello-production-cccccc-1"]);
    assert_eq!(policy, "always 67108864 64");
    assert_eq!(bench.retire(&new, 7, &images).await.unwrap(), 0);

    // What an image is made of stays as long as a container needs it, whatever is to be kept.
    bench.retire(&new, 8, &images[..1]).await.unwrap();
    assert!(bench.images().contains(images[1].short()), "the live image was pruned");
}
