//! What stands between the new requests of a service and what serves them: its [`regulation`].
//!
//! A [`canary`] gets a share of them by a [`split`], which may be [`sticky`], and copies of them by a [`mirror`]. What an operator
//! does is a [`halt`]: a pause lets them wait at a [`gate`], maintenance answers them with a [`notice`]. The requests of testers are
//! known by a [`marker`]. What ends by itself runs as [`live_canary`] and [`live_halt`], on [`boot_clock`].

mod boot_clock;
mod canary;
mod cookie;
mod expiry;
mod gate;
mod halt;
mod live_canary;
mod live_halt;
mod marker;
mod mirror;
mod notice;
mod regulation;
mod split;
mod sticky;

pub(crate) use boot_clock::{BootClock, Deadline};
pub(crate) use canary::Canary;
pub(crate) use gate::{Gate, Turn};
pub(crate) use halt::{Maintenance, Pause};
pub(crate) use live_canary::LiveCanary;
pub(crate) use live_halt::{LiveMaintenance, LivePause};
pub(crate) use mirror::Reflection;
pub(crate) use notice::Notice;
pub(crate) use regulation::Regulation;
pub(crate) use split::Side;
pub(crate) use sticky::{Stamp, WHOLE};
