use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::time::timeout;

use super::activity::{Activity, Noted};
use crate::access_log::{Aborted, Counted, Record};
use crate::targets::{Kind, Lease};

/// How long both sides may take to leave HTTP after the 101.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);

/// Copies bytes between a client and an application that have changed to another protocol, until both have closed, both
/// have been silent for too long, or the application's time is over. The request is in flight until then.
pub(crate) async fn tunnel(client: OnUpgrade, application: OnUpgrade, lease: Lease, mut record: Record) {
    let target = lease.target();
    let activity = Arc::new(Activity::new());
    let moved = record.moved();
    let through = async {
        let both = async { tokio::try_join!(client, application) };
        let (client, application) = timeout(CHANGE_LIMIT, both).await?.map_err(io::Error::other)?;
        // What goes either way is read from the client or written to it.
        let client = Counted::new(TokioIo::new(client), moved);
        let mut client = Noted::new(client, Arc::clone(&activity));
        copy_bidirectional(&mut client, &mut TokioIo::new(application)).await
    };
    let silence = async {
        match lease.set().limits.idle {
            Some(limit) => activity.silence(limit).await,
            None => pending().await,
        }
    };
    tokio::select! {
        ended = through => match ended {
            Ok(_) => record.ends(),
            Err(error) => {
                tracing::debug!(address = %target.address(), %error, "an upgraded connection broke");
                record.aborts(Aborted::Broken);
            }
        },
        () = silence => {
            tracing::debug!(address = %target.address(), "an upgraded connection was silent for too long");
            record.aborts(Aborted::Silent);
        }
        () = target.cut(Kind::Upgraded).cancelled() => record.aborts(Aborted::Replaced),
    }
}
