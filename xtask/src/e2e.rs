//! `cargo xtask e2e`

use xshell::Shell;

use crate::{Command, test};

pub(crate) const COMMAND: Command = Command {
    name: "e2e",
    args: "[consumers] [--release] [FILTER] [FLAGS]",
    help: "Runs only the tests against Kubernetes, which `test` runs too; with `consumers`, all tests of\n\
           programs that act on conditions, also those that `test` leaves out because they take minutes.\n\
           With $KUBECONFIG, tests that need only a cluster use that one. The others start kube-apiserver\n\
           and etcd from $KUBEBUILDER_ASSETS or the PATH, or build them once with Go, in four minutes. As\n\
           root and with containerd, they make this machine a node.",
    run,
};

fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    let (tests, args) = match args.split_first() {
        Some((first, others)) if first == "consumers" => {
            // See `Need::Long` in tests/src/harness.rs.
            shell.set_var("NPD_TEST_LONG", "1");
            ("cluster_consumers", others)
        }
        _ => ("cluster*", args),
    };
    test::run_tests(shell, &["--package", "npd-tests", "--test", tests], args)
}
