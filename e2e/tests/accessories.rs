//! What a service needs beside it and no deployment touches: a real Redis, from a registry with a password.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use cutover_e2e::{PrivateRegistry, Tunnel};
use support::{Expect, Scene};

/// As the usual images of databases are: root at first, a folder of a user of its own, and a volume.
const DOCKERFILE: &str = r#"
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/* && mkdir /data && chown redis:redis /data
VOLUME /data
WORKDIR /data
HEALTHCHECK --interval=1s CMD redis-cli ping
ENTRYPOINT ["sh", "-c", "chown -R redis /data && exec setpriv --reuid=redis --regid=redis --clear-groups redis-server \"$@\"", "--"]
CMD ["/etc/redis-own.conf"]
"#;
const CONFIG: &str = "bind 0.0.0.0\nprotected-mode no\ndir /data\nappendonly yes\nappendfsync always\n";

/// Runs a program of this machine.
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Builds the image and puts it into the registry; answers with its name there.
fn publish(registry: &PrivateRegistry) -> String {
    let image = format!("{}/redis:1", registry.server());
    let mut build = Command::new("docker");
    let mut building = build
        .args(["build", "--quiet", "--tag", &image, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    building.stdin.take().unwrap().write_all(DOCKERFILE.as_bytes()).unwrap();
    assert!(building.wait().unwrap().success());
    let config = tempfile::tempdir().unwrap();
    let docker = || {
        let mut docker = Command::new("docker");
        docker.arg("--config").arg(config.path());
        docker
    };
    let (user, password) = (PrivateRegistry::USERNAME, PrivateRegistry::PASSWORD);
    run(docker().args(["login", "--username", user, "--password", password, &registry.server()]));
    run(docker().args(["push", "--quiet", &image]));
    run(docker().args(["rmi", "--no-prune", &image]));
    image
}

/// Writes the application's state with the accessory, with more of it.
fn write(scene: &Scene, version: &str, image: &str, more: &str) {
    let mut app = scene.app(version);
    app.soak = "1s";
    scene.project.write(&app).unwrap();
    let file = scene.project.deploy_file();
    let text = fs::read_to_string(&file).unwrap();
    let accessory = format!(
        "accessories:\n  redis:\n    image: {image}\n    registry: {{server: '{}', username: {}, password: 'cmd://printf {}'}}\n    \
         files: ['redis.conf:/etc/redis-own.conf']\n    env: {{secret: {{TOKEN: 'cmd://printf hunter3'}}}}\n{more}",
        image.split('/').next().unwrap(),
        PrivateRegistry::USERNAME,
        PrivateRegistry::PASSWORD,
    );
    fs::write(&file, format!("{text}{accessory}")).unwrap();
    fs::write(scene.project.folder().join("redis.conf"), CONFIG).unwrap();
}

fn redis(scene: &Scene, command: &[&str]) -> String {
    let exec = ["accessory", "exec", "redis", "--", "redis-cli"];
    let ended = scene.cutover(&[&exec[..], command].concat());
    ended.succeeded();
    ended.out.trim().to_owned()
}

/// Docker's id of its container.
fn id(scene: &Scene) -> String {
    let inspect = ["docker", "inspect", "--format", "{{.Id}}", "hello.production.redis"];
    scene.host.exec(&inspect).unwrap().trim().to_owned()
}

/// What `cutover accessory status` says of it.
fn status(scene: &Scene) -> String {
    let ended = scene.cutover(&["accessory", "status"]);
    ended.succeeded();
    ended.out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_booted_kept_through_deployments_and_made_anew_with_what_it_has() {
    let scene = Scene::set("accessories");
    let registry = PrivateRegistry::start().await.unwrap();
    let _tunnel = Tunnel::open(&scene.host, registry.port()).await.unwrap();
    let image = publish(&registry);

    // Without a volume of the file: the image's own has no name, which is told, and goes from one container to the next.
    write(&scene, "v1", &image, "");
    assert!(status(&scene).contains("isn't there: cutover accessory boot redis"));
    scene
        .cutover(&["accessory", "exec", "redis", "--", "true"])
        .exited(8, &["redis isn't on", "accessory boot redis"]);
    let booted = scene.cutover(&["accessory", "boot"]);
    booted.succeeded();
    assert!(
        booted.out.contains("redis made and started") && booted.out.contains("without a name"),
        "{}",
        booted.out
    );
    assert!(!format!("{}{}", booted.out, booted.err).contains("hunter"), "a secret is shown");
    let environment =
        scene.host.exec(&["docker", "inspect", "--format", "{{.Config.Env}}", "hello.production.redis"]);
    assert!(environment.unwrap().contains("TOKEN=hunter3"));
    assert!(scene.cutover(&["accessory", "boot", "redis"]).out.contains("redis runs"));
    assert_eq!(redis(&scene, &["set", "kept", "1"]), "OK");

    // By its name on the network of the service, and by no other way.
    let ask = |network: &str| {
        let ask = [
            "docker",
            "run",
            "--rm",
            "--network",
            network,
            "--entrypoint",
            "redis-cli",
            &image,
            "-h",
            "redis",
            "get",
            "kept",
        ];
        scene.host.exec(&ask)
    };
    assert_eq!(ask("cutover.production.hello").unwrap().trim(), "1");
    assert!(ask("bridge").is_err());
    assert!(std::net::TcpStream::connect((scene.host.address.as_str(), 6379)).is_err());

    // Deployments leave it alone.
    let first = id(&scene);
    scene.cutover(&["deploy", "--version", "v1"]).succeeded();
    let load = scene.load();
    write(&scene, "v2", &image, "");
    scene.cutover(&["deploy", "--version", "v2"]).succeeded();
    scene.cutover(&["rollback"]).succeeded();
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(id(&scene), first);

    // Another of its settings is told, and takes effect when somebody says so. What it wrote stays.
    let published = "    publish: ['127.0.0.1:16379:6379']\n";
    write(&scene, "v2", &image, published);
    assert!(
        scene.cutover(&["accessory", "boot"]).out.contains("left alone: `cutover accessory reboot redis`")
    );
    assert!(status(&scene).contains("not as in the deploy file"));
    scene.cutover(&["accessory", "reboot", "redis"]).succeeded();
    let second = id(&scene);
    assert_ne!(second, first);
    assert_eq!(redis(&scene, &["get", "kept"]), "1");
    scene.host.exec(&["bash", "-c", "</dev/tcp/127.0.0.1/16379"]).unwrap();

    // One that exits leaves the one before, with its last lines.
    write(&scene, "v2", &image, &format!("{published}    command: [--no-such-option, '1']\n"));
    let failed = scene.cutover(&["accessory", "reboot", "redis"]);
    failed.exited(8, &["redis is as it was", "exited", "no-such-option"]);
    assert_eq!((id(&scene), redis(&scene, &["get", "kept"])), (second.clone(), "1".to_owned()));

    // Stopped is stopped, also for a Docker that starts anew; removed is removed, and a volume with a name is not.
    // Another volume has other data: that has to be meant.
    write(&scene, "v2", &image, &format!("{published}    container: {{volumes: ['redis:/data']}}\n"));
    let other = scene.cutover(&["accessory", "reboot", "redis"]);
    other.exited(
        8,
        &["has its /data in ", "and would have it in redis", "docker run --rm", "--other-volumes"],
    );
    assert_eq!(redis(&scene, &["get", "kept"]), "1");
    // A port that somebody has is known when it starts.
    let taken = format!("    publish: ['{}:22:6379']\n", scene.host.address);
    write(&scene, "v2", &image, &taken);
    scene
        .cutover(&["accessory", "reboot", "redis"])
        .exited(8, &["redis is as it was", "could not be started"]);
    assert_eq!((id(&scene), redis(&scene, &["get", "kept"])), (second, "1".to_owned()));
    write(&scene, "v2", &image, &format!("{published}    container: {{volumes: ['redis:/data']}}\n"));
    scene.cutover(&["accessory", "reboot", "--other-volumes", "redis"]).succeeded();
    assert_eq!(redis(&scene, &["get", "kept"]), "");
    assert_eq!(redis(&scene, &["set", "named", "2"]), "OK");
    scene.cutover(&["accessory", "stop", "redis"]).succeeded();
    // It has ended by itself, and was not killed.
    assert!(status(&scene).contains("stopped (Exited (0)"), "{}", status(&scene));
    scene
        .cutover(&["accessory", "exec", "redis", "--", "true"])
        .exited(8, &["redis doesn't run", "accessory start"]);
    scene.cutover(&["accessory", "start", "redis"]).succeeded();
    assert!(status(&scene).contains("Up "));
    scene.cutover(&["accessory", "restart", "redis"]).succeeded();

    // A reboot that was cut off: before the new one was ever started, and after.
    let docker = |arguments: &[&str]| scene.host.exec(&[&["docker"][..], arguments].concat()).unwrap();
    let (own, before) = ("hello.production.redis", "hello.production.redis.before");
    let labels = "{{range $name, $value := .Config.Labels}}--label {{$name}}={{$value}} {{end}}";
    let labels = docker(&["inspect", "--format", labels, own]);
    let beside = |command: &str| {
        docker(&["stop", own]);
        docker(&["rename", own, before]);
        let made = [
            &[command, "--name", own][..],
            &labels.split_whitespace().collect::<Vec<_>>(),
            &[&image, "--no-such-option", "1"],
        ]
        .concat();
        let made = scene.host.exec(&[&["docker"][..], &made].concat());
        assert!(
            docker(&["ps", "--all", "--format", "{{.Names}}"]).lines().any(|name| name == own),
            "{made:?}"
        );
    };
    beside("create");
    scene.cutover(&["accessory", "boot", "redis"]).succeeded();
    assert_eq!(redis(&scene, &["get", "named"]), "2");
    beside("run");
    let both = scene.cutover(&["accessory", "boot", "redis"]);
    both.exited(8, &["was cut off", before, "docker rm -f"]);
    assert!(status(&scene).contains("(not in the deploy file)"), "{}", status(&scene));
    docker(&["rm", "--force", own]);
    scene.cutover(&["accessory", "boot", "redis"]).succeeded();
    assert_eq!(redis(&scene, &["get", "named"]), "2");

    // Nobody else may write to its files while it does.
    docker(&["stop", own]);
    docker(&[
        "run",
        "--detach",
        "--name",
        "other",
        "--volume",
        "redis:/data",
        "--entrypoint",
        "sleep",
        &image,
        "600",
    ]);
    scene
        .cutover(&["accessory", "boot", "redis"])
        .exited(8, &["redis would write to redis", "and so does other"]);
    docker(&["rm", "--force", "other"]);
    scene.cutover(&["accessory", "boot", "redis"]).succeeded();
    let removed = scene.cutover(&["accessory", "remove", "redis"]);
    removed.succeeded();
    assert!(removed.out.contains("docker volume rm redis"), "{}", removed.out);
    scene.cutover(&["accessory", "boot", "redis"]).succeeded();
    assert_eq!(redis(&scene, &["get", "named"]), "2");
    let logs = scene.cutover(&["accessory", "logs", "redis"]);
    assert!(
        logs.out.contains("hello.production.redis | ") && logs.out.contains("Ready to accept connections"),
        "{}",
        logs.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_in_a_replica_with_its_exit_code_its_input_and_a_terminal() {
    let scene = Scene::set("commands");
    scene.cutover(&["exec", "--", "/hello"]).exited(2, &["has never been deployed"]);
    scene.deploy(&scene.app("v1")).succeeded();
    // It can't listen where the replica does.
    let once = scene.cutover(&["exec", "--", "/hello"]);
    assert_eq!(once.code, Some(1), "{}{}", once.out, once.err);
    assert!(once.err.to_lowercase().contains("address"), "{}", once.err);
    let all = scene.cutover(&["exec", "--all", "--", "/hello"]);
    let begins = format!("{}/hello-production-", scene.host.address);
    let refused = all.err.lines().filter(|line| line.starts_with(&begins) && line.contains("can't listen"));
    assert_eq!((all.code, refused.count()), (Some(1), 2), "{}", all.err);
    // Its own requests for its health are in no log.
    let lines = |more: &[&str]| {
        let logs = scene.cutover(&[&["logs"][..], more].concat());
        logs.succeeded();
        logs.out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = lines(&[]);
    assert!(all.len() >= 2 && all.iter().all(|line| line.starts_with(&begins)), "{all:?}");
    let word = all[0].rsplit_once(' ').unwrap().1;
    assert!(
        lines(&["--grep", word, "--role", "web", "--host", &scene.host.address, "--since", "1h"]).len() >= 2
    );
    assert_eq!(lines(&["--grep", "no such word"]), Vec::<String>::new());
    assert_eq!(lines(&["--role", "jobs"]), Vec::<String>::new());
    assert_eq!(lines(&["-n", "0"]), Vec::<String>::new());
    scene.cutover(&["logs", "--host", "203.0.113.1"]).exited(2, &["is not a host of this destination"]);
    let absent = scene.cutover(&["exec", "--", "/no/such/program"]);
    assert!(matches!(absent.code, Some(126 | 127)), "{:?} {}{}", absent.code, absent.out, absent.err);
    scene.cutover(&["exec", "--role", "jobs", "--", "/hello"]).exited(2, &["no live replica", "role jobs"]);
    scene
        .cutover(&["exec", "--host", "203.0.113.1", "--", "/hello"])
        .exited(2, &["is not a host of this destination"]);
    scene.cutover(&["exec", "/hello"]).exited(2, &[]);

    // What is piped in arrives whole, and ends; a terminal is one.
    let registry = PrivateRegistry::start().await.unwrap();
    let _tunnel = Tunnel::open(&scene.host, registry.port()).await.unwrap();
    write(&scene, "v1", &publish(&registry), "");
    scene.cutover(&["accessory", "boot"]).succeeded();
    let sum = ["accessory", "exec", "-i", "redis", "--", "sh", "-c", "sha256sum; exit 7"];
    let mut command = scene.plane.command(scene.project.folder(), &sum);
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let text: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
    running.stdin.take().unwrap().write_all(&text).unwrap();
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let expected = cutover_core::Digest::of(&text).to_string();
    let found = String::from_utf8(output.stdout).unwrap();
    assert!(expected.ends_with(found.split_whitespace().next().unwrap()), "{found} {expected}");

    let shell = "exec -i redis -- sh -c 'tty; read line; stty size; echo $TERM; echo \"got $line\"; exit 5'";
    let cutover = cutover_e2e::dist().join("cutover");
    let mut script = scene.plane.command(scene.project.folder(), &[]);
    let environment: Vec<_> =
        script.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    script = Command::new("script");
    script.args(["--quiet", "--return", "--command"]);
    script.arg(format!("stty rows 33 cols 77; {} accessory {shell}", cutover.display())).arg("/dev/null");
    script.envs(environment).env("TERM", "xterm-256color").current_dir(scene.project.folder());
    let mut running = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut typed = running.stdin.take().unwrap();
    std::thread::spawn(move || {
        // Until it is over: what is typed before anybody reads would be echoed by the terminal in between.
        while typed.write_all(b"x\n").is_ok() {
            #[allow(clippy::disallowed_methods)]
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    });
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("/dev/pts/") && said.contains("33 77") && said.contains("xterm-256color"),
        "{said}"
    );
    assert!(said.contains("got ") && output.status.code() == Some(5), "{:?} {said}", output.status);
}
