//! Building on another machine, over SSH.

use std::sync::Arc;

use cutover_builder::Error;
use cutover_core::{Reference, SshKeys};
use cutover_e2e::{Host, Link};
use cutover_host::{HostAddress, Hosts, SshOptions};

use crate::bench::{lines, noise, with_bench_on};

fn reached(host: &Host, options: SshOptions) -> Arc<cutover_host::Host> {
    let options = SshOptions { identities: vec![host.key.clone()], ..options };
    Hosts::new(options, Hosts::DOCKER_SOCKET).get(&HostAddress::new("root", host.address.as_str(), 22))
}

#[tokio::test]
async fn another_machine_builds_with_all_that_a_build_is_given_and_only_what_is_new_comes_back() {
    let host = Host::up(&format!("remote-builder-{}", std::process::id())).unwrap();
    let (link, known) = (Link::of(&host).unwrap(), SshOptions::new(&host.known_hosts));
    with_bench_on(reached(&host, known), async |bench| {
        let base = bench.base_with(&["/usr/bin/ssh-add"]).await;
        let path = |name: &str| bench.folder.path().join(name);
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
            .arg(path("key"))
            .status();
        assert!(made.unwrap().success());
        std::fs::write(path("token"), "hunter2-token").unwrap();
        let dockerfile = format!(
            "FROM {base}\nCOPY large /large\n\
             RUN --mount=type=secret,id=token --mount=type=ssh cat /run/secrets/token && echo && ssh-add -L\nCOPY small /small\n"
        );
        let large = noise(&bench.name, 3_000_000);
        let version = async |tag: &str| {
            let small = noise(&[tag, &bench.name].concat(), 400_000);
            let files = [("Dockerfile", dockerfile.as_bytes()), ("large", &large), ("small", &small)];
            let mut context = bench.context(&files).await;
            context.recipe.secrets.insert("token".to_owned(), Reference::File(path("token")));
            context.recipe.ssh.insert("default".to_owned(), SshKeys::Key(Reference::File(path("key"))));
            let (built, events) = bench.build(&context, tag).await;
            let image = built.unwrap_or_else(|e| panic!("{e}: {events:#?}"));
            (image, lines(&events).join("\n"))
        };
        let (first, said) = version("v1").await;
        let public = std::fs::read_to_string(path("key.pub")).unwrap();
        assert_eq!(said.trim(), format!("•••\n{}", public.trim()));
        let exported = bench.engine.export(&first, &bench.name).await.unwrap();
        assert!(exported.received > 3_400_000, "{exported:?}");

        let (second, _) = version("v2").await;
        let before = link.carried().unwrap();
        let changed = bench.engine.export(&second, &bench.name).await.unwrap();
        let carried = link.carried().unwrap() - before;
        assert!((400_000..450_000).contains(&changed.received), "{changed:?}");
        assert!(carried < 500_000, "{carried}");
        for image in [&exported.manifest, &changed.manifest] {
            assert!(cutover_registry::is_whole(&bench.store, image).await.unwrap());
        }
    })
    .await;

    let stranger = reached(&host, SshOptions::new("/dev/null")).docker().await.unwrap_err();
    assert!(matches!(stranger, cutover_host::Error::HostKeyUnknown { .. }), "{stranger}");
    assert!(!Error::Host(stranger).retryable());
}
