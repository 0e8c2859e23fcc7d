//! `health-checker`: in NPD's configs, and when it repairs, seen from the systemd that it asks to.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::time::{ClockId, clock_gettime};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::harness;

/// Only the folder is another.
pub(crate) fn shipped_health_checkers_run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let programs = folder.path().to_str().context("a path in UTF-8")?;
    symlink(harness::agent()?, folder.path().join("health-checker"))?;
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
    for component in ["kubelet", "containerd", "docker"] {
        let name = format!("health-checker-{component}.json");
        let config = fs::read_to_string(shipped.join(&name))?;
        let config = config.replace("/home/kubernetes/bin", programs);
        fs::write(folder.path().join(&name), config)?;
        let mut command = Command::new(harness::agent()?);
        // The configs repair; nothing of this machine is to be.
        command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/no/such/bus");
        let flag = format!("--config.custom-plugin-monitor={name}");
        let mut agent = Agent::start_as(command, folder.path(), &[&flag])?;
        let state = agent.wait_until("its answer", PATIENCE, || {
            let status = agent.page("/status")?;
            Ok(status["plugins"].get(format!("{name}: rules[0]")).cloned())
        })?;
        let message = state["message"].as_str().unwrap_or_default();
        // Whether there is one here that is well does not matter.
        let known = ["was found unhealthy", "error checking"];
        ensure!(
            message.is_empty() || known.iter().any(|known| message.contains(known)),
            "{name}: {state}"
        );
        ensure!(agent.stop()?.success(), "it was asked to stop");
    }
    Ok(())
}

/// Where the kubelet is to be asked, and for how long its unit has been up.
#[derive(Clone, Copy)]
struct Node {
    host: &'static str,
    up: Duration,
}

pub(crate) fn only_what_is_ill_and_settled_is_repaired() -> anyhow::Result<()> {
    let node = Node {
        host: "127.0.0.1",
        up: Duration::from_secs(30),
    };
    let flags = ["--enable-repair=true", "--cooldown-time=20s"];
    check(node, &flags, 1, &["kubelet.service main 15"])?;
    // It has just been started, maybe by the last repair.
    let fresh = Node {
        up: Duration::from_secs(2),
        ..node
    };
    check(fresh, &flags, 1, &[])?;
    check(node, &flags[1..], 1, &[])?;
    // Nobody can tell.
    let nowhere = Node {
        host: "no.such.host.invalid",
        ..node
    };
    check(nowhere, &flags, 2, &[])
}

/// Checks a kubelet that does not answer.
#[track_caller]
fn check(node: Node, flags: &[&str], code: i32, killed: &[&str]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bus = folder.path().join("bus");
    let (sender, kills) = channel();
    let listener = UnixListener::bind(&bus)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if let Err(error) = serve(stream, node.up, &sender) {
                eprintln!("the bus: {error:#}");
            }
        }
    });
    let status = health_checker(&bus, node.host, flags)?;
    let kills: Vec<String> = kills.try_iter().collect();
    ensure!(
        status == Some(code),
        "{flags:?} of {}: {status:?}",
        node.host
    );
    ensure!(kills == killed, "{flags:?} of {}: {kills:?}", node.host);
    Ok(())
}

fn health_checker(bus: &Path, host: &str, flags: &[&str]) -> anyhow::Result<Option<i32>> {
    // A port on which nobody listens any more.
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let status = Command::new(harness::agent()?)
        .args(["health-checker", "--component=kubelet"])
        .args(flags)
        .env("HOST_ADDRESS", host)
        .env("KUBELET_PORT", port.to_string())
        .env(
            "DBUS_SYSTEM_BUS_ADDRESS",
            format!("unix:path={}", bus.display()),
        )
        .status()?;
    Ok(status.code())
}

/// Plays the system bus, and systemd on it: tells whom it was asked to kill.
fn serve(mut stream: UnixStream, up: Duration, kills: &Sender<String>) -> anyhow::Result<()> {
    let mut greeting = Vec::new();
    while !greeting.ends_with(b"BEGIN\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        greeting.extend(byte);
    }
    stream.write_all(b"OK 0123456789abcdef\r\n")?;
    loop {
        let mut head = [0; 16];
        match stream.read_exact(&mut head) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let [_, body, serial, fields] = words(&head);
        let mut fields = vec![0; (fields as usize).next_multiple_of(8)];
        let mut arguments = vec![0; body as usize];
        stream.read_exact(&mut fields)?;
        stream.read_exact(&mut arguments)?;
        let calls = |member: &str| {
            let member = [member.as_bytes(), b"\0"].concat();
            fields.windows(member.len()).any(|bytes| bytes == member)
        };
        let answer = if calls("Hello") {
            reply(serial, Some(b's'), &string(":1.1"))
        } else if calls("LoadUnit") {
            reply(
                serial,
                Some(b'o'),
                &string("/org/freedesktop/systemd1/unit/kubelet"),
            )
        } else if calls("Get") {
            let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
            let since = u64::try_from(now.saturating_sub(up).as_micros())?.to_le_bytes();
            reply(
                serial,
                Some(b'v'),
                &[b"\x01t\0\0\0\0\0\0".as_slice(), &since].concat(),
            )
        } else {
            ensure!(calls("KillUnit"), "a call of another method");
            kills.send(kill(&arguments)?)?;
            reply(serial, None, &[])
        };
        stream.write_all(&answer)?;
    }
}

/// The arguments of `KillUnit`: the unit, which of its processes, and the signal.
fn kill(arguments: &[u8]) -> anyhow::Result<String> {
    let word = |at: usize| {
        let bytes = arguments.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().map(u32::from_le_bytes).context("too short")
    };
    let text = |at: usize| {
        let end = at + 4 + word(at)? as usize;
        let text = arguments.get(at + 4..end).context("too short")?;
        anyhow::Ok((str::from_utf8(text)?, (end + 1).next_multiple_of(4)))
    };
    let (unit, at) = text(0)?;
    let (whom, at) = text(at)?;
    Ok(format!("{unit} {whom} {}", word(at)?))
}

/// An answer to the call of this number, with at most one value.
fn reply(serial: u32, signature: Option<u8>, value: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or_default().to_le_bytes();
    let mut fields = b"\x05\x01u\0".to_vec();
    fields.extend(serial.to_le_bytes());
    if let Some(signature) = signature {
        fields.extend([8, 1, b'g', 0, 1, signature, 0]);
    }
    let mut message = b"l\x02\x01\x01".to_vec();
    message.extend(length(value));
    message.extend(1_u32.to_le_bytes());
    message.extend(length(&fields));
    message.extend(fields);
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(value);
    message
}

fn string(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or_default().to_le_bytes();
    [&length, text.as_bytes(), b"\0"].concat()
}

fn words(bytes: &[u8; 16]) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}
