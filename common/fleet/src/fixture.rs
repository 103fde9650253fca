//! What tests of a deployment need.

#![allow(clippy::unwrap_used)]

use cutover_core::{DeployFile, Settings};

/// Settings without limits, hardening or environment.
pub(crate) fn settings() -> Settings {
    let text = "service: hello\nimage: hello\ndestinations: {production: {hosts: [203.0.113.7]}}";
    DeployFile::parse(text, "cutover.yaml").unwrap().destination(None).unwrap().settings
}
