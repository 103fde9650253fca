//! Renewal of a token that was given.

use std::time::Duration;

use super::answer::{Data, Token};
use super::credential::Credential;
use super::http::Http;
use super::{Error, Settings};

/// Until the next look at a token that needs no renewal, or couldn't be renewed.
const AGAIN: Duration = Duration::from_secs(60);

/// Renews the token, where it is one that was given, needs it, and can be renewed. Answers when to look again; none where
/// nothing is ever to be renewed, as there are logins instead.
pub(crate) async fn renew(settings: Settings) -> Result<Option<Duration>, Error> {
    if !matches!(settings.credential, Credential::Token(_)) {
        return Ok(None);
    }
    let session = Http::new(settings)?.enter().await?;
    let answer = session.get("auth/token/lookup-self").await?;
    let server = session.http.server();
    if answer.status == 403 {
        return Err(Error::InvalidToken { server });
    }
    let path = "auth/token/lookup-self".to_owned();
    let Some(Data { data: Token { ttl, renewable } }) = answer.read() else {
        return Err(Error::Answer { server, path });
    };
    if !renewable || ttl == 0 {
        return Ok(Some(AGAIN));
    }
    let path = "auth/token/renew-self".to_owned();
    let answer = session.post(&path).await?;
    match answer.status {
        // A third of what is left: two more can fail.
        200 => Ok(Some((Duration::from_secs(ttl) / 3).clamp(Duration::from_secs(1), 60 * AGAIN))),
        status => Err(Error::Refused { server, path, status, said: answer.said() }),
    }
}
