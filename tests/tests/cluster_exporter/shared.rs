//! The cluster that the tests share.

use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use npd_tests::agent::Agent;
use npd_tests::cluster::{self, ApiServer, Client, Lab};
use tempfile::TempDir;

/// The cluster of every test that leaves it running. What is static is not dropped: [`stop`] does that.
static CLUSTER: Mutex<Option<Cluster>> = Mutex::new(None);

/// The cluster that the user names, or an API server, and who may do everything there.
struct Cluster {
    admin: Client,
    _server: Option<ApiServer>,
    _dir: TempDir,
}

/// A Node on the cluster of all tests, which is started when it is first asked for.
pub(crate) fn lab() -> anyhow::Result<Lab> {
    let mut shared = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    if shared.is_none() {
        let dir = TempDir::new()?;
        let (admin, server) = cluster::connect(dir.path())?;
        *shared = Some(Cluster {
            admin,
            _server: server,
            _dir: dir,
        });
    }
    let cluster = shared.as_ref().context("no cluster")?;
    Lab::new(&cluster.admin)
}

/// Stops the cluster, if there is one.
pub(crate) fn stop() {
    let mut shared = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    *shared = None;
}

/// How many requests the server has answered so.
pub(crate) fn requests(agent: &Agent, verb: &str, resource: &str, code: u16) -> u64 {
    let labels = format!("code=\"{code}\",resource=\"{resource}\",verb=\"{verb}\"");
    let metric = agent.metric(&format!("npd_apiserver_requests_total{{{labels}}}"));
    // There is no such line before the first.
    metric.unwrap_or_default()
}
