//! Somebody who judges a canary by whatever he likes: he is told which one, and answers with a judgement.

use bytes::Bytes;
use cutover_core::{CanaryStep, KeptRelease, Plan, Webhook};
use cutover_secrets::Values;
use cutover_verdict::{Answer, Judgement};
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::Full;
use hyper::Request;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::http::Http;

/// The code of the body by the key that both know: `sha256=` and HMAC-SHA-256 (RFC 2104) of it in hexadecimal digits.
const SIGNATURE: &str = "x-cutover-signature-256";

/// What he is told.
#[derive(Serialize)]
pub(super) struct Question<'a> {
    service: &'a str,
    destination: &'a str,
    deployment: &'a str,
    version: &'a str,
    /// The version beside it.
    replaces: Option<&'a str>,
    /// The number of the step, from 0.
    step: u32,
    /// Per mille of the requests.
    weight: u16,
}

/// What he answers.
#[derive(Deserialize)]
struct Said {
    verdict: Word,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Pass,
    Fail,
    Inconclusive,
}

impl<'a> Question<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        old: Option<&'a KeptRelease>,
        (number, step): (u32, &CanaryStep),
    ) -> Self {
        Self {
            service: plan.key.service.as_str(),
            destination: plan.key.destination.as_str(),
            deployment: plan.deployment.as_str(),
            version: &plan.release.version,
            replaces: old.map(|old| old.release.version.as_str()),
            step: number,
            weight: step.weight,
        }
    }
}

/// Puts the question.
pub(super) async fn put(http: &Http, values: &Values, webhook: &Webhook, question: &Question<'_>) -> Answer {
    match request(values, webhook, question).await {
        Ok(request) => match http.send(request).await {
            Ok((status, content)) => read(status.as_u16(), &content),
            Err(why) => Answer::Down(why),
        },
        Err(why) => Answer::Down(why),
    }
}

async fn request(
    values: &Values,
    webhook: &Webhook,
    question: &Question<'_>,
) -> Result<Request<Full<Bytes>>, String> {
    let body = serde_json::to_vec(question).map_err(|error| error.to_string())?;
    let mut request = Request::post(&webhook.url)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json");
    if let Some(key) = &webhook.key {
        let key = values.resolve(key).await.map_err(|error| error.to_string())?;
        request = request.header(SIGNATURE, signature(key.expose().as_bytes(), &body)?);
    }
    request.body(Full::from(body)).map_err(|error| error.to_string())
}

fn signature(key: &[u8], body: &[u8]) -> Result<String, String> {
    let mut code = Hmac::<Sha256>::new_from_slice(key).map_err(|error| error.to_string())?;
    code.update(body);
    Ok(format!("sha256={}", hex::encode(code.finalize().into_bytes())))
}

/// What an answer says. One that is no judgement is none: nobody has passed it.
fn read(status: u16, content: &[u8]) -> Answer {
    if !(200..300).contains(&status) {
        return Answer::Down(format!("status {status}"));
    }
    match serde_json::from_slice(content) {
        Ok(Said { verdict: Word::Pass, reason }) => Answer::Said(Judgement::Pass(reason)),
        Ok(Said { verdict: Word::Fail, reason }) => Answer::Said(Judgement::Fail(reason)),
        Ok(Said { verdict: Word::Inconclusive, reason }) => Answer::Said(Judgement::Inconclusive(reason)),
        Err(error) => {
            Answer::Down(format!(r#"it isn't {{"verdict": "pass", "fail" or "inconclusive"}}: {error}"#))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_judgement_is_one() {
        let fail = br#"{"verdict":"fail","reason":"answers in Latin"}"#;
        assert_eq!(read(200, fail), Answer::Said(Judgement::Fail("answers in Latin".into())));
        assert_eq!(read(200, br#"{"verdict":"pass"}"#), Answer::Said(Judgement::Pass(String::new())));
        assert_eq!(read(500, br#"{"verdict":"pass"}"#), Answer::Down("status 500".into()));
        for none in [&b""[..], b"ok", br#"{"verdict":"maybe"}"#, br#"{}"#] {
            assert!(matches!(read(200, none), Answer::Down(_)));
        }
    }

    #[test]
    fn a_signature_is_that_of_the_rfc() {
        // RFC 4231, test case 2.
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature(b"Jefe", b"what do ya want for nothing?").unwrap(), expected);
    }
}
