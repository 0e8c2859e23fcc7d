//! The built file that is under version control.

use xtask::prebuilt;

use crate::{assert_none, root};

#[test]
fn the_ebpf_object_is_built_from_the_sources() {
    let staleness = prebuilt::staleness(&root().unwrap()).unwrap();
    assert_none(
        "run `cargo xtask build-ebpf`, and commit npd-ebpf/prebuilt with what has changed; after a \
         conflict, too",
        staleness.map(|reason| format!("{}: {reason}", prebuilt::OBJECT)),
    );
}
