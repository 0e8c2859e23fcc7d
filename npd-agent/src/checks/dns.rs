//! Checks that the system's resolver can look up a name.

use std::net::ToSocketAddrs as _;

use super::CheckResult;

/// The messages are those of NPD's `dns_problem.sh`.
pub(super) fn check(host: &str) -> CheckResult {
    let found = (host, 0)
        .to_socket_addrs()
        .is_ok_and(|mut found| found.next().is_some());
    let not = if found { "" } else { "not " };
    CheckResult {
        problem: !found,
        message: format!("DNS lookup to {host} is {not}working"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_whether_a_name_can_be_looked_up() {
        for (host, problem, message) in [
            ("localhost", false, "DNS lookup to localhost is working"),
            // An invalid name needs no server.
            ("a..b", true, "DNS lookup to a..b is not working"),
        ] {
            let found = check(host);
            assert_eq!((found.problem, &*found.message), (problem, message));
        }
    }
}
