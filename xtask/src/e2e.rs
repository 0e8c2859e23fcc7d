//! `cargo xtask e2e`

use xshell::Shell;

use crate::{Command, test};

pub(crate) const COMMAND: Command = Command {
    name: "e2e",
    args: "[--release] [FILTER] [FLAGS]",
    help: "Runs only the tests against Kubernetes, which `test` runs too. With $KUBECONFIG, tests that need\n\
           only a cluster use that one. The others start kube-apiserver and etcd from\n\
           $KUBEBUILDER_ASSETS or the PATH, or build them once with Go, in four minutes. As root and with\n\
           containerd, they make this machine a node.",
    run,
};

fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    test::run_tests(
        shell,
        &["--package", "npd-tests", "--test", "cluster*"],
        args,
    )
}
