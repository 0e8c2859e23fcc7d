use std::sync::{Arc, LazyLock};

use crate::fuzz::{now, zones};
use crate::monitor::ConfigFile;
use crate::monitor::log::config::{self, Source};

use super::LineTranslator;

/// The lines of a log file, as every shipped config reads them.
///
/// # Panics
/// If a message is not a part of its line.
pub fn filelog_translator(bytes: &[u8]) {
    static TRANSLATORS: LazyLock<Vec<LineTranslator>> = LazyLock::new(shipped);
    for line in bytes.split(|&byte| byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        for translator in &*TRANSLATORS {
            let message = translator.message(&line);
            assert!(message.is_none_or(|message| line.contains(message)));
            for zone in zones() {
                _ = translator.time(&line, &zone, now());
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
    configs.into_iter().filter_map(translator).collect()
}
