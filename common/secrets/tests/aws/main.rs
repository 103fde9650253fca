//! Against what stands in for AWS, moto, with the environment of a process of its own: AWS's own tools are told by it alone
//! where they are and who asks.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_types)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use cutover_secrets::{Reference, Stores};

/// The references that the process looks for, by spaces.
const WANTED: &str = "WANTED_BY_TEST";
/// What begins the line that says what was found.
const FOUND: &str = "found: ";

/// A server of one test's own. It ends with its standard input, which this holds.
struct Server {
    endpoint: String,
    _process: Child,
}

impl Server {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/aws-secrets.sh");
        let started = Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = started.unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let endpoint = line.trim().strip_prefix("endpoint ").unwrap().to_owned();
        Self { endpoint, _process: process }
    }

    /// Does something as the administrator, in a region; answers with what it says.
    fn ask(&self, region: &str, action: &str, body: &str) -> serde_json::Value {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "20", "--user", "any:any"]);
        curl.args(["--aws-sigv4", &format!("aws:amz:{region}:secretsmanager")]);
        curl.args(["--header", &format!("X-Amz-Target: secretsmanager.{action}")]);
        curl.args(["--header", "Content-Type: application/x-amz-json-1.1", "--data", body, &self.endpoint]);
        let output = curl.output().unwrap();
        assert!(output.status.success(), "{action}: {}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What a program finds that has these variables, and those with which it gets in.
    fn find(&self, variables: &[(&str, &str)], wanted: &[&str]) -> Vec<String> {
        let own = [
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "any"),
            ("AWS_SECRET_ACCESS_KEY", "any"),
            ("AWS_REGION", "eu-west-1"),
        ];
        find(&[&own, variables].concat(), wanted)
    }
}

fn find(variables: &[(&str, &str)], wanted: &[&str]) -> Vec<String> {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "looks_for_what_its_environment_names", "--ignored", "--nocapture"]);
    process.env_clear().env(WANTED, wanted.join(" "));
    // Nobody's machine is asked who it is.
    process.env("AWS_EC2_METADATA_DISABLED", "true").env("CUTOVER_SECRETS_ALLOW", "aws-sm://*");
    process.envs(variables.iter().copied());
    let output = process.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    // The harness writes without a line break before it.
    text.lines().filter_map(|line| Some(line.split_once(FOUND)?.1.to_owned())).collect()
}

/// What the process does that a test starts.
#[tokio::test]
#[ignore = "of no use alone"]
async fn looks_for_what_its_environment_names() {
    let wanted = std::env::var(WANTED).unwrap();
    let wanted: Vec<Reference> = wanted.split(' ').map(|text| text.parse().unwrap()).collect();
    for found in Stores::from_environment().find(&wanted).await {
        match found {
            Ok(found) => println!("{FOUND}{} {:?}", found.value.expose(), found.version),
            Err(error) => println!("{FOUND}{error} retry={}", error.retryable()),
        }
    }
}

const FIRST: &str = "11111111-1111-1111-1111-111111111111";
const SECOND: &str = "22222222-2222-2222-2222-222222222222";

#[test]
fn secrets_are_found_by_name_and_arn_field_version_stage_and_region() {
    let server = Server::start();
    let first = format!(
        r#"{{"Name": "prod/shop", "SecretString": "{{\"password\": \"hunter1\", \"port\": 5432}}", "ClientRequestToken": "{FIRST}"}}"#
    );
    let made = server.ask("eu-west-1", "CreateSecret", &first);
    let arn = format!("aws-sm://{}#password", made["ARN"].as_str().unwrap());
    let second = format!(
        r#"{{"SecretId": "prod/shop", "SecretString": "{{\"password\": \"hunter2\"}}", "ClientRequestToken": "{SECOND}"}}"#
    );
    server.ask("eu-west-1", "PutSecretValue", &second);
    let token = |region: &str, text: &str, id: &str| {
        let body = format!(r#"{{"Name": "token", "SecretString": "{text}", "ClientRequestToken": "{id}"}}"#);
        server.ask(region, "CreateSecret", &body)
    };
    token("eu-west-1", "in-the-west", FIRST);
    token("us-east-2", "in-the-east", SECOND);
    let old = format!("aws-sm://prod/shop?version={FIRST}#port");
    let wanted = [
        "aws-sm://prod/shop#password",
        arn.as_str(),
        &old,
        "aws-sm://prod/shop?stage=AWSPREVIOUS#password",
        "aws-sm://token",
        "aws-sm://token?region=us-east-2",
    ];
    let found = server.find(&[], &wanted);
    let expected = [
        ("hunter2", SECOND),
        ("hunter2", SECOND),
        ("5432", FIRST),
        ("hunter1", FIRST),
        ("in-the-west", FIRST),
        ("in-the-east", SECOND),
    ];
    assert_eq!(found, expected.map(|(value, version)| format!("{value} {:?}", Some(version))));
}

#[test]
fn what_is_not_there_says_why_and_whether_to_try_again() {
    let server = Server::start();
    server.ask("eu-west-1", "CreateSecret", r#"{"Name": "token", "SecretString": "hunter2-token"}"#);
    let binary = r#"{"Name": "binary", "SecretBinary": "//79"}"#;
    server.ask("eu-west-1", "CreateSecret", binary);
    let gone = server.ask("eu-west-1", "CreateSecret", r#"{"Name": "gone", "SecretString": "hunter2"}"#);
    server.ask("eu-west-1", "DeleteSecret", &format!(r#"{{"SecretId": {}}}"#, gone["ARN"]));
    let wanted = [
        "aws-sm://none",
        "aws-sm://token?version=33333333-3333-3333-3333-333333333333",
        "aws-sm://token#password",
        "aws-sm://binary",
        "aws-sm://gone",
    ];
    let found = server.find(&[], &wanted);
    let said = [
        "there is no such secret in that region, or not in that version",
        "there is no such secret in that region, or not in that version",
        "its text is no JSON object with fields: leave #key out",
        "its value is not UTF-8 text",
        "AWS refuses: InvalidRequestException",
    ];
    for ((found, said), wanted) in found.iter().zip(said).zip(wanted) {
        assert!(found.starts_with(wanted) && found.contains(said), "{wanted}: {found}");
        assert!(found.ends_with("retry=false") && !found.contains("hunter2"), "{found}");
    }
    assert_eq!(found.len(), wanted.len());
    let elsewhere = [("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")];
    let found = server.find(&elsewhere, &["aws-sm://token"]);
    assert!(found[0].contains("can't be reached") && found[0].ends_with("retry=true"), "{found:?}");
    let refused = server.find(&[("CUTOVER_SECRETS_ALLOW", "aws-sm://prod/*")], &["aws-sm://token"]);
    assert!(refused[0].contains("the operator has not allowed it"), "{refused:?}");
}

#[test]
fn without_credentials_or_a_region_nothing_is_asked() {
    let endpoint = ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9");
    let nobody = find(&[endpoint, ("AWS_REGION", "eu-west-1")], &["aws-sm://token"]);
    assert!(nobody[0].contains("finds no credentials") && nobody[0].ends_with("retry=false"), "{nobody:?}");
    let credentials = [("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")];
    let nowhere = find(&[&credentials[..], &[endpoint]].concat(), &["aws-sm://token"]);
    assert!(nowhere[0].contains("nothing says which region"), "{nowhere:?}");
}
