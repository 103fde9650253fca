//! A registry between the store and the hosts.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cutover_core::{Plan, RegistryLogin, Repository};
use cutover_e2e::PrivateRegistry;
use cutover_registry::{Image, Pace, Platform, Remote};
use cutover_secrets::Secret;
use tokio::time::{sleep, timeout};

use crate::bench::Bench;
use crate::image::{image, payload};

/// The host's loopback leads to the registry of this machine: it has the same name on both. It ends when this is dropped.
struct Tunnel(Child);

impl Tunnel {
    async fn lay(bench: &Bench, port: u16) -> Self {
        let host = &bench.host;
        let mut ssh = Command::new("ssh");
        ssh.arg("-N").arg("-i").arg(&host.key).args(["-o", "ExitOnForwardFailure=yes"]);
        ssh.args(["-o", &format!("UserKnownHostsFile={}", host.known_hosts.display())]);
        ssh.args(["-R", &format!("{port}:127.0.0.1:{port}"), &format!("root@{}", host.address)]);
        let tunnel = Self(ssh.stdin(Stdio::null()).spawn().unwrap());
        let answers = ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$0", &port.to_string()];
        let laid = async {
            while host.exec(&answers).is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(10), laid).await.expect("the host doesn't reach the registry");
        tunnel
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn platform() -> Platform {
    Platform::linux(if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" })
}

async fn through(bench: &Bench, plan: &mut Plan, repository: &Repository) {
    plan.release.settings.repository = Some(repository.clone());
    bench.give_secrets(plan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_put_between_the_store_and_the_hosts() {
    Box::pin(through_a_registry(&Bench::up("ship-registry").await)).await;
}

/// The first time, a layer that changed, and a password that is none.
pub async fn through_a_registry(bench: &Bench) {
    let registry = PrivateRegistry::start().await.unwrap();
    let _tunnel = Tunnel::lay(bench, registry.port()).await;
    let secrets = tempfile::tempdir().unwrap();
    let password = secrets.path().join("password");
    PrivateRegistry::write_password(&password).unwrap();
    let repository = Repository {
        registry: RegistryLogin {
            server: registry.server(),
            username: PrivateRegistry::USERNAME.to_owned(),
            password: format!("file://{}", password.display()).parse().unwrap(),
        },
        repository: "acme/hello".to_owned(),
    };

    let [base, old, new] =
        [(11, 2), (12, 4), (13, 1)].map(|(seed, mebibytes)| payload(seed, mebibytes << 20));
    let first = image(&bench.store, &[&base, &old]).await;
    let mut plan = bench.plan("aaaaaa", &first);
    through(bench, &mut plan, &repository).await;
    assert_eq!(bench.ship(&plan).await.unwrap(), (base.len() + old.len()) as u64);
    assert_eq!(bench.ship(&plan).await.unwrap(), 0);

    // It is there as a whole: nothing of it is sent again, whoever asks.
    let remote = Remote::new(&repository, Secret::new(PrivateRegistry::PASSWORD.to_owned())).unwrap();
    let put = async |digest| {
        let image = Image::read(&bench.store, digest, &platform()).await.unwrap();
        remote.put(&bench.store, &image, &Pace::default()).await.unwrap();
        remote.traffic().sent
    };
    assert_eq!(put(&first).await, 0);

    // A host downloads what it lacks.
    let second = image(&bench.store, &[&base, &new]).await;
    let mut changed = bench.plan("bbbbbb", &second);
    through(bench, &mut changed, &repository).await;
    assert_eq!(bench.ship(&changed).await.unwrap(), new.len() as u64);

    // Nothing is left behind there, neither a name nor the right to enter.
    let images = bench.images();
    for digest in [&first, &second] {
        assert!(images.contains(&format!("cutover/production/hello:{}", digest.short())), "{images}");
    }
    assert!(!images.contains(&registry.server()), "the name of a pull was left behind: {images}");
    assert!(bench.host.exec(&["test", "-e", "/root/.docker/config.json"]).is_err());
    let third = image(&bench.store, &[&base, &payload(14, 1 << 20)]).await;
    assert!(put(&third).await > 1 << 20);
    assert!(bench.host.exec(&["docker", "pull", &repository.image(&third)]).is_err());

    // A password that is none is said, and not repeated.
    std::fs::write(&password, "hunter3").unwrap();
    let fourth = image(&bench.store, &[&base, &payload(15, 1 << 20)]).await;
    let mut refused = bench.plan("cccccc", &fourth);
    through(bench, &mut refused, &repository).await;
    let failure = bench.ship(&refused).await.unwrap_err();
    assert!(failure.message.contains("doesn't let anna in") && !failure.retry, "{failure:?}");
    assert!(failure.message.contains(&repository.name()), "{failure:?}");
    assert!(failure.hint.as_ref().unwrap().contains("registry.password"), "{failure:?}");
    assert!(!format!("{failure:?}").contains("hunter3"), "{failure:?}");
}
