//! What sshd's forwarding does, over one byte stream: for hosts whose sshd forwards nothing.
//!
//! At the far end of the stream, on the host, [`serve`] opens connections and listens; at the near end a [`Bridge`] asks it to.
//! In between, yamux carries any number of streams (<https://github.com/hashicorp/yamux/blob/master/spec.md>). The near end
//! begins each with one line of JSON, a [`Call`], which is answered with a line, an [`Answer`]; then it carries the
//! connection's bytes. It pings, too: a side that doesn't hear the other any more ends the bridge with all that goes over it. A stream that the far end begins is a connection that was accepted there, and its first line says at which
//! port.

mod client;
mod error;
mod line;
mod mux;
mod server;

pub use client::{Bridge, BridgeListener, BridgeStream};
pub use error::Error;
pub use line::{Answer, Call};
pub use server::serve;
