//! Where the running kernel keeps what the programs of this probe read.

use npd_ebpf::Layout as _;
use npd_ebpf::block_error::RequestLayout;

use crate::monitor::ebpf::btf::{Btf, BtfError};
use crate::monitor::ebpf::program::{ProgramLayout, bytes};

/// What a request asks for, and of which disk.
pub(super) const REQUEST: ProgramLayout = ProgramLayout {
    global: RequestLayout::GLOBAL,
    read: |btf| Ok(bytes(&request(btf)?)),
};

fn request(btf: &Btf<'_>) -> Result<RequestLayout, BtfError> {
    let of_request = |member| btf.offset("request", member);
    let of_disk = |member| btf.offset("gendisk", member);
    // The request knew its disk until 5.16.
    let (through_queue, owner, queue_disk) = match of_request("rq_disk") {
        Ok(disk) => (0, disk, 0),
        Err(_) => (1, of_request("q")?, btf.offset("request_queue", "disk")?),
    };
    Ok(RequestLayout {
        flags: of_request("cmd_flags")?,
        state: of_request("rq_flags")?,
        sector: of_request("__sector")?,
        bio: of_request("bio")?,
        through_queue,
        owner,
        queue_disk,
        major: of_disk("major")?,
        minor: of_disk("first_minor")?,
        name: of_disk("disk_name")?,
        disk_flags: of_disk("flags")?,
    })
}
