//! RDMA ports that go down.

use anyhow::ensure;
use npd_tests::faults::rdma::RdmaPort;

use crate::{count_events, settle, start, wait_for_events};

pub(crate) fn an_rdma_port_that_goes_down_is_reported_once_each_time() -> anyhow::Result<()> {
    const REASON: &str = "InfinibandPortDown";
    let port = RdmaPort::new()?;
    let agent = start()?;
    let active = format!(r#"infiniband_port_active{{device="{}","#, port.name());
    let wait_for_metric = |value: &str| {
        agent.wait_until("the metric", npd_tests::agent::PATIENCE, || {
            let text = agent.metrics_text()?;
            let mut lines = text.lines().filter(|line| line.starts_with(&active));
            Ok(lines.any(|line| line.ends_with(value)).then_some(()))
        })
    };
    wait_for_metric(" 1")?;
    for times in 1..=2 {
        port.set("down")?;
        wait_for_events(&agent, REASON, "", times)?;
        settle(&agent)?;
        ensure!(count_events(&agent, REASON, "")? == times);
        port.set("up")?;
        wait_for_metric(" 1")?;
    }
    Ok(())
}
