//! Whether a name can be looked up, by the system's resolver.

use std::net::ToSocketAddrs as _;

use super::Found;

/// Words its result as NPD's `dns_problem.sh` does.
pub(super) fn check(host: &str) -> Found {
    let found = (host, 0)
        .to_socket_addrs()
        .is_ok_and(|mut found| found.next().is_some());
    let not = if found { "" } else { "not " };
    Found {
        problem: !found,
        message: format!("DNS lookup to {host} is {not}working"),
    }
}
