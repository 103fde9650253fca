//! Whether a server speaks HTTP/2 without TLS to a client that knows beforehand that it does (RFC 9113, section 3.3).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The client's preface, and its settings: none.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The type of the frame that a server must send first: its settings.
const SETTINGS: u8 = 4;
const LIMIT: Duration = Duration::from_secs(2);

/// Found out by asking: a server that doesn't answers in HTTP/1.1, closes the connection, or stays silent.
pub(crate) async fn is_answered(address: SocketAddr) -> bool {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(PREFACE).await?;
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).await?;
        let [_, _, _, kind, _, stream @ ..] = frame;
        std::io::Result::Ok(kind == SETTINGS && stream == [0; 4])
    };
    matches!(timeout(LIMIT, asking).await, Ok(Ok(true)))
}
