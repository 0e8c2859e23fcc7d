//! All consumers, which watch one Node.

use std::io::BufReader;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use npd_tests::cluster::Client;
use serde_json::Value;

use crate::consumers::{Deed, Observer};

/// How often the consumers look at the clock.
const PACE: Duration = Duration::from_millis(100);

/// A deed, of which consumer, because of which condition.
pub(crate) type Entry = (&'static str, &'static str, Deed);

/// The consumers, and what they have done. They stop when this is dropped.
pub(crate) struct Crowd {
    deeds: Arc<Mutex<Vec<Entry>>>,
    /// The watch that runs now.
    watch: Arc<Mutex<Option<Child>>>,
}

impl Crowd {
    pub(crate) fn start(admin: &Client, node: &str) -> anyhow::Result<Self> {
        let crowd = Self {
            deeds: Arc::default(),
            watch: Arc::new(Mutex::new(Some(watch(&mut command(admin, node))?))),
        };
        let (sender, nodes) = channel();
        std::thread::spawn({
            let (watch, command) = (Arc::clone(&crowd.watch), command(admin, node));
            move || follow(&watch, command, &sender)
        });
        std::thread::spawn({
            let deeds = Arc::clone(&crowd.deeds);
            move || act(&nodes, &deeds)
        });
        Ok(crowd)
    }

    /// All deeds so far.
    pub(crate) fn deeds(&self) -> Vec<Entry> {
        self.deeds
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut process) = watch.take() {
            process.kill().and_then(|()| process.wait()).ok();
        }
    }
}

fn command(admin: &Client, node: &str) -> Command {
    let mut command = admin.command();
    command.args(["get", "node", node, "--watch", "--output=json"]);
    command
}

fn watch(command: &mut Command) -> anyhow::Result<Child> {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().context("starting a watch")
}

/// Passes every version of the Node on. Begins again after the server was gone, as informers do.
fn follow(current: &Mutex<Option<Child>>, mut command: Command, nodes: &Sender<Value>) {
    let lock = || current.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let output = match &mut *lock() {
            Some(process) => process.stdout.take(),
            None => return,
        };
        let versions = output.map(|output| {
            serde_json::Deserializer::from_reader(BufReader::new(output)).into_iter::<Value>()
        });
        for node in versions.into_iter().flatten().map_while(Result::ok) {
            if nodes.send(node).is_err() {
                return;
            }
        }
        sleep(PACE);
        let mut process = lock();
        let Some(ended) = &mut *process else { return };
        ended.kill().and_then(|()| ended.wait()).ok();
        match watch(&mut command) {
            Ok(next) => *ended = next,
            Err(_) => return,
        }
    }
}

/// Lets each consumer look at every version of the Node, and at the clock.
fn act(nodes: &Receiver<Value>, deeds: &Mutex<Vec<Entry>>) {
    let mut observers = Observer::all();
    let mut node = None;
    loop {
        match nodes.recv_timeout(PACE) {
            Ok(version) => node = Some(version),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let Some(node) = &node else { continue };
        for observer in &mut observers {
            if let Some(deed) = observer.look(node, Timestamp::now()) {
                let entry = (observer.consumer.name, observer.condition, deed);
                deeds
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(entry);
            }
        }
    }
}
