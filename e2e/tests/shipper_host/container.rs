//! The options of a container, as Docker and the kernel have them in the end.

use std::net::IpAddr;

use cutover_core::{Container, Gpus, Logging, Resources, Ulimit, Volume};

use crate::bench::Bench;
use crate::image::{application, image};

fn volume(source: &str, target: &str, read_only: bool) -> Volume {
    Volume { source: source.to_owned(), target: target.to_owned(), read_only }
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> std::collections::BTreeMap<String, String> {
    pairs.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_of_a_container_is_in_force() {
    let bench = Bench::up("options").await;
    let digest = image(&bench.store, &[&application()]).await;
    let mut plan = bench.plan("aaaaaa", &digest);
    let settings = &mut plan.release.settings;
    settings.replicas = 1;
    settings.resources = Resources {
        cpu_shares: Some(512),
        shm_size: Some(32 << 20),
        ulimits: [("nofile".to_owned(), Ulimit { soft: 1000, hard: 2000 })].into(),
        ..settings.resources.clone()
    };
    settings.container = Container {
        user: Some("1000:1000".to_owned()),
        read_only: true,
        tmpfs: texts([("/cache", "size=1m")]),
        cap_add: vec!["NET_BIND_SERVICE".to_owned()],
        gains_privileges: true,
        volumes: vec![volume("data", "/data", false), volume("/etc/ssh", "/config", true)],
        assets: None,
        labels: texts([("com.example.team", "web")]),
        logging: Logging { driver: None, options: texts([("max-file", "2")]) },
        networks: vec!["aaa-backend".to_owned()],
        extra_hosts: texts([("db", "10.0.0.5")]),
        dns: vec!["10.0.0.2".parse().unwrap()],
        stop_signal: Some("SIGQUIT".to_owned()),
        without_init: true,
        sysctls: texts([("net.core.somaxconn", "1024")]),
        working_dir: Some("/data".to_owned()),
        hostname: Some("hello-web".to_owned()),
        non_root: true,
    };
    bench.ship(&plan).await.unwrap();

    let failure = bench.boot(&plan, 1).await.unwrap_err();
    assert!(failure.message.contains("there is no network aaa-backend"), "{failure:?}");
    assert!(failure.hint.unwrap().contains("docker network create aaa-backend") && !failure.retry);
    bench.docker(&["network", "create", "aaa-backend"]);

    let replicas = bench.boot(&plan, 2).await.unwrap();
    bench.ready(replicas[0].address).await;
    let name = replicas[0].name.as_str();
    let inspect = |format: &str| bench.docker(&["inspect", "--format", format, name]);
    let own = inspect("{{(index .NetworkSettings.Networks \"cutover.production.hello\").IPAddress}}");
    assert_eq!(
        own.parse::<IpAddr>().unwrap(),
        replicas[0].address.ip(),
        "the other network's comes first by name"
    );
    assert_ne!(inspect("{{(index .NetworkSettings.Networks \"aaa-backend\").IPAddress}}"), "");
    let told = inspect(
        "{{.HostConfig.CpuShares}} {{.HostConfig.ShmSize}} {{.HostConfig.CapAdd}} {{.HostConfig.SecurityOpt}} \
         {{.HostConfig.Dns}} {{.HostConfig.LogConfig.Config}} {{index .Config.Labels \"com.example.team\"}} \
         {{index .Config.Labels \"cutover.role\"}} {{.Config.StopSignal}} {{.Config.WorkingDir}}",
    );
    assert_eq!(
        told,
        "512 33554432 [NET_BIND_SERVICE] <no value> [10.0.0.2] map[max-file:2 max-size:10m] web web SIGQUIT /data"
    );

    // The kernel's word for it.
    let pid = inspect("{{.State.Pid}}");
    let read = |file: &str| bench.host.exec(&["cat", &format!("/proc/{pid}/{file}")]).unwrap();
    let status = read("status");
    let line = |text: &str, begin: &str| {
        let line = text.lines().find(|line| line.starts_with(begin)).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line(&status, "Uid"), "Uid: 1000 1000 1000 1000");
    assert_eq!(line(&status, "CapBnd"), "CapBnd: 0000000000000400", "CAP_NET_BIND_SERVICE is 10");
    assert_eq!(line(&status, "NoNewPrivs"), "NoNewPrivs: 0");
    assert_eq!(line(&status, "NSpid").rsplit(' ').next(), Some("1"), "nothing else is process 1");
    assert_eq!(line(&read("limits"), "Max open files"), "Max open files 1000 2000 files");
    let mounts = read("mounts");
    let mount = |at: &str| {
        mounts.lines().find(|line| line.split(' ').nth(1) == Some(at)).unwrap_or_default().to_owned()
    };
    let options = |at: &str| mount(at).split(' ').nth(3).unwrap_or_default().to_owned();
    assert!(options("/").starts_with("ro") && options("/config").starts_with("ro"), "{mounts}");
    assert!(options("/data").starts_with("rw"), "{mounts}");
    assert!(options("/cache").contains("size=1024k") && mount("/tmp").starts_with("tmpfs"), "{mounts}");
    assert!(options("/dev/shm").contains("size=32768k"), "{mounts}");
    assert!(read("root/etc/hosts").contains("10.0.0.5\tdb"));
    assert!(read("root/etc/resolv.conf").contains("127.0.0.11"), "Docker's own, which asks that one");
    assert_eq!(read("root/etc/hostname").trim(), "hello-web");
    let somaxconn = format!("nsenter --target {pid} --net cat /proc/sys/net/core/somaxconn");
    assert_eq!(bench.host.exec(&["sh", "-c", &somaxconn]).unwrap().trim(), "1024");

    // What is in a volume stays.
    bench.discard(&plan, 3).await.unwrap();
    assert!(bench.docker(&["volume", "ls", "--quiet"]).lines().any(|volume| volume == "data"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_docker_can_not_give_is_told_in_its_words() {
    let bench = Bench::up("options-fail").await;
    let digest = image(&bench.store, &[&application()]).await;
    let mut plan = bench.plan("aaaaaa", &digest);
    plan.release.settings.resources.gpus = Some(Gpus::All);
    bench.ship(&plan).await.unwrap();
    let failure = bench.boot(&plan, 1).await.unwrap_err();
    assert!(failure.message.contains("hello-production-aaaaaa-1"), "{failure:?}");
    assert!(failure.message.contains("could not select device driver") && !failure.retry, "{failure:?}");
    assert!(failure.hint.as_ref().unwrap().contains("NVIDIA"), "{failure:?}");
    bench.discard(&plan, 2).await.unwrap();

    let mut plan = bench.plan("bbbbbb", &digest);
    plan.release.settings.container.sysctls = texts([("kernel.hostname", "x")]);
    let failure = bench.boot(&plan, 3).await.unwrap_err();
    assert!(failure.message.contains("kernel.hostname") && !failure.retry, "{failure:?}");
}
