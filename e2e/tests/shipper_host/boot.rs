//! New replicas beside the old ones, and what takes them back.

use std::net::IpAddr;

use cutover_core::{Failure, Replica, Stage};

use crate::bench::{Bench, key};
use crate::image::{application, image};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_started_once_as_the_deploy_file_says() {
    let bench = Bench::up("boot").await;
    let digest = image(&bench.store, &[&application()]).await;
    let mut plan = bench.plan("aaaaaa", &digest);
    let hostile = "a=b  c\n\"$(touch /tmp/x)\" `id` ${HOME} \\ 'x' é 🚀 %s\t ";
    plan.release.settings.env.insert("HOSTILE".to_owned(), hostile.to_owned());

    bench.ship(&plan).await.unwrap();
    let began = std::time::Instant::now();
    let replicas = bench.boot(&plan, 1).await.unwrap();
    println!("boot: {:?}", began.elapsed());
    let names: Vec<&str> = replicas.iter().map(|replica| replica.name.as_str()).collect();
    assert_eq!(names, ["hello-production-aaaaaa-1", "hello-production-aaaaaa-2"]);
    for replica in &replicas {
        bench.ready(replica.address).await;
    }
    let inspect = |format: &str| bench.docker(&["inspect", "--format", format, names[0]]);
    let address = inspect("{{range .NetworkSettings.Networks}}{{.IPAMConfig.IPv4Address}}{{end}}");
    assert_eq!(address, replicas[0].address.ip().to_string(), "it has another one at its next start");

    let pid = inspect("{{.State.Pid}}");
    let environment = bench.host.exec(&["cat", &format!("/proc/{pid}/environ")]).unwrap();
    let variables: Vec<&str> = environment.split('\0').collect();
    for expected in [format!("HOSTILE={hostile}"), "VERSION=aaaaaa".to_owned()] {
        assert!(variables.contains(&expected.as_str()), "{expected:?} is not in {variables:?}");
    }

    let hardening = inspect(
        "{{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Init}} \
         {{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}} \
         {{.HostConfig.LogConfig.Type}} {{.Config.StopTimeout}}",
    );
    assert_eq!(hardening, "[ALL] [no-new-privileges] true true 67108864 500000000 64 no json-file 5");
    let status = bench.host.exec(&["cat", &format!("/proc/{pid}/status")]).unwrap();
    let says =
        |line: &str| status.lines().any(|own| own.split_whitespace().collect::<Vec<_>>().join(" ") == line);
    assert!(
        says("CapEff: 0000000000000000") && says("NoNewPrivs: 1") && says("Uid: 65532 65532 65532 65532"),
        "{status}"
    );
    assert_eq!(
        bench.docker(&["network", "ls", "--filter", "label=cutover.service=hello", "--format", "{{.Name}}"]),
        "cutover.production.hello"
    );

    // At least once: whoever boots again finds them, and keeps them.
    let ids = || bench.docker(&["ps", "--no-trunc", "--quiet"]);
    let before = ids();
    let again = bench.boot(&plan, 2).await.unwrap();
    assert_eq!((&again, ids()), (&replicas, before));

    // One that is gone is made anew, the other kept.
    bench.docker(&["kill", names[1]]);
    bench.boot(&plan, 3).await.unwrap();
    assert_eq!(bench.docker(&["ps", "--quiet"]).lines().count(), 2);

    // There is no proxy: nothing gets traffic.
    assert_eq!(bench.discard(&plan, 100).await.unwrap(), 2);
    assert_eq!(bench.containers(), Vec::<String>::new());
    assert_eq!(bench.discard(&plan, 100).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_can_not_run_is_named_with_its_reason() {
    let bench = Bench::up("boot-fails").await;
    let digest = image(&bench.store, &[&application()]).await;

    let unshipped = bench.plan("aaaaaa", &digest);
    let failure = bench.boot(&unshipped, 1).await.unwrap_err();
    assert!(failure.message.contains("there is no image cutover/production/hello:"), "{failure:?}");
    assert!(!failure.retry && failure.hint.unwrap().contains("cutover replay --from ship"));
    // Where what is live is made anew, there is no ship to go back to.
    let mut refreshed = bench.plan("aaaaaa", &digest);
    refreshed.stages.retain(|stage| *stage != Stage::Ship);
    let hint = bench.boot(&refreshed, 1).await.unwrap_err().hint.unwrap();
    assert!(hint.contains("cutover deploy") && !hint.contains("replay"), "{hint}");

    let mut crashing = bench.plan("bbbbbb", &digest);
    crashing.release.settings.env.insert("CRASH".to_owned(), "3".to_owned());
    bench.ship(&crashing).await.unwrap();
    let failure = bench.boot(&crashing, 2).await.unwrap_err();
    let expected = format!("hello-production-bbbbbb-1 on {} exited with code 3", bench.host.address);
    assert_eq!(failure.message, expected);
    assert!(!failure.retry && !failure.tail.is_empty(), "{failure:?}");
    assert_eq!(bench.containers().len(), 2, "the containers stay for those who ask why");
    // Tried again, it is not taken for one that runs.
    let Failure { message, .. } = bench.boot(&crashing, 3).await.unwrap_err();
    assert_eq!(message, expected);
    assert_eq!(bench.discard(&crashing, 100).await.unwrap(), 2);

    let mut nobody = bench.plan("cccccc", &digest);
    nobody.release.settings.container.user = Some("nobody-of-this-name".to_owned());
    let failure = bench.boot(&nobody, 4).await.unwrap_err();
    assert!(failure.message.contains("hello-production-cccccc-1") && !failure.retry, "{failure:?}");
    assert!(failure.message.contains("nobody-of-this-name"), "{failure:?}");
    bench.discard(&nobody, 100).await.unwrap();

    // Somebody's own container is never touched.
    bench.docker(&[
        "create",
        "--name",
        "hello-production-dddddd-1",
        &format!("cutover/production/hello:{}", digest.short()),
    ]);
    let failure = bench.boot(&bench.plan("dddddd", &digest), 5).await.unwrap_err();
    assert!(failure.message.contains("another container") && !failure.retry, "{failure:?}");
    assert!(bench.containers().contains(&"hello-production-dddddd-1".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_would_not_fit_into_the_memory_are_refused_before_one_is_made() {
    let bench = Bench::up("boot-memory").await;
    let digest = image(&bench.store, &[&application()]).await;
    let mut plan = bench.plan("aaaaaa", &digest);
    plan.release.settings.resources.memory = Some(1 << 40);
    bench.ship(&plan).await.unwrap();
    let failure = bench.boot(&plan, 1).await.unwrap_err();
    assert!(
        failure.message.contains("of memory left, and the 2 new replicas may need 2.1 TB"),
        "{failure:?}"
    );
    assert!(failure.message.starts_with(&bench.host.address) && !failure.retry, "{failure:?}");
    assert!(failure.hint.as_ref().unwrap().contains("resources.memory"), "{failure:?}");
    assert_eq!(bench.containers(), Vec::<String>::new());
    // What runs already has what it needs.
    plan.release.settings.resources.memory = Some(64 << 20);
    let replicas = bench.boot(&plan, 2).await.unwrap();
    plan.release.settings.resources.memory = Some(1 << 40);
    assert_eq!(bench.boot(&plan, 3).await.unwrap(), replicas);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deployment_has_left_behind_goes_with_the_next_but_never_what_serves() {
    let bench = Bench::up("strays").await;
    let digest = image(&bench.store, &[&application()]).await;
    let [serving, left, next] = ["aaaaaa", "bbbbbb", "cccccc"].map(|end| bench.plan(end, &digest));
    bench.ship(&serving).await.unwrap();
    let replicas = bench.boot(&serving, 1).await.unwrap();
    bench.boot(&left, 2).await.unwrap();
    // Nobody can say what serves, so nothing goes.
    assert_eq!(bench.machine.replicas(&key()).await.unwrap().len(), 4);

    bench.start_proxy().await;
    bench.switch(&serving, 3, &replicas).await;
    bench.boot(&next, 4).await.unwrap();
    let expected: Vec<String> =
        ["aaaaaa-1", "aaaaaa-2", "cccccc-1", "cccccc-2"].map(|end| format!("hello-production-{end}")).into();
    assert_eq!(bench.containers(), expected);

    // A worker that comes late removes nothing: the next boot has raised the fence.
    let failure = bench.discard(&serving, 3).await.unwrap_err();
    assert!(failure.message.contains("newer claim") && !failure.retry, "{failure:?}");
    assert_eq!(bench.containers(), expected);
    // And one that comes late to the switch doesn't reach what is being removed.
    assert_eq!(bench.discard(&next, 6).await.unwrap(), 2);
    let failure = bench.try_switch(&next, 5, &replicas).await.unwrap_err();
    assert!(failure.message.contains("newer claim"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_round_has_left_is_made_anew() {
    let bench = Bench::up("rounds").await;
    let digest = image(&bench.store, &[&application()]).await;
    let plan = bench.plan("aaaaaa", &digest);
    bench.ship(&plan).await.unwrap();
    bench.start_proxy().await;
    let ids = async || {
        let replicas = bench.machine.replicas(&key()).await.unwrap();
        replicas.into_iter().map(|replica| replica.id).collect::<Vec<_>>()
    };
    let first = bench.boot_in_round(&plan, 1, 2).await.unwrap();
    let of_the_first_round = ids().await;
    assert_eq!(bench.boot_in_round(&plan, 1, 3).await.unwrap(), first);
    assert_eq!(ids().await, of_the_first_round);
    // What the first round had sent traffic to as well: a switch that was never taken back gives it up first.
    bench.switch(&plan, 4, &first).await;
    bench.boot_in_round(&plan, 5, 6).await.unwrap();
    let of_the_second = ids().await;
    assert_eq!(of_the_second.len(), 2);
    assert!(of_the_second.iter().all(|id| !of_the_first_round.contains(id)), "{of_the_second:?}");
    let status = bench.machine.proxy().service(&key()).await.unwrap().unwrap();
    assert!(status.active.is_none(), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_restore_has_left_with_traffic_gives_it_back_before_it_goes() {
    let bench = Bench::up("lost-restore").await;
    let digest = image(&bench.store, &[&application()]).await;
    let [good, bad] = ["aaaaaa", "bbbbbb"].map(|end| bench.plan(end, &digest));
    bench.ship(&good).await.unwrap();
    bench.start_proxy().await;
    let replicas = bench.boot(&good, 1).await.unwrap();
    bench.switch(&good, 2, &replicas).await;
    let replicas = bench.boot(&bad, 3).await.unwrap();
    bench.switch(&bad, 4, &replicas).await;
    assert_eq!(bench.discard(&bad, 5).await.unwrap(), 2);
    let status = bench.machine.proxy().service(&key()).await.unwrap().unwrap();
    assert_eq!(status.active.unwrap().deployment, good.deployment.to_string());
    assert_eq!(bench.containers(), ["hello-production-aaaaaa-1", "hello-production-aaaaaa-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_something_else_has_or_the_proxy_knows_is_no_replicas() {
    let bench = Bench::up("addresses").await;
    let digest = image(&bench.store, &[&application()]).await;
    let [first, second, third] = ["aaaaaa", "bbbbbb", "cccccc"].map(|end| bench.plan(end, &digest));
    bench.ship(&first).await.unwrap();
    // As one leaves it who is interrupted while making it.
    bench.docker(&["network", "create", "cutover.production.hello"]);
    let replicas = bench.boot(&first, 1).await.unwrap();
    assert_eq!(last_of(&replicas), [2, 3]);
    let config = "{{range .IPAM.Config}}{{.Subnet}} {{.IPRange}} {{.Gateway}}{{end}}";
    let config = bench.docker(&["network", "inspect", "--format", config, "cutover.production.hello"]);
    let [subnet, range, gateway] = <[&str; 3]>::try_from(config.split(' ').collect::<Vec<_>>()).unwrap();

    // Containers that are gone, but not from the proxy's memory.
    bench.start_proxy().await;
    bench.switch(&first, 2, &replicas).await;
    bench.docker(&["rm", "--force", &replicas[0].name, &replicas[1].name]);
    let replicas = bench.boot(&second, 3).await.unwrap();
    assert_eq!(last_of(&replicas), [4, 5]);

    // What no list of containers names: Docker alone knows, and says so.
    assert_eq!(bench.discard(&second, 4).await.unwrap(), 2);
    bench.docker(&["network", "rm", "cutover.production.hello"]);
    let taken = format!("printer={}", replicas[0].address.ip());
    let create = ["network", "create", "--subnet", subnet, "--ip-range", range, "--gateway", gateway];
    bench.docker(&[create.as_slice(), &["--aux-address", &taken, "cutover.production.hello"]].concat());
    let replicas = bench.boot(&third, 5).await.unwrap();
    assert_eq!(last_of(&replicas), [6, 5]);
}

/// The last numbers of their addresses.
fn last_of(replicas: &[Replica]) -> Vec<u8> {
    let last = |replica: &Replica| match replica.address.ip() {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => panic!("{address}"),
    };
    replicas.iter().map(last).collect()
}
