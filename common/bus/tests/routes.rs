//! Who becomes a node of a cluster whose routes are set as `deploy/nats.conf` has them: what a node says is believed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::Ipv4Addr;
use std::path::Path;

use futures_util::StreamExt;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use support::eventually;
use support::node::{Node, free_port};

const CONFIG: &str = include_str!("../../../deploy/nats.conf");
const PASSWORD: &str = "p123";
/// What a node says of another that it doesn't let in.
const REFUSALS: [&str; 3] = ["tls route handshake error", "authentication error", "authorization violation"];

/// A certificate for all nodes, by an authority that has signed no other, in a folder; as `cutover keys` makes them.
fn certify(folder: &Path) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new([Ipv4Addr::LOCALHOST.to_string()]).unwrap();
    let certificate = names.signed_by(&key, &authority).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("server-key.pem"), key.serialize_pem()).unwrap();
}

/// The part of the configuration that makes a node of a cluster.
fn cluster(port: u16, certificates: &Path, password: &str, others: &[u16]) -> String {
    let (_, block) = CONFIG.split_once("\n# cluster {\n").unwrap();
    let (block, _) = block.split_once("\n# }\n").unwrap();
    let block: String = block.lines().map(|line| format!("{}\n", line.strip_prefix("# ").unwrap())).collect();
    let route = |other: &u16| format!("\"nats://cutover:{password}@127.0.0.1:{other}\"");
    let routes = others.iter().map(route).collect::<Vec<_>>().join(", ");
    let block = block
        .replace("0.0.0.0:6222", &format!("127.0.0.1:{port}"))
        .replace("/etc/nats", &certificates.display().to_string())
        .replace("$CUTOVER_ROUTE_PASSWORD", password)
        .replace("$CUTOVER_ROUTES", &format!("[{routes}]"));
    assert!(!block.contains('$') && block.contains("verify: true"), "{block}");
    format!("cluster {{\n{block}}}\n")
}

/// Whether what is said at one node is heard at another.
async fn hears(speaker: &Node, listener: &Node) -> bool {
    let connect = async |node: &Node| async_nats::connect(node.url()).await.unwrap();
    let (speaker, listener) = (connect(speaker).await, connect(listener).await);
    let mut heard = listener.subscribe("probe").await.unwrap();
    listener.flush().await.unwrap();
    for _ in 0..20 {
        speaker.publish("probe", "x".into()).await.unwrap();
        speaker.flush().await.unwrap();
        let wait = tokio::time::timeout(std::time::Duration::from_millis(50), heard.next());
        if wait.await.is_ok_and(|heard| heard.is_some()) {
            return true;
        }
    }
    false
}

async fn node(name: &str, config: String) -> Node {
    let node = Node::guarded(name, None, config, None);
    node.answers().await;
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_joins_without_the_certificate_and_the_password() {
    let (own, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certify(own.path());
    certify(others.path());
    let ports = [free_port(), free_port()];
    let one = node("one", cluster(ports[0], own.path(), PASSWORD, &[ports[1]])).await;
    let two = node("two", cluster(ports[1], own.path(), PASSWORD, &[ports[0]])).await;
    eventually(async || hears(&one, &two).await.then_some(())).await;

    let bare = format!(
        "cluster {{ name: cutover, listen: \"127.0.0.1:{}\", routes: [\"nats://cutover:{PASSWORD}@127.0.0.1:{}\"] }}\n",
        free_port(),
        ports[0]
    );
    let with = |certificates: &Path, password| cluster(free_port(), certificates, password, &ports);
    let intruders = [
        ("no certificate", bare),
        // It would take any certificate of the others.
        ("another authority's", with(others.path(), PASSWORD).replace("verify: true", "insecure: true")),
        ("another password", with(own.path(), "p124")),
    ];
    for (what, config) in intruders {
        let before = one.log().len();
        let intruder = node("intruder", config).await;
        // The cluster has refused it, and says so.
        let refused = async || {
            let log = one.log()[before..].to_lowercase();
            REFUSALS.iter().any(|words| log.contains(words)).then_some(())
        };
        eventually(refused).await;
        let joins = hears(&one, &intruder).await || hears(&intruder, &one).await;
        assert!(!joins, "{what}: it has joined:\n{}", intruder.log());
    }
    // Who has both is one of them.
    let three = node("three", cluster(free_port(), own.path(), PASSWORD, &ports)).await;
    eventually(async || (hears(&one, &three).await && hears(&three, &two).await).then_some(())).await;
}
