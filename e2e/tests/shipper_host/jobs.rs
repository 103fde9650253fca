//! Roles that get no traffic: they start, change hands and end with the release, each in its own time.

use std::collections::{BTreeMap, BTreeSet};

use cutover_core::{HttpCheck, Plan, Replica, ReplicaSet, Resources, Role, Span, Stage};

use crate::bench::{Bench, deployment, key};
use crate::image::{application, image};

fn role(name: &str, overlap: bool) -> Role {
    Role {
        name: name.parse().unwrap(),
        command: vec!["work".to_owned()],
        replicas: 1,
        hosts: Vec::new(),
        env: BTreeMap::from([("ROLE".to_owned(), name.to_owned())]),
        secrets: BTreeMap::new(),
        without: BTreeSet::new(),
        resources: Resources { memory: Some(32 << 20), ..Resources::default() },
        stop: Some(Span::seconds(20)),
        overlap,
        steady: Span::seconds(1),
    }
}

/// The names of the containers without what they have in common, in order.
fn short(bench: &Bench) -> Vec<String> {
    let names = bench.containers().into_iter();
    names.map(|name| name.trim_start_matches("hello-production-").to_owned()).collect()
}

/// Where a container listens, although nobody is to know.
fn address(bench: &Bench, name: &str) -> std::net::SocketAddr {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = bench.docker(&["inspect", "--format", format, &format!("hello-production-{name}")]);
    format!("{address}:3000").parse().unwrap()
}

async fn live(bench: &Bench, plan: &Plan, claim: u64) -> Vec<Replica> {
    let replicas = bench.boot(plan, claim).await.unwrap();
    for replica in &replicas {
        bench.ready(replica.address).await;
    }
    bench.switch(plan, claim + 1, &replicas).await;
    replicas
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_change_hands_with_the_release_and_end_in_their_own_time() {
    let bench = Bench::up("jobs").await;
    let digest = image(&bench.store, &[&application()]).await;
    let [a, b, c, d] = ["aaaaaa", "bbbbbb", "cccccc", "dddddd"].map(|end| {
        let mut plan = bench.plan(end, &digest);
        plan.release.settings.roles = vec![role("jobs", true), role("late", false)];
        plan.release.settings.replicas = 1;
        plan
    });
    bench.ship(&a).await.unwrap();
    bench.start_proxy().await;

    let replicas = live(&bench, &a, 1).await;
    assert_eq!(replicas.len(), 1, "only what gets traffic is told");
    assert_eq!(short(&bench), ["aaaaaa-1", "aaaaaa-jobs-1"]);
    bench.retire(&a, 3, &[]).await.unwrap();
    assert_eq!(short(&bench), ["aaaaaa-1", "aaaaaa-jobs-1", "aaaaaa-late-1"]);
    for name in bench.containers() {
        let policy = bench.docker(&["inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", &name]);
        assert_eq!(policy, "always", "{name}");
    }
    let told = "{{.HostConfig.Memory}} {{.Config.Cmd}} {{index .Config.Labels \"cutover.role\"}} {{.Config.StopTimeout}}";
    let job = bench.docker(&["inspect", "--format", told, "hello-production-aaaaaa-jobs-1"]);
    assert_eq!(job, "33554432 [work] jobs 20");

    // One that is at work when it is to end, longer than a replica with traffic would be given.
    let before = live(&bench, &b, 4).await;
    assert_eq!(short(&bench), ["aaaaaa-1", "aaaaaa-jobs-1", "aaaaaa-late-1", "bbbbbb-1", "bbbbbb-jobs-1"]);
    let (machine, job) = (bench.machine.clone(), address(&bench, "aaaaaa-jobs-1"));
    let work = tokio::spawn(async move {
        let limit = std::time::Duration::from_secs(30);
        machine
            .ask(job, cutover_core::ApplicationProtocol::Http1, &HttpCheck::get("/slow?ms=8000"), limit)
            .await
    });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    bench.retire(&b, 6, &[]).await.unwrap();
    assert!(work.await.unwrap().is_ok_and(|answer| answer.status.is_success()), "its work was cut off");
    let of_b = ["bbbbbb-1", "bbbbbb-jobs-1", "bbbbbb-late-1"];
    assert_eq!(short(&bench), of_b);

    // At least once.
    let ids = || bench.docker(&["ps", "--no-trunc", "--quiet"]);
    let there = ids();
    assert_eq!(bench.retire(&b, 7, &[]).await.unwrap(), 0);
    assert_eq!(ids(), there);

    // What stays warm doesn't work.
    live(&bench, &c, 8).await;
    bench.retire_sparing(&c, 10, &[&b.deployment]).await.unwrap();
    assert_eq!(short(&bench), ["bbbbbb-1", "cccccc-1", "cccccc-jobs-1", "cccccc-late-1"]);
    // And works again once it is gone back to.
    let hosts = [(bench.machine.name().clone(), before.clone())].into();
    let warm = ReplicaSet { booted_by: b.deployment.clone(), hosts };
    let back =
        Plan { deployment: deployment("eeeeee"), stages: Plan::WARM.to_vec(), warm: Some(warm), ..b.clone() };
    bench.switch(&back, 11, &before).await;
    bench.retire(&back, 12, &[]).await.unwrap();
    assert_eq!(short(&bench), of_b);

    // Taken back, the new ones go, and the old ones have never stopped.
    let there = ids();
    bench.boot(&d, 13).await.unwrap();
    assert_eq!(bench.discard(&d, 14).await.unwrap(), 2);
    assert_eq!(ids(), there);
    assert!(d.stages.contains(&Stage::Boot) && bench.machine.replicas(&key()).await.unwrap().len() == 3);
}
