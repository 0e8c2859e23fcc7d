//! The part of D-Bus that is needed to call systemd.
//!
//! The D-Bus Specification 0.43: "Message Protocol" for the layout, "Authentication Protocol" for
//! the greeting. Everything is aligned from the start of the message, in the machine's byte order.
//!
//! Written here because two calls are all that is needed, and the crate `zbus` brings 41 crates.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Where systemd itself listens, for root, and the system bus, for everybody.
const PRIVATE: &str = "/run/systemd/private";
const SYSTEM_BUS: &[&str] = &[
    "/run/dbus/system_bus_socket",
    "/var/run/dbus/system_bus_socket",
];

/// The longest message that is read. These answers of systemd have a few hundred bytes.
const MAX_MESSAGE: u32 = 1 << 20;

const LITTLE: u8 = b'l';
const BIG: u8 = b'B';
const OURS: u8 = if cfg!(target_endian = "little") {
    LITTLE
} else {
    BIG
};

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

/// Codes of header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// A connection to systemd, directly or over the bus.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    serial: u32,
}

/// A method of systemd.
#[derive(Clone, Copy, Debug)]
pub(super) struct Method<'a> {
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    /// The types of its arguments.
    pub(super) signature: &'a str,
}

impl Connection {
    /// Connects to systemd itself if possible, else to the system bus.
    pub(super) async fn open() -> anyhow::Result<Self> {
        let bus = if let Ok(address) = std::env::var("DBUS_SYSTEM_BUS_ADDRESS") {
            let path = address.strip_prefix("unix:path=").map(str::to_owned);
            path.with_context(|| format!("$DBUS_SYSTEM_BUS_ADDRESS is {address}, not unix:path=…"))?
        } else if let Ok(stream) = UnixStream::connect(PRIVATE).await {
            return Self::greet(stream).await;
        } else {
            let bus = SYSTEM_BUS.iter().find(|path| Path::new(path).exists());
            let bus = bus.context("neither systemd nor the system bus has a socket under /run")?;
            (*bus).to_owned()
        };
        let stream = UnixStream::connect(&bus).await;
        let stream = stream.with_context(|| format!("connecting to {bus}"))?;
        let mut connection = Self::greet(stream).await?;
        let hello = Method {
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "Hello",
            signature: "",
        };
        connection
            .call_at("org.freedesktop.DBus", hello, &MessageWriter::default())
            .await?;
        Ok(connection)
    }

    /// Authenticates by the user id, which the socket's other end knows already.
    ///
    /// Sends everything at once, as systemd's own clients do, and waits for the answer before the first
    /// message: systemd ignores a first message that it reads together with `BEGIN` (seen with 252).
    async fn greet(mut stream: UnixStream) -> anyhow::Result<Self> {
        // In hexadecimal; a digit is 0x30 to 0x39.
        let user = nix::unistd::geteuid().to_string();
        let user: String = user.chars().flat_map(|digit| ['3', digit]).collect();
        let greeting = format!("\0AUTH EXTERNAL {user}\r\nBEGIN\r\n");
        stream.write_all(greeting.as_bytes()).await?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            ensure!(line.len() < 512, "the greeting of the bus is too long");
            line.push(stream.read_u8().await?);
        }
        let answer = String::from_utf8_lossy(&line);
        ensure!(
            answer.starts_with("OK "),
            "the bus refuses: {}",
            answer.trim()
        );
        Ok(Self { stream, serial: 0 })
    }

    /// Calls a method of systemd and returns the body of its answer.
    pub(super) async fn call(
        &mut self,
        method: Method<'_>,
        arguments: &MessageWriter,
    ) -> anyhow::Result<Reader> {
        self.call_at("org.freedesktop.systemd1", method, arguments)
            .await
    }

    async fn call_at(
        &mut self,
        destination: &str,
        method: Method<'_>,
        arguments: &MessageWriter,
    ) -> anyhow::Result<Reader> {
        self.serial += 1;
        let message = message(self.serial, destination, method, arguments)?;
        self.stream.write_all(&message).await?;
        loop {
            let answer = self
                .receive()
                .await
                .with_context(|| format!("calling {}", method.member))?;
            match answer.kind {
                METHOD_RETURN if answer.replies_to == Some(self.serial) => return Ok(answer.body),
                ERROR if answer.replies_to == Some(self.serial) => {
                    let text = answer.body.clone().string().unwrap_or_default();
                    bail!("{}: {}: {text}", method.member, answer.error);
                }
                // A signal, which nobody asked for.
                _ => {}
            }
        }
    }

    async fn receive(&mut self) -> anyhow::Result<BusReply> {
        let mut start = [0; 16];
        self.stream.read_exact(&mut start).await?;
        ensure!(start[0] == OURS, "an answer has another byte order");
        let mut reader = Reader::new(start.to_vec(), 4);
        let body = reader.u32()?;
        let _serial = reader.u32()?;
        let fields = reader.u32()?;
        ensure!(
            body <= MAX_MESSAGE && fields <= MAX_MESSAGE,
            "an answer of {body} bytes"
        );
        let padded = fields.next_multiple_of(8);
        let mut header = start.to_vec();
        header.resize(16 + padded as usize, 0);
        self.stream.read_exact(&mut header[16..]).await?;
        let mut bytes = vec![0; body as usize];
        self.stream.read_exact(&mut bytes).await?;
        header.truncate(16 + fields as usize);
        BusReply::new(start[1], Reader::new(header, 16), Reader::new(bytes, 0))
    }
}

fn message(
    serial: u32,
    destination: &str,
    method: Method<'_>,
    arguments: &MessageWriter,
) -> anyhow::Result<Vec<u8>> {
    let mut fields = MessageWriter::default();
    fields.field(PATH, "o", |value| value.string(method.path))?;
    fields.field(INTERFACE, "s", |value| value.string(method.interface))?;
    fields.field(MEMBER, "s", |value| value.string(method.member))?;
    fields.field(DESTINATION, "s", |value| value.string(destination))?;
    if !method.signature.is_empty() {
        fields.field(SIGNATURE, "g", |value| value.signature(method.signature))?;
    }
    // The fields begin at offset 16, so their alignment is the message's.
    let mut message = MessageWriter(vec![OURS, METHOD_CALL, 0, 1]);
    message.u32(u32::try_from(arguments.0.len())?);
    message.u32(serial);
    message.u32(u32::try_from(fields.0.len())?);
    message.0.extend(fields.0);
    message.align(8);
    message.0.extend(&arguments.0);
    Ok(message.0)
}

/// A message from the bus.
struct BusReply {
    kind: u8,
    replies_to: Option<u32>,
    error: String,
    body: Reader,
}

impl BusReply {
    fn new(kind: u8, mut fields: Reader, body: Reader) -> anyhow::Result<Self> {
        let mut answer = Self {
            kind,
            replies_to: None,
            error: String::new(),
            body,
        };
        while fields.has_more() {
            fields.align(8);
            let code = fields.u8()?;
            match (code, &*fields.signature()?) {
                (REPLY_SERIAL, "u") => answer.replies_to = Some(fields.u32()?),
                (ERROR_NAME, "s") => answer.error = fields.string()?,
                (_, "s" | "o") => drop(fields.string()?),
                (_, "g") => drop(fields.signature()?),
                (_, "u") => drop(fields.u32()?),
                (_, other) => bail!("unexpected header field of type {other}"),
            }
        }
        Ok(answer)
    }
}

/// Writes values one after the other.
#[derive(Debug, Default)]
pub(super) struct MessageWriter(Vec<u8>);

impl MessageWriter {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn u32(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_ne_bytes());
    }

    /// Writes an `i`.
    pub(super) fn i32(&mut self, value: i32) {
        self.u32(value.cast_unsigned());
    }

    /// Writes an `s` or an `o`.
    pub(super) fn string(&mut self, text: &str) -> anyhow::Result<()> {
        ensure!(!text.contains('\0'), "{text:?} contains NUL");
        self.u32(u32::try_from(text.len())?);
        self.0.extend(text.bytes());
        self.0.push(0);
        Ok(())
    }

    fn signature(&mut self, text: &str) -> anyhow::Result<()> {
        self.0.push(u8::try_from(text.len())?);
        self.0.extend(text.bytes());
        self.0.push(0);
        Ok(())
    }

    fn field(
        &mut self,
        code: u8,
        signature: &str,
        value: impl FnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.align(8);
        self.0.push(code);
        self.signature(signature)?;
        value(self)
    }
}

/// Reads values one after the other.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    fn new(bytes: Vec<u8>, at: usize) -> Self {
        Self { bytes, at }
    }

    fn has_more(&self) -> bool {
        self.at < self.bytes.len()
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, length: usize) -> anyhow::Result<&[u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..length).context("a message is incomplete")?;
        self.at += length;
        Ok(taken)
    }

    fn u8(&mut self) -> anyhow::Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> anyhow::Result<u32> {
        self.align(4);
        Ok(u32::from_ne_bytes(self.take(4)?.try_into()?))
    }

    /// Reads a `t`.
    pub(super) fn u64(&mut self) -> anyhow::Result<u64> {
        self.align(8);
        Ok(u64::from_ne_bytes(self.take(8)?.try_into()?))
    }

    /// Reads an `s` or an `o`.
    pub(super) fn string(&mut self) -> anyhow::Result<String> {
        let length = self.u32()? as usize;
        let text = str::from_utf8(self.take(length)?)?.to_owned();
        self.take(1)?;
        Ok(text)
    }

    /// Reads a `g`, also the one that a variant begins with.
    pub(super) fn signature(&mut self) -> anyhow::Result<String> {
        let length = self.u8()?.into();
        let text = str::from_utf8(self.take(length)?)?.to_owned();
        self.take(1)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
