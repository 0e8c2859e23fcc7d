//! The lines, and rules for them. Always the same, but for their time.

use std::fmt::Write as _;

use jiff::{SignedDuration, Zoned};

pub(super) const LINES: usize = 1_000_000;

/// How many lines a rule finds.
pub(super) const FAULTS: usize = LINES / 1000;

/// A text that only the last line contains.
pub(super) const LAST: &str = "EXT4-fs error (device vdz1): the last line";

/// A pattern that may span lines, because `\s` matches a newline. It finds nothing.
pub(super) const SPANNING: &str = r"Memory cgroup out of memory: Killed process\s+\d+\s.*";

/// Ordinary lines of the kernel and of programs.
const ORDINARY: [&str; 8] = [
    "kernel: [{uptime}] IPv6: ADDRCONF(NETDEV_CHANGE): veth{n}: link becomes ready",
    "kernel: [{uptime}] cni0: port {n}(veth{n}) entered blocking state",
    "kernel: [{uptime}] device veth{n} left promiscuous mode",
    "systemd[1]: run-containerd-io.containerd.runtime.v2.task-k8s.io-{n}-rootfs.mount: Succeeded.",
    "kubelet[812]: I1124 status_manager.go:890] \"Failed to get status for pod\" podUID={n}",
    "containerd[640]: time=\"2026-11-24T12:00:00Z\" level=info msg=\"StopPodSandbox for {n}\"",
    "kernel: [{uptime}] audit: type=1400 audit({uptime}:{n}): apparmor=\"STATUS\" operation=\"profile_load\"",
    "sshd[{n}]: Connection closed by 192.0.2.17 port {n} [preauth]",
];

const FAULTY: [&str; 4] = [
    "EXT4-fs error (device vda{n}): ext4_lookup:1855: inode #2: comm ls: deleted inode referenced: {n}",
    "INFO: task kworker/u4:{n} blocked for more than 120 seconds.",
    "Buffer I/O error on dev vdb{n}, logical block {n}, async page read",
    "unregister_netdevice: waiting for veth{n} to become free. Usage count = 1",
];

/// A log file's text.
pub(super) struct Log {
    pub(super) text: String,
}

impl Log {
    /// A log of the last minutes, 10,000 lines a second.
    pub(super) fn new() -> anyhow::Result<Self> {
        let begin = Zoned::now().checked_sub(SignedDuration::from_secs(110))?;
        let mut text = String::with_capacity(LINES * 128);
        let mut numbers = Numbers(1);
        for line in 0..LINES {
            if line % 10_000 == 0 {
                numbers.below(7);
            }
            let second = i64::try_from(line / 10_000)?;
            let time = begin.checked_add(SignedDuration::from_secs(second))?;
            let uptime = format!("{:5}.{:06}", 12_000 + second, line % 10_000 * 100);
            let n = numbers.below(100_000).to_string();
            let fault = line % 1000 == 500;
            let message = if line == LINES - 1 {
                format!("kernel: [{uptime}] {LAST}")
            } else if fault {
                let kind = FAULTY[numbers.below(FAULTY.len())];
                format!("kernel: [{uptime}] {}", kind.replace("{n}", &n))
            } else {
                let kind = ORDINARY[numbers.below(ORDINARY.len())];
                kind.replace("{uptime}", &uptime).replace("{n}", &n)
            };
            writeln!(text, "{} node-1 {message}", time.strftime("%b %e %H:%M:%S"))?;
        }
        Ok(Self { text })
    }
}

/// Any number of patterns that find nothing. They have the same words, but all are different.
pub(super) fn patterns() -> impl Iterator<Item = String> {
    const WHAT: [&str; 10] = [
        "disk", "link", "port", "queue", "fan", "lease", "volume", "probe", "device", "sandbox",
    ];
    const HOW: [&str; 10] = [
        "failed",
        "timed out",
        "closed",
        "blocked",
        "was lost",
        "is full",
        "overheated",
        "went down",
        "is not ready",
        "left",
    ];
    const WHY: [&str; 10] = [
        "with status",
        "after error",
        "because of",
        "at sector",
        "on node",
        "in namespace",
        "while resetting",
        "for more than",
        "with code",
        "under load",
    ];
    WHAT.iter().flat_map(|what| {
        HOW.iter().flat_map(move |how| {
            WHY.iter()
                .map(move |why| format!(r"\S+: {what} {how} {why} (\w+|0x[0-9a-f]+).*"))
        })
    })
}

/// Numbers without a pattern: xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % end
    }
}
