use std::sync::{Arc, LazyLock};

use crate::fuzz::{now, zones};
use crate::monitor::ConfigFile;
use crate::monitor::log::config::{self, Source};

use super::LineTranslator;
use super::split_lines::SplitLines;
use super::translate::TranslatedLine;

/// The lines of a log file, as every shipped config reads them, and without a config.
///
/// # Panics
/// If a message is longer than the lines of which it is made.
pub fn filelog_translator(bytes: &[u8]) {
    static TRANSLATORS: LazyLock<Vec<LineTranslator>> = LazyLock::new(shipped);
    let text = String::from_utf8_lossy(bytes);
    for translator in &*TRANSLATORS {
        let mut split = SplitLines::default();
        for line in text.split('\n') {
            let translated = match translator.translate(line) {
                TranslatedLine::Part(part, line) => match split.join(part, line) {
                    Some(whole) => translator.of_recognised(whole),
                    None => TranslatedLine::Other,
                },
                translated => translated,
            };
            if let TranslatedLine::Message(message) = translated {
                assert!(message.text.len() <= text.len());
                for zone in zones() {
                    _ = message.time.to_timestamp(&zone, now());
                    _ = translator.time(line, &zone, now());
                }
            }
        }
    }
}

fn shipped() -> Vec<LineTranslator> {
    let configs = [
        include_str!("../../../../../../deploy/config/disk-log-message-filelog.json"),
        include_str!("../../../../../../deploy/config/docker-monitor-filelog.json"),
        include_str!("../../../../../../deploy/config/kernel-monitor-filelog.json"),
    ];
    let translator = |config: &str| {
        let file = ConfigFile {
            name: Arc::from("shipped"),
            dir: None,
            bytes: config.as_bytes().to_vec(),
        };
        match config::parse(&file, &mut Vec::new()) {
            Ok((Some(Source::File(_, translator)), _)) => Some(translator),
            _ => None,
        }
    };
    let shipped = configs.into_iter().filter_map(translator);
    let auto = LineTranslator::Recognised { program: None };
    shipped.chain([auto]).collect()
}
