//! What happens to agents and API servers, and is no fault of the node.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context as _;

use crate::scene::{Scene, wait_for};

/// Something that must move nobody, whether the node is sick or well.
#[derive(Clone, Copy)]
pub(crate) struct Disturbance {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Scene) -> anyhow::Result<()>,
}

pub(crate) const DISTURBANCES: &[Disturbance] = &[
    Disturbance {
        name: "the agent restarts",
        run: |scene| {
            scene.agent.stop()?;
            scene.start_again(&[])
        },
    },
    Disturbance {
        name: "it is killed",
        run: |scene| {
            scene.kill_agent()?;
            scene.start_again(&[])
        },
    },
    Disturbance {
        name: "its state is lost",
        run: |scene| {
            scene.agent.stop()?;
            fs::remove_dir_all(scene.state()).context("removing the state")?;
            scene.start_again(&[])
        },
    },
    Disturbance {
        name: "its state is of another version",
        run: |scene| {
            scene.agent.stop()?;
            let checkpoint = scene.state().join("checkpoint.json");
            fs::write(checkpoint, r#"{"version": 4000}"#).context("writing a checkpoint")?;
            scene.start_again(&[])
        },
    },
    Disturbance {
        name: "the API server is gone for a while",
        run: |scene| {
            scene.server.kill9();
            sleep(Duration::from_secs(5));
            scene.server.restart()
        },
    },
    Disturbance {
        name: "a second agent runs for a moment",
        run: |scene| {
            let mut second = scene.start_second()?;
            wait_for(&second)?;
            second.stop().map(drop)
        },
    },
    Disturbance {
        name: "heartbeats are off",
        run: |scene| {
            scene.agent.stop()?;
            scene.start_again(&["--k8s-exporter-heartbeat-period=0"])
        },
    },
];
