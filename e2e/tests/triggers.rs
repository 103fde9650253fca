//! From a `git push` to what is live: a repository with a hook that signs a webhook, the program that takes it in, and whoever carries
//! it out where nobody is present.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cutover_core::{BusUser, Outcome};
use cutover_e2e::App;
use support::{Expect, Scene};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The repository, what takes webhooks in, and what carries requests out. Both are killed when this is dropped.
struct Automation {
    folder: tempfile::TempDir,
    listen: String,
    processes: Vec<Child>,
}

impl Automation {
    fn start(scene: &Scene) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let secret = file("secret", SECRET);
        let triggers = format!(
            "sources: {{hello: {{kind: signed, secret: 'file://{}', service: hello, destination: production, branches: [main, drafts]}}}}\n",
            secret.display()
        );
        let triggers = file("triggers.yaml", &triggers);
        let bare = folder.path().join("hello.git");
        let repositories = format!(
            "repositories: {{hello: {{url: '{}', destinations: [production], branches: [main]}}}}\n",
            bare.display()
        );
        let repositories = file("repositories.yaml", &repositories);
        git(folder.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "hello.git"]);
        let hook = bare.join("hooks/post-receive");
        std::fs::write(&hook, hook_text(&listen)).unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();

        let mut trigger = Command::new(scene.plane.programs().join("cutover-trigger"));
        trigger
            .env("NATS_URL", scene.plane.url().unwrap())
            .env("CUTOVER_NATS_KEY", scene.plane.key_of(BusUser::Trigger).unwrap())
            .env("CUTOVER_NATS_CA", scene.plane.roots())
            .env("CUTOVER_TRIGGERS", triggers)
            .env("CUTOVER_TRIGGER_LISTEN", &listen);
        let repositories = repositories.display().to_string();
        let serve = scene.plane.command(folder.path(), &["serve", "--repositories", &repositories]);
        let log = |name: &str| std::fs::File::create(folder.path().join(name)).unwrap();
        let mut processes = Vec::new();
        for (mut command, name) in [(trigger, "trigger.log"), (serve, "serve.log")] {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log(name));
            processes.push(command.spawn().unwrap());
        }
        Self { folder, listen, processes }
    }

    fn bare(&self) -> PathBuf {
        self.folder.path().join("hello.git")
    }

    /// What both have said.
    fn log(&self) -> String {
        let read = |name| std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        format!("{}\n{}", read("trigger.log"), read("serve.log"))
    }

    /// Waits until webhooks are taken in.
    async fn is_ready(&self) {
        self.eventually("ready", async || {
            let healthy = format!("http://{}/healthz", self.listen);
            Command::new("curl").args(["--silent", "--fail", &healthy]).output().unwrap().status.success()
        })
        .await;
    }

    /// Delivers what somebody has signed with a secret: the status.
    fn deliver(&self, id: &str, commit: &str, branch: &str, secret: &str) -> String {
        let script = format!(
            "SECRET={secret}; {}",
            deliver_text(&self.listen, "--write-out '%{http_code}' --output /dev/null")
        );
        let output =
            Command::new("sh").args(["-c", &script, "deliver", id, commit, branch]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    async fn eventually(&self, what: &str, is: impl AsyncFn() -> bool) {
        let wait = async {
            while !is().await {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(120), wait).await;
        reached.unwrap_or_else(|_| panic!("not {what} within 120 s:\n{}", self.log()));
    }
}

impl Drop for Automation {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// As docs/triggers.md has it, for an id, a commit and a branch.
fn deliver_text(listen: &str, options: &str) -> String {
    format!(
        "body=\"{{\\\"id\\\":\\\"$1\\\",\\\"commit\\\":\\\"$2\\\",\\\"branch\\\":\\\"$3\\\"}}\"\n\
         time=$(date +%s)\n\
         code=$(printf '%s.%s' \"$time\" \"$body\" | openssl dgst -sha256 -hmac \"$SECRET\" -r | cut -d' ' -f1)\n\
         curl --silent {options} http://{listen}/hooks/hello --data-binary \"$body\" \
         --header \"Cutover-Timestamp: $time\" --header \"Cutover-Signature: sha256=$code\"\n"
    )
}

fn hook_text(listen: &str) -> String {
    let deliver = deliver_text(listen, "--fail");
    format!(
        "#!/bin/sh\nset -e\nSECRET={SECRET}\ndeliver() {{\n{deliver}}}\nwhile read old new ref; do deliver \"push-$new\" \"$new\" \"${{ref#refs/heads/}}\"; done\n"
    )
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"];
    let output = Command::new("git").arg("-C").arg(folder).args(identity).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Writes the application's next state, and commits it.
fn commit(scene: &Scene, app: &App) -> String {
    scene.project.write(app).unwrap();
    let folder = scene.project.folder();
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message", &app.version]);
    git(folder, &["rev-parse", "HEAD"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_ends_live_and_what_nobody_may_ask_for_leads_to_nothing() {
    let scene = Scene::set_secured("triggers");
    let automation = Automation::start(&scene);
    automation.is_ready().await;
    let (folder, bare) = (scene.project.folder(), automation.bare().display().to_string());
    git(folder, &["init", "--quiet"]);
    git(folder, &["remote", "add", "origin", &bare]);
    let first = commit(&scene, &scene.app("v1"));
    git(folder, &["push", "--quiet", "origin", "main"]);
    let live = scene.until(|current| current.outcome().is_some()).await;
    assert_eq!(live.outcome(), Some(Outcome::Live), "{}", automation.log());
    assert_eq!(live.plan.by, format!("trigger hello, delivery push-{first}"));
    scene.serves("v1").await;
    scene.cutover(&["history"]).exited(0, &[&format!("trigger hello, delivery push-{first}"), "live"]);

    // Somebody who doesn't know the secret.
    let second = commit(&scene, &scene.app("v2"));
    assert_eq!(automation.deliver("forged", &second, "main", "not the secret of anybody at all"), "403");
    // Somebody who does, with a commit that is on another branch, and with a branch that the operator doesn't deploy.
    git(folder, &["push", "--quiet", "origin", "HEAD:refs/heads/drafts"]);
    assert_eq!(automation.deliver("stranger", &second, "main", SECRET), "202");
    let requests = || scene.cutover(&["requests"]).out;
    automation
        .eventually("refused", async || {
            let said = requests();
            said.contains("hello/stranger  refused: ") && said.contains("branch drafts is not deployed")
        })
        .await;
    assert!(requests().contains(&format!("commit {second} is not one of refs/heads/main")), "{}", requests());
    // Nothing is asked for the same push a second time.
    assert_eq!(automation.deliver(&format!("push-{first}"), &first, "main", SECRET), "202");

    // A deploy file that needs a value of whoever deploys.
    let text = std::fs::read_to_string(scene.project.deploy_file()).unwrap();
    let needy = text.replacen("destinations:", "env: {secret: {TOKEN: 'env://PATH'}}\ndestinations:", 1);
    assert_ne!(needy, text);
    std::fs::write(scene.project.deploy_file(), needy).unwrap();
    git(folder, &["commit", "--quiet", "--all", "--message", "needy"]);
    git(folder, &["push", "--quiet", "origin", "main"]);
    automation.eventually("refused", async || requests().contains("env://PATH")).await;
    scene.serves("v1").await;
    assert!(scene.until(|_| true).await.id() == live.id(), "something was deployed:\n{}", automation.log());

    // The next one is, under load.
    let load = scene.load();
    commit(&scene, &scene.app("v3"));
    git(folder, &["push", "--quiet", "origin", "main"]);
    scene.until(|current| current.id() != live.id() && current.outcome() == Some(Outcome::Live)).await;
    scene.serves("v3").await;
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let said = requests();
    assert_eq!(said.matches("  deployment ").count(), 2, "{said}");
    assert!(!automation.log().contains(SECRET));
}
