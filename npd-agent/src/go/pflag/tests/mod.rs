pub(crate) mod recorded;

use super::*;

/// The values of a program.
#[derive(Debug, Default, PartialEq)]
struct Values {
    port: i64,
    level: i32,
    write: bool,
    all: bool,
    name: String,
    files: Vec<String>,
}

fn program() -> Program<Values> {
    let flags = vec![
        Flag::new(
            "--port",
            "PORT",
            "80",
            "The port",
            |values: &mut Values, _, value| integer(&mut values.port, value),
        ),
        Flag::new(
            "--v",
            "LEVEL",
            "",
            "How much to log",
            |values: &mut Values, _, value| level(&mut values.level, value),
        )
        .letter('v'),
        Flag::boolean(
            "--write",
            "true",
            "Whether to write",
            |values: &mut Values, _, value| boolean(&mut values.write, value),
        ),
        Flag::boolean(
            "--all",
            "false",
            "All of them",
            |values: &mut Values, _, value| boolean(&mut values.all, value),
        )
        .letter('a'),
        Flag::new(
            "--name",
            "NAME",
            "",
            "The name",
            |values: &mut Values, _, value| string(&mut values.name, value),
        ),
        Flag::new(
            "--old-name",
            "NAME",
            "",
            "",
            |values: &mut Values, _, value| string(&mut values.name, value),
        )
        .deprecated("--name"),
        Flag::new(
            "--files",
            "FILES",
            "",
            "Files",
            |values: &mut Values, _, value| list(&mut values.files, value),
        ),
    ];
    Program {
        name: "program",
        about: "Does something.",
        words: "",
        after: "That is all.",
        sections: vec![("Flags", flags)],
    }
}

/// The result of a line, split at blanks.
fn parse(line: &str) -> Result<ParsedLine<Values>, UsageError> {
    program().parse(line.split_whitespace().map(OsString::from))
}

#[track_caller]
fn check(line: &str, expect: impl FnOnce(&mut Values), words: &[&str]) {
    let mut values = Values {
        port: 80,
        write: true,
        ..Values::default()
    };
    expect(&mut values);
    let Ok(ParsedLine::Run(parsed, found)) = parse(line) else {
        panic!("{line}: {:?}", parse(line));
    };
    assert_eq!(parsed, values, "{line}");
    assert_eq!(found.words, words, "{line}");
}

#[track_caller]
fn check_error(line: &str, expect: &str) {
    match parse(line) {
        Err(error) => assert_eq!(error.to_string(), expect, "{line}"),
        Ok(parsed) => panic!("{line}: {parsed:?}"),
    }
}

#[test]
fn a_value_comes_after_an_equals_sign_or_in_the_next_word() {
    check("", |_| (), &[]);
    check("--port=81", |values| values.port = 81, &[]);
    check("--port 0x51", |values| values.port = 81, &[]);
    check("--port -1", |values| values.port = -1, &[]);
    check(
        "--name --port=1",
        |values| values.name = "--port=1".to_owned(),
        &[],
    );
    check("--name=a=b", |values| values.name = "a=b".to_owned(), &[]);
    check("--name --", |values| values.name = "--".to_owned(), &[]);
    check("-v4", |values| values.level = 4, &[]);
    check("-v=4", |values| values.level = 4, &[]);
    check("-v -4", |values| values.level = -4, &[]);
    check("-av4", |values| (values.all, values.level) = (true, 4), &[]);
    check("-a=false -v1", |values| values.level = 1, &[]);
}

#[test]
fn the_last_value_holds_and_lists_grow() {
    check("--port=1 --port=2", |values| values.port = 2, &[]);
    check("--write=false --write", |_| (), &[]);
    check(
        "--files=a,b --files= --files=c",
        |values| {
            values.files = ["a", "b", "c"].map(str::to_owned).to_vec();
        },
        &[],
    );
}

#[test]
fn words_are_not_joined() {
    check(
        "some --port=1 - v=4",
        |values| values.port = 1,
        &["some", "-", "v=4"],
    );
    check(
        "--port=1 -- --port=2 -z",
        |values| values.port = 1,
        &["--port=2", "-z"],
    );
    check("--", |_| (), &[]);
}

#[test]
fn a_boolean_does_not_take_the_next_word() {
    check("--write false", |_| (), &["false"]);
    let not_taken = |line: &str| match parse(line) {
        Ok(ParsedLine::Run(_, words)) => words.not_taken,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        not_taken("--write false -a T"),
        ["--write=false", "--all=T"]
    );
    assert!(not_taken("--write word --write=true false").is_empty());
}

#[test]
fn a_deprecated_flag_is_accepted_with_a_warning() {
    let Ok(ParsedLine::Run(values, words)) = parse("--old-name=x --old-name=y") else {
        panic!()
    };
    assert_eq!(values.name, "y");
    assert_eq!(words.deprecated, [("--old-name", "--name")]);
}

#[test]
fn what_pflag_refuses_is_refused_in_its_words() {
    check_error("--nothing", "unknown flag: --nothing");
    check_error("--nothing=1 --help", "unknown flag: --nothing");
    check_error("--Port=1", "unknown flag: --Port");
    check_error("--por=1", "unknown flag: --por");
    check_error("---port=1", "bad flag syntax: ---port=1");
    check_error("--=1", "bad flag syntax: --=1");
    check_error("-port=1", "unknown shorthand flag: 'p' in -port=1");
    check_error("-ab", "unknown shorthand flag: 'b' in -b");
    check_error("--port", "flag needs an argument: --port");
    check_error("-v", "flag needs an argument: 'v' in -v");
    check_error("-av", "flag needs an argument: 'v' in -v");
    check_error(
        "--port=x",
        r#"invalid argument "x" for "--port" flag: strconv.ParseInt: parsing "x": invalid syntax"#,
    );
    check_error(
        "-v=",
        r#"invalid argument "=" for "-v, --v" flag: strconv.ParseInt: parsing "=": invalid syntax"#,
    );
    check_error(
        "--write=yes --port=x",
        r#"invalid argument "yes" for "--write" flag: strconv.ParseBool: parsing "yes": invalid syntax"#,
    );
}

#[test]
fn help_comes_when_it_is_reached() {
    let help = "\
Does something.

Usage: program [FLAGS]

Flags:
      --port PORT    The port [default: 80]
  -v, --v LEVEL      How much to log
      --write        Whether to write [default: true]
  -a, --all          All of them
      --name NAME    The name
      --files FILES  Files
  -h, --help         Print this help and exit

That is all.
";
    for line in ["--help", "-h", "--help=false --nothing", "-ah", "-help"] {
        assert_eq!(parse(line), Ok(ParsedLine::Help(help.to_owned())), "{line}");
    }
}

#[test]
fn a_word_that_is_not_utf_8_is_no_reason_to_stop() {
    use std::os::unix::ffi::OsStringExt as _;
    let line = [OsString::from_vec(b"a\xff".to_vec())];
    let Ok(ParsedLine::Run(_, words)) = program().parse(line) else {
        panic!()
    };
    assert_eq!(words.words, ["a\u{fffd}"]);
}
