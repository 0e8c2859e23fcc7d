//! Programs that act on conditions: they act once when the node is sick, let go when it is well, and do
//! nothing when only the agent or the API server is.

mod consumers;
mod disturbances;
mod karpenter;
mod prometheus;
mod scene;
mod table;
mod watch;

use std::fs;
use std::process::ExitCode;

use anyhow::Context as _;
use npd_tests::agent::PATIENCE;
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::faults::hang::{HungTask, ImpatientDetector};
use npd_tests::harness::{self, Need, Test};
use serde_json::{Value, json};

use self::consumers::Deed;
use self::disturbances::DISTURBANCES;
use self::scene::Scene;

/// For real faults, and an API server that can be killed.
const NEEDS: &[Need] = &[
    Need::Agent,
    Need::ApiServer,
    Need::Root,
    Need::Btf,
    Need::MountsOfProcess1,
    Need::FirstPidNamespace,
    Need::Tool("fsfreeze"),
    Need::Tool("mkfs.ext4"),
];

/// The same for tests that take minutes.
const LONG: &[Need] = &[Need::Long("e2e consumers"), Need::All(NEEDS)];

const TESTS: &[Test] = &[
    Test {
        name: "each_consumer_acts_once_and_lets_go",
        needs: NEEDS,
        run: each_consumer_acts_once_and_lets_go,
    },
    Test {
        name: "nobody_acts_or_lets_go_when_the_agent_is_disturbed",
        needs: LONG,
        run: nobody_acts_or_lets_go_when_the_agent_is_disturbed,
    },
    Test {
        name: "a_flapping_plugin_below_its_threshold_moves_nobody",
        needs: LONG,
        run: a_flapping_plugin_below_its_threshold_moves_nobody,
    },
    Test {
        name: "karpenter_replaces_only_a_node_that_stays_sick",
        needs: &[Need::All(LONG), Need::Karpenter],
        run: karpenter::karpenter_replaces_only_a_node_that_stays_sick,
    },
    Test {
        name: "prometheus_fires_and_resolves",
        needs: &[Need::All(NEEDS), Need::Tool("prometheus")],
        run: prometheus::prometheus_fires_and_resolves,
    },
    Test {
        name: "the_page_promises_what_these_tests_hold",
        needs: &[],
        run: table::the_page_promises_what_these_tests_hold,
    },
];

/// One at a time: the faults are of the kernel that all share.
fn main() -> ExitCode {
    harness::serial(TESTS)
}

/// A fault, and the conditions that it sets.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) conditions: &'static [&'static str],
}

const READ_ONLY: Fault = Fault {
    name: "ext4 error",
    conditions: &["ReadonlyFilesystem", "StorageReady"],
};
const DEADLOCK: Fault = Fault {
    name: "hung task of containerd",
    conditions: &["KernelDeadlock", "KernelReady"],
};
const CLOCK: Fault = Fault {
    name: "third bad result of a plugin",
    conditions: &["NTPProblem"],
};

pub(crate) const FAULTS: &[Fault] = &[READ_ONLY, DEADLOCK, CLOCK];

fn each_consumer_acts_once_and_lets_go() -> anyhow::Result<()> {
    let _detector = ImpatientDetector::new(1)?;
    let disk = Disk::new(Type::Ext4)?;
    let scene = Scene::new(&disk.mount_point(), &plugin("exit 0", 1))?;
    let seen = {
        let mount = disk.mount("errors=remount-ro")?;
        let seen = scene.seen();
        mount.ext4_error()?;
        scene.expect(seen, Deed::Acted, &[READ_ONLY])?;
        scene.seen()
    };
    // Whoever repairs it unmounts it first.
    scene.expect(seen, Deed::LetGo, &[READ_ONLY])?;
    disk.repair()?;

    let mount = disk.mount("rw")?;
    // Dropped after the guard that lets it run again.
    let _task;
    let seen = {
        let _frozen = mount.freeze()?;
        let seen = scene.seen();
        _task = HungTask::start(&mount, "containerd-test")?;
        scene.expect(seen, Deed::Acted, &[DEADLOCK])?;
        scene.seen()
    };
    scene.expect(seen, Deed::LetGo, &[DEADLOCK])
}

fn nobody_acts_or_lets_go_when_the_agent_is_disturbed() -> anyhow::Result<()> {
    let _detector = ImpatientDetector::new(1)?;
    let disk = Disk::new(Type::Ext4)?;
    let mut scene = Scene::new(&disk.mount_point(), &plugin("exit 0", 1))?;
    disturb(&mut scene).context("on a node that is well")?;

    let other = Disk::new(Type::Ext4)?;
    let other_mount = other.mount("rw")?;
    let _task;
    let seen = {
        let mount = disk.mount("errors=remount-ro")?;
        let _frozen = other_mount.freeze()?;
        let seen = scene.seen();
        mount.ext4_error()?;
        _task = HungTask::start(&other_mount, "containerd-test")?;
        scene.expect(seen, Deed::Acted, &[READ_ONLY, DEADLOCK])?;
        disturb(&mut scene).context("on a sick node")?;
        scene.seen()
    };
    scene.expect(seen, Deed::LetGo, &[READ_ONLY, DEADLOCK])
}

/// Disturbs the agent in every way. Nobody may do anything.
fn disturb(scene: &mut Scene) -> anyhow::Result<()> {
    for disturbance in DISTURBANCES {
        let seen = scene.seen();
        let nothing = (disturbance.run)(scene).and_then(|()| scene.expect_nothing(seen));
        nothing.context(disturbance.name)?;
    }
    Ok(())
}

/// Two of three results are bad, and the threshold is three in a row. Then all are.
fn a_flapping_plugin_below_its_threshold_moves_nobody() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let runs = folder.path().join("runs");
    let broken = folder.path().join("broken");
    let (runs, broken) = (runs.display(), broken.display());
    let script = format!(
        "echo run >> {runs}; [ -e {broken} ] && exit 1; [ $(($(wc -l < {runs}) % 3)) = 0 ]"
    );
    let mount_point = folder.path().join("none");
    let scene = Scene::new(&mount_point, &plugin(&script, 3))?;
    let seen = scene.seen();
    let ran = || {
        anyhow::Ok(
            fs::read_to_string(folder.path().join("runs"))?
                .lines()
                .count(),
        )
    };
    let before = ran()?;
    scene.agent.wait_until("ten more runs", PATIENCE, || {
        Ok((ran()? >= before + 10).then_some(()))
    })?;
    scene.expect_nothing(seen)?;

    fs::write(folder.path().join("broken"), "")?;
    scene.expect(seen, Deed::Acted, &[CLOCK])?;
    let seen = scene.seen();
    fs::remove_file(folder.path().join("broken"))?;
    scene.expect(seen, Deed::LetGo, &[CLOCK])
}

/// A plugin that runs often. It sets one of NPD's conditions after so many bad results in a row.
fn plugin(script: &str, threshold: u32) -> Value {
    json!({
        "plugin": "custom",
        "pluginConfig": {"invoke_interval": "300ms", "timeout": "10s"},
        "source": "ntp-custom-plugin-monitor",
        "conditions": [{"type": "NTPProblem", "reason": "NTPIsUp", "message": "ntp service is up"}],
        "rules": [{
            "type": "permanent", "condition": "NTPProblem", "reason": "NTPIsDown",
            "path": "/bin/sh", "args": ["-c", script], "failureThreshold": threshold,
        }],
    })
}
