use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::*;

const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(300);

fn sh(script: &str) -> ExternalProgram {
    ExternalProgram {
        path: "/bin/sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: vec![("GREETING".to_owned(), "hello".to_owned())],
        cgroup: None,
    }
}

async fn ended(script: &str, limit: Duration) -> Finished {
    match run(&Spawner::default(), sh(script), limit, 4096).await {
        Ok(ended) => ended,
        outcome => panic!("{outcome:?}"),
    }
}

fn code(ended: &Finished) -> Option<i32> {
    ended.status.and_then(|status| status.code())
}

/// Waits until a process is gone, or a zombie that waits for its parent.
async fn until_gone(pid: &[u8]) {
    let pid = String::from_utf8_lossy(pid).trim().to_owned();
    let status = || std::fs::read_to_string(format!("/proc/{pid}/status"));
    while status().is_ok_and(|status| !status.contains("State:\tZ")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn status_and_both_outputs_are_collected() {
    let ended = ended("echo $GREETING; echo oops >&2; cat; exit 3", LONG).await;
    assert_eq!((code(&ended), ended.timed_out), (Some(3), false));
    assert_eq!(
        (&ended.stdout[..], &ended.stderr[..]),
        (&b"hello\n"[..], &b"oops\n"[..])
    );
}

#[tokio::test]
async fn a_program_that_prints_without_end_is_bounded() {
    let ended = ended("yes", SHORT).await;
    assert_eq!((ended.stdout.len(), ended.timed_out), (4096, true));
}

#[tokio::test]
async fn a_program_that_prints_much_is_not_held_up() {
    let ended = ended("head -c 100000000 /dev/zero; exit 1", LONG).await;
    assert_eq!((ended.stdout.len(), code(&ended)), (4096, Some(1)));
}

#[tokio::test]
async fn a_program_without_output_is_waited_for() {
    let ended = ended("exec >&- 2>&-; sleep 0.2; exit 7", LONG).await;
    assert_eq!((code(&ended), ended.timed_out), (Some(7), false));
}

#[tokio::test]
async fn the_whole_group_is_killed_at_the_deadline() {
    let ended = ended("trap '' TERM; sleep 1000 & echo $!; sleep 1000", SHORT).await;
    assert!(ended.timed_out);
    until_gone(&ended.stdout).await;
}

#[tokio::test]
async fn a_stopped_program_is_killed() {
    assert!(ended("kill -STOP $$", SHORT).await.timed_out);
}

#[tokio::test]
async fn a_background_child_in_the_group_is_killed_at_the_deadline() {
    let ended = ended("sleep 1000 & echo $!", SHORT).await;
    assert_eq!((code(&ended), ended.timed_out), (Some(0), true));
    until_gone(&ended.stdout).await;
}

#[tokio::test]
async fn a_descendant_outside_the_group_is_not_waited_for() {
    let ended = ended("setsid sh -c 'echo $$; exec sleep 1000'", SHORT).await;
    assert!(ended.timed_out);
    let pid = String::from_utf8(ended.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    // It lives, and we are here.
    kill(Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_program_that_forks_without_end_is_killed() {
    let ended = ended("f() { sleep 1000 & sleep 0.01; f; }; f", SHORT).await;
    assert!(ended.timed_out && code(&ended) != Some(0));
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    std::fs::write(&script, "exit 0\n").unwrap();
    let spawner = Spawner::default();
    let start = async |path: &str| {
        let program = ExternalProgram {
            path: path.to_owned(),
            ..ExternalProgram::default()
        };
        match run(&spawner, program, LONG, 4096).await {
            Err(RunError::NotStarted(error)) => error.raw_os_error(),
            outcome => panic!("{outcome:?}"),
        }
    };
    let script = script.to_str().unwrap();
    assert_eq!(start("/no/such/file").await, Some(Errno::ENOENT as i32));
    assert_eq!(start("/bin").await, Some(Errno::EACCES as i32));
    assert_eq!(start(script).await, Some(Errno::EACCES as i32));
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(script, executable).unwrap();
    // No shell is tried, unlike execvp(3).
    assert_eq!(start(script).await, Some(Errno::ENOEXEC as i32));
    assert_eq!(start("no-such-program-in-path").await, None);
}

#[tokio::test]
async fn a_bare_name_is_looked_up() {
    let program = ExternalProgram {
        path: "true".to_owned(),
        ..ExternalProgram::default()
    };
    let outcome = run(&Spawner::default(), program, LONG, 4096).await;
    assert!(matches!(outcome, Ok(ended) if code(&ended) == Some(0)));
}

#[tokio::test]
async fn dropping_a_run_kills_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; sleep 1000",
        file.display()
    );
    let spawner = Spawner::default();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(async move { run(&spawner, sh(&script), LONG, 4096).await });
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(running);
    until_gone(&std::fs::read(&file).unwrap()).await;
}
