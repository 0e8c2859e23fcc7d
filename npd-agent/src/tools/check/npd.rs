//! What NPD does with a file: it ignores the keys that it does not know.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::go::json::{self, ConfigProblem, UnknownKey};
use crate::monitor::{ConfigFile, ebpf, log, plugin};

/// A value that is ignored.
type Any = Option<IgnoredAny>;

/// The keys of NPD's system log monitors.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LogKeys {
    plugin: Any,
    plugin_config: LogPluginKeys,
    log_path: Any,
    lookback: Any,
    delay: Any,
    skip_list: Any,
    buffer_size: Any,
    source: Any,
    conditions: Any,
    rules: Vec<LogRuleKeys>,
    metrics_reporting: Any,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LogPluginKeys {
    source: Any,
    timestamp: Any,
    message: Any,
    timestamp_format: Any,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LogRuleKeys {
    r#type: Any,
    condition: Any,
    reason: Any,
    pattern: Any,
    pattern_generated_message_suffix: Any,
}

/// The keys of NPD's custom plugin monitors.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PluginKeys {
    plugin: Any,
    plugin_config: PluginSettingKeys,
    source: Any,
    conditions: Any,
    rules: Vec<PluginRuleKeys>,
    metrics_reporting: Any,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PluginSettingKeys {
    invoke_interval: Any,
    timeout: Any,
    max_output_length: Any,
    concurrency: Any,
    enable_message_change_based_condition_update: Any,
    skip_initial_status: Any,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PluginRuleKeys {
    r#type: Any,
    condition: Any,
    reason: Any,
    path: Any,
    args: Any,
    timeout: Any,
}

/// The sections of NPD's system stats monitors.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatsKeys {
    invoke_interval: Any,
    proc_path: Any,
    cpu: Any,
    disk: Any,
    host: Any,
    memory: Any,
    os_feature: Any,
    net: Any,
}

/// The keys of the file that NPD ignores; `None` if NPD has no monitors of the kind with this flag.
pub(super) fn ignored_keys(flag: &str, file: &ConfigFile) -> Option<Vec<ConfigProblem>> {
    if flag == ebpf::KIND.flag {
        return None;
    }
    Some(if flag == log::KIND.flag {
        unknown_keys::<LogKeys>(file)
    } else if flag == plugin::KIND.flag {
        unknown_keys::<PluginKeys>(file)
    } else {
        unknown_keys::<StatsKeys>(file)
    })
}

/// The keys that are no fields of `T`; none if the file is refused anyhow.
fn unknown_keys<T: DeserializeOwned>(file: &ConfigFile) -> Vec<ConfigProblem> {
    let decoded = json::from_slice::<T>(&file.name, &file.bytes);
    let keys = decoded.map_or_else(|_| Vec::new(), |decoded| decoded.unknown_keys);
    let ignored = keys.into_iter().map(|key| {
        let UnknownKey { path, line, column } = key;
        ConfigProblem {
            file: file.name.to_string(),
            line,
            column,
            path,
            message: "NPD ignores this key".to_owned(),
        }
    });
    ignored.collect()
}
