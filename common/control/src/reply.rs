use serde::{Deserialize, Serialize};

use crate::line::{from_line, to_line};
use crate::{
    Account, Certificate, CertificateStatus, Error, Refusal, ServiceKey, ServiceStatus, Target, TargetStatus,
};

/// One line from the proxy: `{"ok": …}` or `{"refused": …}`.
pub type Reply = Result<Response, Refusal>;

/// What the proxy answers to a [`Request`](crate::Request) that it carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// To [`Request::Status`](crate::Request::Status).
    Status {
        /// The proxy's version.
        version: String,
        /// Which process answers: another one after a start, and after an upgrade. Not to be guessed.
        instance: String,
        /// Every service that was ever switched to, by key.
        services: Vec<ServiceStatus>,
    },
    /// To [`Request::Switch`](crate::Request::Switch): new requests go to the new targets.
    Switched {
        /// The deployment that a restore would bring back.
        previous: Option<String>,
    },
    /// To [`Request::Canary`](crate::Request::Canary): new requests follow the weight.
    Weighted {
        /// The deployment that the rest goes to.
        active: String,
    },
    /// To [`Request::Restore`](crate::Request::Restore).
    Restored {
        /// The deployment that serves now; with none the route answers 503.
        serving: Option<String>,
    },
    /// To [`Request::Retire`](crate::Request::Retire): what may still not be stopped.
    Retired {
        /// Where new requests go, or may go: a canary's are among them, whatever its weight.
        serving: Vec<Target>,
        /// Displaced targets that still have requests, streams or upgraded connections in flight, and how many of each.
        draining: Vec<TargetStatus>,
    },
    /// To [`Request::Adopt`](crate::Request::Adopt).
    Adopted,
    /// To [`Request::Pause`](crate::Request::Pause): new requests wait.
    Paused,
    /// To [`Request::Resume`](crate::Request::Resume): nothing waits that comes from now on.
    Resumed,
    /// To [`Request::Maintenance`](crate::Request::Maintenance): new requests get the page.
    Away,
    /// To [`Request::EndMaintenance`](crate::Request::EndMaintenance): new requests are served.
    Back,
    /// To [`Request::Certify`](crate::Request::Certify): what the service has now.
    Certified {
        /// What is shown.
        certificate: CertificateStatus,
    },
    /// To [`Request::Certificates`](crate::Request::Certificates).
    Certificates {
        /// By service.
        certificates: Vec<(ServiceKey, Certificate)>,
        /// The account that was told last: all that older proxies keep, and older clients read.
        account: Option<Account>,
        /// One for each authority.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        accounts: Vec<Account>,
    },
    /// To [`Request::KeepAccount`](crate::Request::KeepAccount).
    Kept,
    /// To [`Request::Answer`](crate::Request::Answer).
    Answering,
}

/// [`Reply`] as it stands on the wire.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wire<Ok, Refused> {
    Ok(Ok),
    Refused(Refused),
}

/// The reply as one line, newline included.
///
/// # Errors
///
/// [`Error::TooLong`] when it exceeds [`MAX_LINE`](crate::MAX_LINE).
pub fn encode_reply(reply: &Reply) -> Result<Vec<u8>, Error> {
    let wire = match reply {
        Ok(response) => Wire::Ok(response),
        Err(refusal) => Wire::Refused(refusal),
    };
    to_line(&wire, "reply")
}

/// Reads a reply from one line, with or without its newline. The outer error is a line that can't be read, the inner
/// one is the proxy's refusal.
///
/// # Errors
///
/// [`Error::Malformed`] when the line is no reply.
pub fn decode_reply(line: &[u8]) -> Result<Reply, Error> {
    Ok(match from_line(line, "reply")? {
        Wire::Ok(response) => Ok(response),
        Wire::Refused(refusal) => Err(refusal),
    })
}
