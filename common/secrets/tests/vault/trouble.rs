//! Servers that fail. A real one fails so only where it is made to with more machinery than this.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};

use cutover_secrets::{Stores, VaultError};

use crate::support::{refusal, stores};

const PASSWORD: &str = "vault://kv/shop/db#password";

/// What answers every request with these bytes and ends the connection; with nothing, it keeps silent.
fn answering(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for connection in listener.incoming() {
            let mut connection = BufReader::new(connection.unwrap());
            let mut line = String::new();
            while connection.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            if answer.is_empty() {
                open.push(connection);
            } else {
                connection.get_mut().write_all(answer).unwrap();
            }
        }
    });
    address
}

fn asking(server: SocketAddr) -> Stores {
    let url = format!("http://{server}");
    let token = ("VAULT_TOKEN", "hunter2-token");
    stores(&[("VAULT_ADDR", &url), token, ("CUTOVER_SECRETS_ALLOW", "vault://*")])
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let answers: [&[u8]; 4] = [
        b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 25\r\n\r\n{\"errors\":[\"backend gone\"]}",
        b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\n\r\n<html>",
        b"nonsense\r\n\r\n",
    ];
    for answer in answers {
        let error = refusal(&asking(answering(answer)), PASSWORD).await;
        assert!(error.retryable() && !error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_keeps_silent_is_given_up() {
    let error = refusal(&asking(answering(b"")), PASSWORD).await;
    assert!(matches!(*error, VaultError::Silent { .. }) && error.retryable(), "{error}");
}

#[tokio::test]
async fn no_token_is_sent_where_a_redirect_points() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{}/v1/kv/data/shop/db\r\ncontent-length: 0\r\n\r\n",
        elsewhere.local_addr().unwrap()
    );
    let error = refusal(&asking(answering(answer.leak().as_bytes())), PASSWORD).await;
    assert!(matches!(*error, VaultError::Redirected { .. }), "{error}");
    assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn an_answer_without_end_is_not_taken_in() {
    let answer =
        [b"HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n".to_vec(), vec![b' '; 2 << 20]].concat();
    let error = refusal(&asking(answering(answer.leak())), PASSWORD).await;
    assert!(matches!(*error, VaultError::Answer { .. }) && !error.retryable(), "{error}");
}
