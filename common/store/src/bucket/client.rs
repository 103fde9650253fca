//! The connection to an S3 server.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use crate::BucketAddress;

/// Where nothing says the region: what AWS takes for the first one, and what servers that know none accept.
const REGION: &str = "us-east-1";
/// How often a request is made before it has failed. The waits between grow: 15 s in all, about.
const TRIES: u32 = 5;
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// From the first byte of a request to the first of its answer: 8 MiB may take as long on a slow line.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// A client. Where no file is named, credentials come from where AWS's own tools look for them: the environment, a profile, a
/// web identity, the container, the machine. They are looked for with the first request, and again before they end.
pub(super) async fn connect(address: &BucketAddress) -> Client {
    let http =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http.clone())
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
        .timeout_config(
            TimeoutConfig::builder().connect_timeout(CONNECT_LIMIT).read_timeout(ANSWER_LIMIT).build(),
        );
    let named = address.region.clone().map(Region::new);
    if let Some(endpoint) = &address.endpoint {
        // Not of AWS: the region isn't asked of a machine that may be no part of it.
        let region = RegionProviderChain::first_try(named)
            .or_else(EnvironmentVariableRegionProvider::new())
            .or_else(REGION);
        loader = loader.endpoint_url(endpoint).region(region);
    } else if let Some(region) = named {
        loader = loader.region(region);
    }
    if let Some(file) = &address.credentials {
        let files = EnvConfigFiles::builder().with_file(EnvConfigFileKind::Credentials, file).build();
        let provider = ProfileFileCredentialsProvider::builder()
            .configure(&ProviderConfig::without_region().with_http_client(http))
            .profile_files(files)
            .profile_name("default");
        loader = loader.credentials_provider(provider.build());
    }
    let shared = loader.load().await;
    let mut config = Builder::from(&shared).force_path_style(address.path_style);
    if shared.region().is_none() {
        config = config.region(Region::from_static(REGION));
    }
    if !address.checksums {
        config = config
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    Client::from_conf(config.build())
}
