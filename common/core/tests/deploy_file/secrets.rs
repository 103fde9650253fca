//! References to secrets, and who needs them.

use cutover_core::{BuildContext, Digest, Plan, Program, Release, Source, Target};

use super::with;

#[test]
fn every_reference_is_known_by_its_key_and_who_reads_it() {
    let Target { image, settings, .. } = with(
        "builder: {git: {url: 'ssh://git@h/r', key: file:///git}, secrets: {npm: vault://kv/build#npm}, ssh: {default: file:///key}}\n\
         registry: {username: acme, password: aws-sm://registry, repository: acme/hello}\n\
         env: {secret: {URL: 'vault://kv/shop?version=3#url'}}\n\
         roles: {jobs: {command: work, env: {secret: {TOKEN: 'aws-sm://prod/jobs#token'}}}}\n\
         proxy: {hosts: [example.com], tls: {certificate: file:///tls.pem, key: vault://kv/tls#key}}",
    );
    let needed = [settings.needed_secrets(), image.needed_secrets()].concat();
    let told: Vec<_> = needed
        .iter()
        .map(|needed| (needed.key.as_str(), needed.reference.to_string(), needed.reader))
        .collect();
    let expected = [
        ("env.secret.URL", "vault://kv/shop?version=3#url", Program::Shipper),
        ("roles.jobs.env.secret.TOKEN", "aws-sm://prod/jobs#token", Program::Shipper),
        ("registry.password", "aws-sm://registry", Program::Shipper),
        ("proxy.tls.certificate", "file:///tls.pem", Program::Switcher),
        ("proxy.tls.key", "vault://kv/tls#key", Program::Switcher),
        ("builder.git.key", "file:///git", Program::Builder),
        ("builder.secrets.npm", "vault://kv/build#npm", Program::Builder),
        ("builder.ssh.default", "file:///key", Program::Builder),
        ("registry.password", "aws-sm://registry", Program::Builder),
    ];
    assert_eq!(told, expected.map(|(key, reference, reader)| (key, reference.to_owned(), reader)));
}

#[test]
fn a_secret_needs_programs_that_know_where_it_is() {
    let protocol = |lines: &str| {
        let Target { image, settings, .. } = with(lines);
        let archive = Digest::of(b"context");
        let recipe = Box::new(image.recipe().unwrap().clone());
        let source = Source::Context(BuildContext { archive, recipe });
        Plan::protocol_for(&Release { version: "v1".into(), source, settings, migrations: Vec::new() })
    };
    assert_eq!(protocol("env: {clear: {URL: 'http://127.0.0.1'}}"), 2);
    assert_eq!(protocol("env: {secret: {URL: env://URL, LICENCE: file:///licence}}"), 7);
    assert_eq!(protocol("env: {secret: {URL: vault://kv/shop#url}}"), 7);
    assert_eq!(protocol("builder: {secrets: {npm: aws-sm://npm}}"), 7);
}
