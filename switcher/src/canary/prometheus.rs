//! Instant queries to a server that speaks the HTTP API of Prometheus
//! (<https://prometheus.io/docs/prometheus/latest/querying/api/>).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use cutover_core::{Login, MetricsServer};
use cutover_secrets::Values;
use cutover_verdict::Answer;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::form_urlencoded;

use super::http::Http;

/// How long the server may work on it.
const TIMEOUT: &str = "5s";

/// What the server answers.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Response {
    Success { data: Data },
    Error { error: String },
}

/// What a query has for a value: `[<unix time>, "<number>"]`, with the number as a text, as `NaN` is none in JSON.
#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Scalar((f64, String)),
    String(IgnoredAny),
    Matrix(IgnoredAny),
}

/// One series. A native histogram has no value.
#[derive(Deserialize)]
struct Series {
    value: Option<(f64, String)>,
}

/// Asks the server for the value that an expression has now.
pub(super) async fn ask(http: &Http, values: &Values, server: &MetricsServer, expression: &str) -> Answer {
    match question(values, server, expression).await {
        Ok(request) => match http.send(request).await {
            Ok((status, content)) => read(status.as_u16(), &content),
            Err(why) => Answer::Down(why),
        },
        Err(why) => Answer::Down(why),
    }
}

async fn question(
    values: &Values,
    server: &MetricsServer,
    expression: &str,
) -> Result<Request<Full<Bytes>>, String> {
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("query", expression)
        .append_pair("timeout", TIMEOUT)
        .finish();
    let mut request = Request::post(format!("{}/api/v1/query", server.url))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json");
    if let Some(login) = &server.login {
        request = request.header(AUTHORIZATION, authorization(values, login).await?);
    }
    request.body(Full::from(body)).map_err(|error| error.to_string())
}

async fn authorization(values: &Values, login: &Login) -> Result<HeaderValue, String> {
    let value = match login {
        Login::Basic { username, password } => {
            let password = values.resolve(password).await.map_err(|error| error.to_string())?;
            let pair = zeroize::Zeroizing::new(format!("{username}:{}", password.expose()));
            format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes()))
        }
        Login::Bearer(token) => {
            format!("Bearer {}", values.resolve(token).await.map_err(|error| error.to_string())?.expose())
        }
    };
    let mut value = HeaderValue::try_from(zeroize::Zeroizing::new(value).as_str())
        .map_err(|_| "what it is entered by can't stand in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// What an answer says. Errors are told in the same form, with any status.
fn read(status: u16, content: &[u8]) -> Answer {
    let values = match serde_json::from_slice(content) {
        Ok(Response::Success { data: Data::Vector(series) }) => {
            series.into_iter().map(|series| Some(series.value?.1)).collect::<Option<Vec<_>>>()
        }
        Ok(Response::Success { data: Data::Scalar((_, value)) }) => Some(vec![value]),
        Ok(Response::Success { data: Data::String(_) | Data::Matrix(_) }) => None,
        Ok(Response::Error { error }) => return Answer::Down(error),
        Err(_) if status != 200 => return Answer::Down(format!("status {status}")),
        Err(error) => return Answer::Down(format!("it isn't what Prometheus answers: {error}")),
    };
    values.map_or_else(
        || {
            Answer::Down(
                "the expression has no number at one time: a range, a text or a histogram".to_owned(),
            )
        },
        Answer::Values,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(values: &[&str]) -> Answer {
        Answer::Values(values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn what_the_documentation_shows_is_read() {
        let vector = br#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"job":"a"},"value":[1435781451.781,"1"]},{"metric":{"job":"b"},"value":[1435781451.781,"NaN"]}]}}"#;
        assert_eq!(read(200, vector), values(&["1", "NaN"]));
        let scalar =
            br#"{"status":"success","data":{"resultType":"scalar","result":[1435781451.781,"+Inf"]}}"#;
        assert_eq!(read(200, scalar), values(&["+Inf"]));
        let empty = br#"{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["w"]}"#;
        assert_eq!(read(200, empty), values(&[]));
        let error = br#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        assert_eq!(read(400, error), Answer::Down("parse error".into()));
        let matrix = br#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"]]}]}}"#;
        assert!(matches!(read(200, matrix), Answer::Down(why) if why.contains("a range")));
        assert_eq!(read(502, b"<html>"), Answer::Down("status 502".into()));
        assert!(
            matches!(read(200, b"{}"), Answer::Down(why) if why.contains("isn't what Prometheus answers"))
        );
    }
}
