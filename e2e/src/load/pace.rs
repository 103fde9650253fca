//! Waiting for a moment to a few microseconds. The runtime's own timer knows whole milliseconds: at thousands of requests
//! per second it would send them in bursts, and each latency would be half a millisecond too long.

use std::io;
use std::os::fd::AsFd;

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep_until};

#[derive(Debug)]
pub(super) struct Pace {
    /// `None` where the kernel gives none, for want of descriptors: then the runtime's timer must do.
    alarm: Option<Alarm>,
}

/// A timer of the kernel.
#[derive(Debug)]
struct Alarm {
    timer: TimerFd,
    /// The same timer, read like a pipe: that is the one kind of descriptor without a type of its own that the runtime
    /// waits for safely.
    rings: Receiver,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { alarm: Alarm::new().ok() }
    }

    /// Returns at once where the moment has passed.
    pub(super) async fn until(&mut self, moment: Instant) {
        let rung = match &mut self.alarm {
            Some(alarm) => alarm.ring(moment).await.is_ok(),
            None => false,
        };
        if !rung {
            sleep_until(moment).await;
        }
    }
}

impl Alarm {
    fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        let rings = Receiver::from_owned_fd_unchecked(timer.as_fd().try_clone_to_owned()?)?;
        Ok(Self { timer, rings })
    }

    /// One that was set before and not waited for doesn't ring any more.
    async fn ring(&mut self, moment: Instant) -> io::Result<()> {
        let distance = moment.saturating_duration_since(Instant::now());
        if distance.is_zero() {
            return Ok(());
        }
        self.timer.set(Expiration::OneShot(distance.into()), TimerSetTimeFlags::empty())?;
        // How often it has rung: once.
        self.rings.read_u64().await?;
        Ok(())
    }
}
