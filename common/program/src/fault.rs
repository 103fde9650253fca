//! A fault that a test orders: the program ends, or stops, at one point of one stage, once.

use std::fs;
use std::path::PathBuf;

use cutover_bus::{AtPoint, Point};
use cutover_core::Stage;
use nix::sys::signal::{Signal, raise};

/// Names the file that orders the fault; without it no point is looked at.
const ORDER: &str = "CUTOVER_FAULT";

/// What is to be called at each point, where a test has set `CUTOVER_FAULT` to a path.
pub(crate) fn at_point() -> Option<AtPoint> {
    std::env::var_os(ORDER).map(|_| fail_if_ordered as AtPoint)
}

/// Looks into the file: `<stage> <point> <kill|stop>`. Whoever takes the order renames the file to `<path>.taken`, so that
/// it is carried out once, by one process, whose pid it then holds.
fn fail_if_ordered(stage: Stage, point: Point) {
    let Some(path) = std::env::var_os(ORDER).map(PathBuf::from) else { return };
    let Ok(order) = fs::read_to_string(&path) else { return };
    let signal = match order.split_whitespace().collect::<Vec<_>>().as_slice() {
        [at_stage, at_point, how] if at_stage.parse() == Ok(stage) && at_point.parse() == Ok(point) => {
            match *how {
                "kill" => Signal::SIGKILL,
                "stop" => Signal::SIGSTOP,
                _ => return,
            }
        }
        _ => return,
    };
    let taken = path.with_extension("taken");
    if fs::rename(&path, &taken).is_ok() && fs::write(&taken, std::process::id().to_string()).is_ok() {
        // A signal that can't be raised leaves the order taken and the program well: the test sees that nothing failed.
        let _ = raise(signal);
    }
}
