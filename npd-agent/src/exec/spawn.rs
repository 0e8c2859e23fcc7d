//! Starts programs on threads that may hang.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::debug;

use super::cgroup::LimitCounters;
use super::{ExternalProgram, LimitReached, PluginCgroup, enter_cgroup};

/// The agent's own file, even if it was replaced or moved.
pub(super) const OURSELVES: &str = "/proc/self/exe";

/// The stack of a thread that starts programs. It only builds an argument list and calls `posix_spawn`.
const STACK: usize = 256 * 1024;

/// Starts programs. Clones share the threads.
///
/// Each program that hangs while it starts occupies a thread. Callers limit how many they leave behind. There
/// is no limit for all together: the programs on a dead disk would leave no thread to the others.
///
/// A thread never ends, even if it is idle: otherwise its children would become children of the agent's
/// first thread, and [`super::orphans`] would reap them.
#[derive(Clone, Debug, Default)]
pub struct Spawner(Arc<Mutex<Threads>>);

#[derive(Debug, Default)]
struct Threads {
    idle: Vec<mpsc::Sender<Job>>,
}

#[derive(Debug)]
struct Job {
    program: ExternalProgram,
    runtime: Handle,
    /// The thread's own inbox, to be put back among the idle ones.
    inbox: mpsc::Sender<Self>,
    answer: oneshot::Sender<io::Result<ProcessGroup>>,
}

/// A program that was started, and its process group. When dropped, it kills the group.
#[derive(Debug)]
pub struct ProcessGroup {
    child: Child,
    id: Pid,
    cgroup: Option<PluginCgroup>,
    /// What its cgroup had counted before it was started.
    before: LimitCounters,
}

impl Spawner {
    /// Starts `program` in its own process group. Standard input is empty, standard output and error are
    /// pipes. Returns when the kernel has loaded the program, which may be never.
    pub fn spawn(&self, program: ExternalProgram) -> oneshot::Receiver<io::Result<ProcessGroup>> {
        let (answer, started) = oneshot::channel();
        let inbox = match self.idle() {
            Ok(inbox) => inbox,
            Err(error) => {
                // The receiver still exists, because this function owns it.
                drop(answer.send(Err(error)));
                return started;
            }
        };
        let job = Job {
            program,
            runtime: Handle::current(),
            inbox: inbox.clone(),
            answer,
        };
        // A thread ends only with the last spawner; if it did, the answer's end would be dropped and
        // the caller would see that.
        drop(inbox.send(job));
        started
    }

    fn idle(&self) -> io::Result<mpsc::Sender<Job>> {
        let mut threads = lock(&self.0);
        if let Some(inbox) = threads.idle.pop() {
            return Ok(inbox);
        }
        let (inbox, jobs) = mpsc::channel();
        let home = Arc::downgrade(&self.0);
        std::thread::Builder::new()
            .name("spawn".to_owned())
            .stack_size(STACK)
            .spawn(move || serve(&jobs, &home))?;
        Ok(inbox)
    }
}

fn lock(threads: &Mutex<Threads>) -> MutexGuard<'_, Threads> {
    threads.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(jobs: &mpsc::Receiver<Job>, home: &Weak<Mutex<Threads>>) {
    for job in jobs {
        let Job {
            program,
            runtime,
            inbox,
            answer,
        } = job;
        let entered = runtime.enter();
        let started = ProcessGroup::start(&program);
        drop(entered);
        if let Some(threads) = home.upgrade() {
            lock(&threads).idle.push(inbox);
        }
        // Nobody waits any more: dropping the group kills it.
        drop(answer.send(started));
    }
}

impl ProcessGroup {
    #[expect(
        clippy::disallowed_types,
        reason = "this is the one place where children are made"
    )]
    fn start(program: &ExternalProgram) -> io::Result<Self> {
        let ExternalProgram {
            path,
            args,
            env,
            cgroup,
        } = program;
        let file = resolve(path, std::env::var_os("PATH").as_deref())?;
        let mut command = if let Some(cgroup) = cgroup {
            let mut command = tokio::process::Command::new(OURSELVES);
            command.args(enter_cgroup::words(cgroup, &file, path));
            command
        } else {
            let mut command = tokio::process::Command::new(file);
            command.arg0(path);
            command
        };
        let before = cgroup.as_ref().map(PluginCgroup::counters);
        let child = command
            .args(args)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let id = Pid::from_raw(id.ok_or_else(|| io::Error::other("the kernel gave no pid"))?);
        Ok(Self {
            child,
            id,
            cgroup: cgroup.clone(),
            before: before.unwrap_or_default(),
        })
    }

    /// The group's id, which is its first process's.
    pub fn id(&self) -> Pid {
        self.id
    }

    /// Takes our ends of its pipes.
    pub(super) fn pipes(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// Waits for the first process, and releases its number.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// The same, without waiting.
    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Returns a function that finds the limit that the program has reached. The kernel answers from
    /// memory, without waiting.
    pub(super) fn limit_reached(&self) -> impl FnOnce() -> Option<LimitReached> + use<> {
        let (before, cgroup) = (self.before, self.cgroup.clone());
        move || cgroup?.reached(before)
    }

    /// Whether its first process has not been waited for.
    pub(super) fn lives(&self) -> bool {
        self.child.id().is_some()
    }

    /// Sends SIGKILL to every process of the group, unless the first one has been waited for: until
    /// then, even while it is a zombie, the kernel gives its number to no other process or group.
    pub(super) fn kill(&self) {
        if self.lives() {
            kill_group(self.id);
            if let Some(cgroup) = &self.cgroup {
                cgroup.kill();
            }
        }
    }

    /// Returns a function that does the same later. The caller must know that the first process has not
    /// been waited for.
    pub(super) fn killer(&self) -> impl FnOnce() + use<> {
        let (id, cgroup) = (self.id, self.cgroup.clone());
        move || {
            kill_group(id);
            if let Some(cgroup) = cgroup {
                // The kernel may let it wait for other cgroups to be made or removed.
                let other = cgroup.clone();
                let made = std::thread::Builder::new().spawn(move || other.kill());
                if made.is_err() {
                    cgroup.kill();
                }
            }
        }
    }
}

fn kill_group(id: Pid) {
    match killpg(id, Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => debug!(group = id.as_raw(), %error, "Killing a program failed"),
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The file of `name`, as Go's `exec.LookPath` finds it: only a bare name is searched in `$PATH`, and a
/// relative folder in `$PATH` is an error.
fn resolve(name: &str, path: Option<&OsStr>) -> io::Result<PathBuf> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let folders = std::env::split_paths(path.unwrap_or_default());
    let found = folders
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file));
    match found {
        Some(file) if file.is_absolute() => Ok(file),
        Some(_) => Err(io::Error::other(format!(
            "{name} is found only relative to the current folder"
        ))),
        None => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{name} is not in $PATH"),
        )),
    }
}

fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
