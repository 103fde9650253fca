//! What stands in every native file that comes of another dialect.

use cutover_core::Place;

use crate::reading::{Item, Reading};
use crate::tree::Tree;

/// Where it is said what a container may.
pub(crate) const OPEN_CONTAINER: [&str; 2] = ["container", "cap_add"];

/// The capabilities that Docker gives a container unless it is told otherwise (moby, `oci/caps/defaults.go`).
const CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Refuses an argument of the build whose value doesn't stand in the file: it would stand in the open.
pub(crate) fn open_argument(item: &Item<'_>, reading: &mut Reading<'_>) {
    reading.wrong(
        item,
        "this argument would stand in the release, and in an imported file, with the value that it has here",
        "write the value if anybody may read it; a secret is given to the build by `builder: {secrets: …}`, and read with RUN --mount=type=secret",
    );
}

/// The container may what Docker lets it, and its program is its process 1: what ran there so far relies on it, knowing or not.
pub(crate) fn as_docker_gives(tree: &mut Tree, place: Place) {
    let all = CAPABILITIES.iter().map(|name| (place, (*name).to_owned())).collect();
    tree.list(&OPEN_CONTAINER, place, all);
    tree.text(&["container", "no_new_privileges"], place, "false");
    tree.text(&["container", "init"], place, "false");
}
