//! Buckets: events of objects, as S3 has them and MinIO, Ceph and others send over HTTP.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>

use cutover_core::Occasion;
use serde::Deserialize;

use crate::delivery::Delivery;
use crate::event::{Event, Told};
use crate::refusal::Refusal;

#[derive(Deserialize)]
struct Sent {
    /// A test has none.
    #[serde(rename = "Records", default)]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_name: String,
    s3: Place,
}

#[derive(Deserialize)]
struct Place {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    /// Encoded as in a URL's query.
    key: String,
    version_id: Option<String>,
}

pub(crate) fn read(delivery: &Delivery<'_>) -> Result<Told, Refusal> {
    let Sent { records } = delivery.json()?;
    let written = records.into_iter().filter(|record| is_written(&record.event_name));
    let event = |Record { s3: Place { bucket, object }, .. }| {
        let key = decoded(&object.key).ok_or_else(|| Refusal::Body(format!("'{}' is no key", object.key)))?;
        let version = object.version_id.filter(|version| !version.is_empty());
        Ok(Event::of(Occasion::Object { bucket: bucket.name, key, version }))
    };
    Ok(Told::any(written.map(event).collect::<Result<_, _>>()?, "no object was written"))
}

/// MinIO writes `s3:` before the name.
fn is_written(event: &str) -> bool {
    event.strip_prefix("s3:").unwrap_or(event).starts_with("ObjectCreated:")
}

/// A text without the encoding of `application/x-www-form-urlencoded`; none: it isn't encoded so, or is no text.
fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                *hex::decode(digits).ok()?.first()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn a_key_is_decoded_as_it_was_encoded() {
        assert_eq!(decoded("models/mini+lm%2Bv1.%C3%A9").as_deref(), Some("models/mini lm+v1.é"));
        for text in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }
}
