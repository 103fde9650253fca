//! AWS Secrets Manager.

mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use cutover_core::{AwsSecret, AwsVersion};
use futures_util::StreamExt;

pub use self::error::Error;
use crate::Secret;
use crate::field::Field;

/// How many secrets are read at once.
const AT_ONCE: usize = 8;
/// How often a request is made before it has failed.
const TRIES: u32 = 3;
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// For an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A secret without the field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    name: String,
    version: Option<AwsVersion>,
    region: Option<String>,
}

/// A secret.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its text as a whole.
    pub(crate) text: Secret,
    /// Which version it is.
    pub(crate) version: Option<String>,
}

impl Address {
    pub(crate) fn of(secret: &AwsSecret) -> Self {
        let AwsSecret { name, version, region, key: _ } = secret.clone();
        Self { name, version, region }
    }
}

impl Entry {
    /// The fields of the JSON object that the text is; none where it is something else.
    pub(crate) fn fields(&self) -> Option<BTreeMap<String, Field>> {
        serde_json::from_str(self.text.expose()).ok()
    }
}

/// Reads secrets, each once. Credentials come from where AWS's own tools look for them.
pub(crate) async fn read_all(addresses: BTreeSet<Address>) -> BTreeMap<Address, Result<Entry, Arc<Error>>> {
    let shared = Box::pin(load()).await;
    let reads = addresses.into_iter().map(async |address| {
        let entry = Box::pin(read(&shared, &address)).await.map_err(Arc::new);
        (address, entry)
    });
    futures_util::stream::iter(reads).buffer_unordered(AT_ONCE).collect().await
}

async fn load() -> SdkConfig {
    let http =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let limits = TimeoutConfig::builder().connect_timeout(CONNECT_LIMIT).read_timeout(ANSWER_LIMIT).build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
        .timeout_config(limits)
        .load()
        .await
}

async fn read(shared: &SdkConfig, address: &Address) -> Result<Entry, Error> {
    let mut config = Builder::from(shared);
    match &address.region {
        Some(region) => config = config.region(Region::new(region.clone())),
        None if shared.region().is_none() => return Err(Error::NoRegion),
        None => {}
    }
    let mut request = Client::from_conf(config.build()).get_secret_value().secret_id(&address.name);
    match &address.version {
        Some(AwsVersion::Id(id)) => request = request.version_id(id),
        Some(AwsVersion::Stage(stage)) => request = request.version_stage(stage),
        None => {}
    }
    let answer = request.send().await.map_err(Error::of)?;
    let version = answer.version_id;
    let text = match (answer.secret_string, answer.secret_binary) {
        (Some(text), _) => Secret::new(text),
        (None, Some(bytes)) => {
            Secret::new(String::from_utf8(bytes.into_inner()).map_err(|_| Error::NotText)?)
        }
        (None, None) => return Err(Error::NotText),
    };
    Ok(Entry { text, version })
}
