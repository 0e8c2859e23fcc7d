//! Lines as klog writes them, and as JSON.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::go::quote::quote;

/// klog's way: `W1130 11:10:55.947000       1 file.rs:12] "Message" key="value" count=3`.
pub(super) struct Klog(pub(super) Header);

/// One JSON object per line: `time`, `level`, `msg`, `caller`, and the fields.
pub(super) struct Json;

/// What klog's header contains in addition to the event.
pub(super) struct Header {
    zone: TimeZone,
    process: u32,
}

impl Header {
    /// The header of this process's lines, with the time of `zone`.
    pub(super) fn new(zone: TimeZone) -> Self {
        Self {
            zone,
            process: std::process::id(),
        }
    }

    /// The header, and a space.
    fn write(&self, level: &str, time: Timestamp, caller: &str) -> String {
        let letter = match level {
            "warn" => 'W',
            "error" => 'E',
            "fatal" => 'F',
            // klog has one level for everything that is not a problem.
            _ => 'I',
        };
        let time = time.to_zoned(self.zone.clone());
        let time = time.strftime("%m%d %H:%M:%S.%6f");
        format!("{letter}{time} {:>7} {caller}] ", self.process)
    }
}

impl<S, N> FormatEvent<S, N> for Klog
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let header = self
            .0
            .write(level(metadata), Timestamp::now(), &caller(metadata));
        let fields = EventFields::of(event);
        write!(out, "{header}{}", quote(&fields.message))?;
        for (name, value) in fields.others {
            match value {
                Value::String(text) => write!(out, " {name}={}", quote(&text))?,
                value => write!(out, " {name}={value}")?,
            }
        }
        writeln!(out)
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let fields = EventFields::of(event);
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ");
        let level = level(metadata);
        write!(
            out,
            r#"{{"time":"{time}","level":"{level}","msg":{},"caller":{}"#,
            json!(fields.message),
            json!(caller(metadata))
        )?;
        for (name, value) in fields.others {
            write!(out, ",{}:{value}", json!(name))?;
        }
        writeln!(out, "}}")
    }
}

/// The name of an event's level.
fn level(metadata: &Metadata<'_>) -> &'static str {
    match *metadata.level() {
        Level::ERROR if metadata.target() == super::FATAL => "fatal",
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        _ => "debug",
    }
}

/// The file and line of an event. If they are unknown, this is what klog prints too.
fn caller(metadata: &Metadata<'_>) -> String {
    let file = metadata.file().and_then(|file| Path::new(file).file_name());
    let file = file.map_or("???".into(), |file| file.to_string_lossy());
    format!("{file}:{}", metadata.line().unwrap_or(1))
}

/// What an event says.
#[derive(Default)]
struct EventFields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl EventFields {
    fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for EventFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// Stores what is logged.
    #[derive(Clone, Default)]
    struct CapturedOutput(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for CapturedOutput {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for CapturedOutput {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// What is logged with this format.
    fn logged(
        format: impl for<'w> FormatEvent<
            tracing_subscriber::Registry,
            tracing_subscriber::fmt::format::DefaultFields,
        > + Send
        + Sync
        + 'static,
        log: impl FnOnce(),
    ) -> String {
        use tracing_subscriber::layer::SubscriberExt as _;

        let captured = CapturedOutput::default();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(captured.clone())
            .event_format(format);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
    }

    fn say_something() {
        tracing::warn!(
            error = "it \"broke\"\ntwice",
            lines = 3,
            up = false,
            pause = ?std::time::Duration::from_secs(1),
            "Something happened"
        );
    }

    #[track_caller]
    fn check_header(process: u32, hours: i8, level: &str, expect: &str) {
        let zone = TimeZone::fixed(jiff::tz::offset(hours));
        let time = "2026-11-30T11:10:55.947Z".parse().unwrap();
        let header = Header { zone, process };
        assert_eq!(header.write(level, time, "file.go:12"), expect);
    }

    /// As NPD's log of that day has it, as process 1 of a container and in Tokyo.
    #[test]
    fn the_header_is_klog_s() {
        let container = "I1130 11:10:55.947000       1 file.go:12] ";
        check_header(1, 0, "info", container);
        check_header(1, 0, "debug", container);
        let tokyo = "W1130 20:10:55.947000   11381 file.go:12] ";
        check_header(11_381, 9, "warn", tokyo);
        let long = "E1130 11:10:55.947000 12345678 file.go:12] ";
        check_header(12_345_678, 0, "error", long);
        check_header(1, 0, "fatal", &container.replace('I', "F"));
    }

    #[test]
    fn klog_has_a_line_an_event() {
        let klog = || Klog(Header::new(TimeZone::UTC));
        let line = logged(klog(), say_something);
        let (header, text) = line.split_once("] ").unwrap();
        assert!(
            header.starts_with('W') && header.contains(" format.rs:"),
            "{header}"
        );
        assert_eq!(
            text,
            "\"Something happened\" error=\"it \\\"broke\\\"\\ntwice\" lines=3 up=false pause=\"1s\"\n"
        );
        let fatal = logged(
            klog(),
            || tracing::error!(target: super::super::FATAL, "End"),
        );
        assert!(fatal.starts_with('F'), "{fatal}");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let line = logged(Json, say_something);
        assert!(
            line.ends_with("}\n") && line.matches('\n').count() == 1,
            "{line}"
        );
        let mut object: Value = serde_json::from_str(&line).unwrap();
        let time = object["time"].take();
        time.as_str().unwrap().parse::<Timestamp>().unwrap();
        let caller = object["caller"].take();
        assert!(
            caller.as_str().unwrap().starts_with("format.rs:"),
            "{caller}"
        );
        let expect = json!({
            "time": null,
            "caller": null,
            "level": "warn",
            "msg": "Something happened",
            "error": "it \"broke\"\ntwice",
            "lines": 3,
            "up": false,
            "pause": "1s",
        });
        assert_eq!(object, expect);
    }
}
