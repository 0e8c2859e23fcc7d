use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::{ConfigProblem, from_slice, locate};
use crate::go::duration::GoDuration;
use crate::go::tests::vectors;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    plugin: String,
    plugin_config: BTreeMap<String, String>,
    buffer_size: i64,
    metrics_reporting: Option<bool>,
    ratio: f64,
    rules: Vec<Rule>,
    #[serde(rename = "max_output_length")]
    max_output_length: u8,
    #[serde(skip_serializing)]
    lookback: Option<GoDuration>,
    #[serde(skip_serializing)]
    level: Level,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Rule {
    reason: String,
    pattern: String,
    args: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    #[default]
    Node,
    Pod,
}

#[test]
fn decodes_what_go_decodes() {
    for row in vectors::read("json.tsv") {
        let [document, expected] = row.fields();
        let decoded = from_slice::<File>("c.json", document.as_bytes());
        match decoded {
            Ok(decoded) => {
                let theirs = serde_json::from_str::<File>(expected);
                assert_eq!(Some(decoded.value), theirs.ok(), "{row}");
            }
            Err(error) => assert_eq!("error", expected, "{row}: {error}"),
        }
    }
}

#[test]
fn reads_bytes_that_are_not_utf8_as_replacement_characters() {
    let decoded = from_slice::<File>("c.json", b"{\"plugin\": \"a\xffb\xe4\xb8c\"}").unwrap();
    assert_eq!(decoded.value.plugin, "a\u{fffd}b\u{fffd}\u{fffd}c");
    let error =
        from_slice::<File>("c.json", b"{\"plugin\": \"\xff\", \"ratio\": \"\"}").unwrap_err();
    assert_eq!((error.line, error.column), (1, 26));
}

#[track_caller]
fn reads(document: &str) -> File {
    from_slice("c.json", document.as_bytes()).unwrap().value
}

/// NPD starts with such a file.
#[test]
fn null_in_an_array_is_an_empty_element() {
    let rules = reads(r#"{"rules": [null, {"args": [null, "a"]}]}"#).rules;
    assert_eq!(rules[0], Rule::default());
    assert_eq!(rules[1].args, ["", "a"]);
}

#[test]
fn half_of_a_surrogate_pair_is_a_replacement_character() {
    for (written, read) in [
        (r"a\ud800b", "a\u{fffd}b"),
        (r"\uDFFF\ud83d", "\u{fffd}\u{fffd}"),
        (r"\ud83d\ude00\ud83d\u0041", "😀\u{fffd}A"),
        (r"ä\\ud800\ud800\n", "ä\\ud800\u{fffd}\n"),
    ] {
        let file = reads(&format!(r#"{{"plugin": "{written}"}}"#));
        assert_eq!(file.plugin, read, "{written}");
    }
}

#[test]
fn keys_are_folded_as_go_folds_them() {
    let file = reads("{\"\u{17f}\": 1, \"RULE\u{17f}\": [{}], \"metric\u{17f}Reporting\": true}");
    assert_eq!((file.rules.len(), file.metrics_reporting), (1, Some(true)));
    let kelvin = reads("{\"loo\u{212a}bac\u{212a}\": \"5s\"}");
    assert_eq!(kelvin.lookback, Some(GoDuration::from_secs(5)));
}

#[track_caller]
fn fails(document: &str, expected: &Expect) {
    let error = from_slice::<File>("c.json", document.as_bytes()).unwrap_err();
    expected.assert_eq(&error.to_string());
}

#[test]
fn names_file_line_column_and_field() {
    fails(
        "{\n  \"rules\": [\n    {\"reason\": \"ok\"},\n    {\"Reason\": 5}\n  ]\n}",
        &expect!["c.json:4:16: rules[1].Reason: invalid type: integer `5`, expected a string"],
    );
    fails(
        r#"{"pluginConfig": {"ä": "ö", "source": [1]}}"#,
        &expect!["c.json:1:39: pluginConfig.source: invalid type: sequence, expected a string"],
    );
    fails(
        r#"{"max_output_length": 80.5}"#,
        &expect![
            "c.json:1:23: max_output_length: invalid type: floating point `80.5`, expected u8"
        ],
    );
    fails(
        r#"{"max_output_length": 300}"#,
        &expect!["c.json:1:23: max_output_length: invalid value: integer `300`, expected u8"],
    );
    fails(
        r#"{"ratio": 1e999}"#,
        &expect!["c.json:1:11: ratio: number out of range: 1e999"],
    );
    fails(
        r#"{"lookback": 5}"#,
        &expect![[
            r#"c.json:1:14: lookback: invalid type: integer `5`, expected a duration string such as "5m0s""#
        ]],
    );
    fails(
        r#"{"lookback": "5d"}"#,
        &expect![[r#"c.json:1:14: lookback: time: unknown unit "d" in duration "5d""#]],
    );
    fails(
        r#"{"level": "cluster"}"#,
        &expect!["c.json:1:11: level: unknown variant `cluster`, expected `node` or `pod`"],
    );
    fails(
        "[]",
        &expect!["c.json:1:1: invalid type: sequence, expected struct File"],
    );
}

#[test]
fn names_the_place_of_a_syntax_error() {
    fails("", &expect!["c.json:1:1: EOF while parsing a value"]);
    fails(
        "{\n  \"plugin\": \"ä\",\n}",
        &expect!["c.json:3:1: key must be a string"],
    );
    fails(
        "{\"plugin\": \"ä\" \"ratio\": 1}",
        &expect!["c.json:1:16: expected `,` or `}`"],
    );
    fails("{} {}", &expect!["c.json:1:4: trailing characters"]);
    fails("\u{feff}{}", &expect!["c.json:1:1: expected value"]);
    fails("// no\n{}", &expect!["c.json:1:1: expected value"]);
    fails(
        &"[".repeat(100_000),
        &expect!["c.json:1:100000: EOF while parsing a list"],
    );
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let error = from_slice::<File>("c.json", deep.as_bytes()).unwrap_err();
    assert_eq!(error.message, "nested too deeply");
}

#[test]
fn collects_unknown_keys_with_their_place() {
    let document = "{\n  \"plugin\": \"kmsg\",\n  \"rules\": [{\"resaon\": 1, \"Pattern\": \"x\"}],\n  \
                    \"pluginConfig\": {\"free\": \"form\"},\n  \"sourcee\": null\n}";
    let decoded = from_slice::<File>("c.json", document.as_bytes()).unwrap();
    let keys: Vec<_> = decoded
        .unknown_keys
        .iter()
        .map(|key| format!("{}:{}: {}", key.line, key.column, key.path))
        .collect();
    assert_eq!(keys, ["3:14: rules[0].resaon", "5:3: sourcee"]);
    assert_eq!(decoded.value.rules[0].pattern, "x");
}

#[test]
fn locates_values_by_their_path() {
    let document = b"{\n \"Rules\": [{}, {\"pattern\": \"(\"}],\n \"plugin\": 1, \"plugin\": 2\n}";
    let check = |path, expected| assert_eq!(locate(document, path), expected, "{path}");
    check("", Some((1, 1)));
    check("rules", Some((2, 11)));
    check("rules[0]", Some((2, 12)));
    check("rules[1].Pattern", Some((2, 28)));
    check("plugin", Some((3, 25)));
    check("rules[2]", None);
    check("absent", None);
    assert_eq!(locate(b"{", ""), None);
}

#[test]
fn complains_about_values_that_were_read_before() {
    let document = b"{\n \"rules\": [{\"pattern\": \"(\"}]\n}";
    let check = |path, expected: &Expect| {
        expected.assert_eq(&ConfigProblem::new("c.json", document, path, "is wrong").to_string());
    };
    check(
        "rules[0].pattern",
        &expect!["c.json:2:24: rules[0].pattern: is wrong"],
    );
    check(
        "rules[0].path",
        &expect!["c.json:2:12: rules[0].path: is wrong"],
    );
    check("plugin", &expect!["c.json:1:1: plugin: is wrong"]);
    check("", &expect!["c.json:1:1: is wrong"]);
}

proptest! {
    #[test]
    fn no_document_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let read = from_slice::<File>("c.json", &bytes);
        prop_assert!(read.is_err() || locate(&bytes, "").is_some());
    }

    #[test]
    fn no_text_of_json_tokens_panics(
        text in r#"([{}\[\],: \n]|"plugin"|"rules"|"reason"|"ä"|null|true|-?[0-9]{1,3}|\\u[0-9a-f]{4}){0,24}"#
    ) {
        if let Err(error) = from_slice::<File>("c.json", text.as_bytes()) {
            prop_assert!(error.line >= 1 && error.column >= 1);
            prop_assert!(error.line <= text.lines().count() + 1);
        }
    }

    #[test]
    fn reads_what_serde_json_wrote(plugin: String, size: i64, reasons: Vec<String>, ratio in -1e9..1e9) {
        let rules = reasons
            .into_iter()
            .map(|reason| Rule { reason, ..Rule::default() })
            .collect();
        let config = File { plugin, buffer_size: size, rules, ratio, ..File::default() };
        let decoded = from_slice::<File>("c.json", &serde_json::to_vec_pretty(&config).unwrap());
        prop_assert_eq!(decoded.unwrap().value, config);
    }
}
