//! Names, versions, values and files that a shell, a terminal or a query would read otherwise, on their whole way to a host.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;

use cutover_e2e::App;
use serde::Deserialize;
use support::{Expect, Scene};

/// What a shell would make, wherever it read one of the texts.
const TRACE: &str = "cutover-was-here";

/// What matters here of what Docker says of a container.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    env: Vec<String>,
    labels: BTreeMap<String, String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_shell_would_read_arrives_as_it_is() {
    let scene = Scene::set("hostile");
    let value = format!(
        "it's \"quoted\" $(touch /tmp/{TRACE}) `touch /tmp/{TRACE}`\n; touch /tmp/{TRACE} && -rf $HOME \\ % é 漢字 🚀"
    );
    // A JSON string is one of YAML too.
    let quoted = serde_json::to_string(&value).unwrap();
    let escaped = quoted.trim_matches('"').to_owned();
    // Each of these is a line of the deploy file of its own kind.
    let label = format!("container: {{read_only: true, labels: {{com.example.note: {quoted}}}}}");
    for file in ["-rf", "--help", &format!("$(touch ..%2f{TRACE})"), "a\nb", "it's \"é 🚀\""] {
        fs::write(scene.project.folder().join(file), "content").unwrap();
    }
    let app = App { env: vec![("HOSTILE", escaped)], ..scene.app("v1") };
    scene.project.write(&app).unwrap();
    let text = fs::read_to_string(scene.project.deploy_file()).unwrap();
    fs::write(scene.project.deploy_file(), text.replace("container: {read_only: true}", &label)).unwrap();

    for version in [
        format!("$(touch${{IFS}}/tmp/{TRACE})"),
        format!("'\";touch${{IFS}}/tmp/{TRACE};\"'"),
        "`id`".to_owned(),
        "--help".to_owned(),
        "../../../etc/passwd".to_owned(),
    ] {
        scene.cutover(&["deploy", "--force", &format!("--version={version}")]).exited(0, &[&version]);
        scene.cutover(&["history"]).exited(0, &[&version]);
    }
    for version in ["", "two words", "a\nb", "\u{1b}[2J", "é"] {
        scene.cutover(&["deploy", &format!("--version={version}")]).exited(2, &["printable ASCII"]);
    }
    for destination in ["production;id", "$(id)", "../production", "--production"] {
        scene.cutover(&["deploy", "--destination", destination]).exited(2, &[]);
    }

    let replicas = scene.replicas();
    let inspect = ["docker", "inspect", "--format", "{{json .Config}}"];
    let command: Vec<&str> = inspect.into_iter().chain(replicas.iter().map(String::as_str)).collect();
    let inspected = scene.host.exec(&command).unwrap();
    assert_eq!(inspected.lines().count(), 2);
    for line in inspected.lines() {
        let config: Config = serde_json::from_str(line).unwrap();
        assert!(config.env.contains(&format!("HOSTILE={value}")), "{line}");
        assert_eq!(config.labels.get("com.example.note"), Some(&value), "{line}");
    }
    let traces = scene.host.exec(&["find", "/", "-xdev", "-name", &format!("*{TRACE}*")]).unwrap();
    assert_eq!(traces, "");
    for folder in ["/tmp".as_ref(), scene.project.folder().parent().unwrap(), scene.plane.home()] {
        assert!(!folder.join(TRACE).exists(), "{}", folder.display());
    }
}
