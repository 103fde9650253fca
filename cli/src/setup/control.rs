use std::path::Path;

use cutover_control::{Call, DEFAULT_SOCKET, LineBuffer, Request, Response, decode_reply};
use cutover_host::Host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Asks the proxy of a host for its version; the error says in words why there is no answer.
pub(super) async fn proxy_version(host: &Host) -> Result<String, String> {
    let mut socket = host.connect_unix(Path::new(DEFAULT_SOCKET)).await.map_err(|error| error.to_string())?;
    let call = Call::new(Request::Status).to_line().map_err(|error| error.to_string())?;
    socket.write_all(&call).await.map_err(|error| error.to_string())?;
    let mut received = LineBuffer::default();
    let mut chunk = vec![0; 16 << 10];
    loop {
        if let Some(line) = received.next_line().map_err(|error| error.to_string())? {
            return match decode_reply(&line) {
                Ok(Ok(Response::Status { version, .. })) => Ok(version),
                Ok(Ok(_)) => Err("it answered something else than its status".to_owned()),
                Ok(Err(refusal)) => Err(format!("it refused: {refusal}")),
                Err(error) => Err(error.to_string()),
            };
        }
        match socket.read(&mut chunk).await {
            Ok(0) => return Err("it closed the connection".to_owned()),
            Ok(read) => received.extend(&chunk[..read]),
            Err(error) => return Err(error.to_string()),
        }
    }
}
