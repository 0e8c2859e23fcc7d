//! Whether a name can be looked up, by the system's resolver.

use std::net::ToSocketAddrs as _;

use super::CheckResult;

/// Words its result as NPD's `dns_problem.sh` does.
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
            // No server is asked for what is no name.
            ("a..b", true, "DNS lookup to a..b is not working"),
        ] {
            let found = check(host);
            assert_eq!((found.problem, &*found.message), (problem, message));
        }
    }
}
