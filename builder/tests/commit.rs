//! A private repository behind a real sshd: with a key by reference, and no trust in an unknown host.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cutover_builder::{Error, Fetched, fetch};
use cutover_core::{GitSource, Reference, origin};
use cutover_secrets::{Secret, Values};
use cutover_store::Store;
use tempfile::TempDir;
use tokio::net::TcpListener;

const LIMIT: Duration = Duration::from_secs(60);

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An sshd with a repository behind it, one process per connection.
struct Server {
    folder: TempDir,
    port: u16,
}

impl Server {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::create_dir_all("/run/sshd").unwrap();
        for key in ["host", "user", "other"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]);
        }
        let config = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\n",
            path("host"),
            path("user.pub")
        );
        fs::write(path("config"), config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let known = fs::read_to_string(path("host.pub")).unwrap();
        fs::write(path("known_hosts"), format!("[127.0.0.1]:{port} {known}")).unwrap();
        let config = path("config");
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let socket = socket.into_std().unwrap();
                socket.set_nonblocking(false).unwrap();
                let mut child = tokio::process::Command::new("/usr/sbin/sshd")
                    .args(["-i", "-f", &config])
                    .stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())))
                    .stdout(Stdio::from(OwnedFd::from(socket)))
                    .stderr(Stdio::null())
                    .kill_on_drop(true)
                    .spawn()
                    .unwrap();
                tokio::spawn(async move { child.wait().await });
            }
        });
        Self { folder, port }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a repository with a Dockerfile in `app`, and answers its commit.
    fn repository(&self) -> String {
        let path = self.path("hello");
        fs::create_dir_all(path.join("app")).unwrap();
        fs::write(path.join("app/Dockerfile"), "FROM scratch\n").unwrap();
        fs::write(path.join("app/cutover.yaml"), "service: hello\n").unwrap();
        let here = path.to_str().unwrap();
        run("git", &["init", "--quiet", "-b", "main", here]);
        run("git", &["-C", here, "add", "--all"]);
        let identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"];
        run("git", &[&["-C", here], identity.as_slice(), &["commit", "--quiet", "-m", "one"]].concat());
        run("git", &["-C", here, "rev-parse", "HEAD"])
    }

    /// The keys that there are.
    fn values(&self) -> Values {
        Values::known(["user", "other"].map(|name| {
            let key = std::fs::read_to_string(self.path(name)).unwrap();
            (Reference::File(self.path(name)), Secret::new(key))
        }))
    }

    fn source(&self, key: &str) -> GitSource {
        let user = run("id", &["-un"]);
        GitSource {
            url: format!("ssh://{user}@127.0.0.1:{}{}", self.port, self.path("hello").display()),
            reference: "main".to_owned(),
            commit: None,
            folder: "app".to_owned(),
            key: Some(Reference::File(self.path(key))),
            recipe: Box::default(),
        }
    }
}

#[tokio::test]
async fn a_private_repository_is_fetched_with_a_key_from_a_known_host_alone() {
    let server = Server::start().await;
    let commit = server.repository();
    let store = Store::open(server.path("store")).await.unwrap();
    let known_hosts = server.path("known_hosts");
    let source = server.source("user");

    let Fetched { context, commit: fetched, dockerfile } =
        fetch(&source, &server.values(), &store, &known_hosts, LIMIT).await.unwrap();
    assert_eq!((fetched.as_str(), dockerfile.as_str()), (commit.as_str(), "FROM scratch\n"));
    assert_eq!(context.recipe.labels[origin::REVISION], commit);
    assert_eq!(context.recipe.labels[origin::SOURCE], source.url);
    let archive = store.get_bytes(&context.archive, 1 << 20).await.unwrap();
    let text = String::from_utf8_lossy(&archive);
    assert!(text.contains("FROM scratch") && !text.contains("service: hello"));

    // What the plan says counts, whatever the branch stands for by then.
    let pinned = GitSource { commit: Some(commit.clone()), reference: "gone".to_owned(), ..source.clone() };
    assert_eq!(
        fetch(&pinned, &server.values(), &store, &known_hosts, LIMIT).await.unwrap().context.archive,
        context.archive
    );

    let refused =
        fetch(&server.source("other"), &server.values(), &store, &known_hosts, LIMIT).await.unwrap_err();
    assert!(refused.to_string().contains("Permission denied"), "{refused}");
    let refused = fetch(&source, &server.values(), &store, Path::new("/dev/null"), LIMIT).await.unwrap_err();
    assert!(refused.to_string().contains("Host key verification failed"), "{refused}");
    let absent = GitSource { key: Some(Reference::File(server.path("absent"))), ..source };
    let refused = fetch(&absent, &server.values(), &store, &known_hosts, LIMIT).await;
    assert!(matches!(&refused, Err(Error::Secret { key, .. }) if key == "builder.git.key"), "{refused:?}");
}
