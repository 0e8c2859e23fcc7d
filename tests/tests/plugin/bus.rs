//! A fake system bus with a fake systemd.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

/// The bus.
pub(crate) struct Bus {
    folder: TempDir,
    kills: Receiver<String>,
}

/// The one unit that this systemd knows, by every name.
#[derive(Clone, Copy)]
pub(crate) struct Unit {
    /// For how long it has been up.
    pub(crate) up: Duration,
    /// Its `LoadState`, `ActiveState` and `SubState`.
    pub(crate) state: [&'static str; 3],
}

impl Bus {
    pub(crate) fn start(unit: Unit) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let listener = UnixListener::bind(folder.path().join("bus"))?;
        let (sender, kills) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if let Err(error) = serve(stream, unit, &sender) {
                    eprintln!("the bus: {error:#}");
                }
            }
        });
        Ok(Self { folder, kills })
    }

    /// The value of `DBUS_SYSTEM_BUS_ADDRESS`.
    pub(crate) fn address(&self) -> String {
        format!("unix:path={}", self.folder.path().join("bus").display())
    }

    /// Which processes of which units it was asked to kill, and with which signals.
    pub(crate) fn kills(&self) -> Vec<String> {
        self.kills.try_iter().collect()
    }
}

impl Unit {
    pub(crate) const RUNNING: Self = Self {
        up: Duration::from_secs(30),
        state: ["loaded", "active", "running"],
    };

    /// The answer to `Get` with these arguments: an interface and a property.
    fn property(&self, arguments: &[u8]) -> anyhow::Result<Vec<u8>> {
        let (_interface, at) = text(arguments, 0)?;
        let (name, _) = text(arguments, at)?;
        let names = ["LoadState", "ActiveState", "SubState"];
        if let Some(index) = names.iter().position(|known| *known == name) {
            let value = string(self.state[index]);
            return Ok([b"\x01s\0\0".as_slice(), &value].concat());
        }
        ensure!(
            name == "InactiveExitTimestampMonotonic",
            "{name} is asked for"
        );
        let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
        let since = u64::try_from(now.saturating_sub(self.up).as_micros())?.to_le_bytes();
        Ok([b"\x01t\0\0\0\0\0\0".as_slice(), &since].concat())
    }
}

fn serve(mut stream: UnixStream, unit: Unit, kills: &Sender<String>) -> anyhow::Result<()> {
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
            reply(serial, Some(b'v'), &unit.property(&arguments)?)
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
    let (unit, at) = text(arguments, 0)?;
    let (whom, at) = text(arguments, at)?;
    Ok(format!("{unit} {whom} {}", word(arguments, at)?))
}

fn word(bytes: &[u8], at: usize) -> anyhow::Result<u32> {
    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
    bytes.copied().map(u32::from_le_bytes).context("too short")
}

/// The string that begins at `at`, and where the next one does.
fn text(bytes: &[u8], at: usize) -> anyhow::Result<(&str, usize)> {
    let end = at + 4 + word(bytes, at)? as usize;
    let text = bytes.get(at + 4..end).context("too short")?;
    Ok((str::from_utf8(text)?, (end + 1).next_multiple_of(4)))
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
