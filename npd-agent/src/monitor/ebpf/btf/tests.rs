use std::path::Path;

use proptest::prelude::*;

use super::{Btf, with_function};

/// Makes BTF: types by their words, strings by their text.
fn btf(types: &[&[u32]], strings: &str) -> Vec<u8> {
    let types: Vec<u32> = types.concat();
    let length = u32::try_from(types.len() * 4).unwrap();
    let header = [
        0x1_eb9f,
        24,
        0,
        length,
        length,
        u32::try_from(strings.len()).unwrap(),
    ];
    let words = header.iter().chain(&types);
    let mut bytes: Vec<u8> = words.flat_map(|word| word.to_ne_bytes()).collect();
    bytes.extend(strings.bytes());
    bytes
}

const INT: u32 = 1 << 24;
const POINTER: u32 = 2 << 24;
const ARRAY: u32 = 3 << 24;
const STRUCT: u32 = 4 << 24;
const UNION: u32 = 5 << 24;
const ENUM: u32 = 6 << 24;
const TYPEDEF: u32 = 8 << 24;
const CONST: u32 = 10 << 24;
const PROTOTYPE: u32 = 13 << 24;
const HAS_BIT_FIELDS: u32 = 1 << 31;

/// ```c
/// typedef long counter;                                  // 1, 2
/// struct { const counter low; union { int high[3]; }; }  // 3..=6, anonymous
/// struct task { counter pid; <that>; int flag:1; };      // 7
/// enum { FIRST, SECOND = 5 };                            // 8
/// typedef void (*btf_trace_hang)(void *, struct task *, counter);  // 9..=12
/// ```
fn kernel() -> Vec<u8> {
    let strings = "\0counter\0task\0pid\0low\0high\0flag\0FIRST\0SECOND\0btf_trace_hang\0";
    let at = |name: &str| u32::try_from(strings.find(&format!("\0{name}\0")).unwrap() + 1).unwrap();
    btf(
        &[
            &[0, INT, 8, 64],
            &[at("counter"), TYPEDEF, 1],
            &[0, CONST, 2],
            &[0, ARRAY, 0, 1, 1, 3],
            &[0, UNION | 1, 24, at("high"), 4, 0],
            &[0, STRUCT | 2, 32, at("low"), 3, 0, 0, 5, 64],
            &[
                at("task"),
                STRUCT | HAS_BIT_FIELDS | 3,
                48,
                at("pid"),
                2,
                0,
                0,
                6,
                64,
                at("flag"),
                1,
                1 << 24 | 0x140,
            ],
            &[0, ENUM | 2, 4, at("FIRST"), 0, at("SECOND"), 5],
            &[0, POINTER, 7],
            &[0, PROTOTYPE | 3, 0, 0, 11, 0, 9, 0, 2],
            &[0, POINTER, 10],
            &[at("btf_trace_hang"), TYPEDEF, 11],
        ],
        strings,
    )
}

#[track_caller]
fn check_offset(path: &str, expected: Option<u32>) {
    let btf = Btf::parse(kernel(), None).unwrap();
    assert_eq!(btf.offset("task", path).ok(), expected, "{path}");
}

#[test]
fn members_are_found_inside_anonymous_structs() {
    check_offset("pid", Some(0));
    check_offset("low", Some(8));
    check_offset("high", Some(16));
    check_offset("high.2", Some(32));
    check_offset("flag", None);
    check_offset("high.x", None);
    check_offset("pid.0", None);
    check_offset("nothing", None);
}

#[test]
fn names_are_found_whole() {
    let btf = Btf::parse(kernel(), None).unwrap();
    assert!(btf.offset("tas", "pid").is_err());
    assert!(btf.offset("counter", "pid").is_err());
    assert_eq!(btf.enumerator("SECOND").unwrap(), 5);
    assert!(btf.enumerator("THIRD").is_err());
    assert_eq!(btf.array_length("task", "high").unwrap(), 3);
    assert!(btf.array_length("task", "low").is_err());
}

#[test]
fn arguments_of_tracepoints_have_types() {
    let btf = Btf::parse(kernel(), None).unwrap();
    assert!(btf.tracepoint_takes("hang", 0, "task").unwrap());
    assert!(!btf.tracepoint_takes("hang", 0, "file").unwrap());
    assert!(!btf.tracepoint_takes("hang", 1, "task").unwrap());
    assert!(btf.tracepoint_takes("hang", 2, "task").is_err());
    assert!(btf.tracepoint_takes("wake", 0, "task").is_err());
}

#[test]
fn a_module_counts_on_from_the_kernel() {
    let kernel = Btf::parse(kernel(), None).unwrap();
    let inherited = kernel.string_bytes();
    let strings = "mount\0super\0";
    let module = btf(
        &[&[inherited, STRUCT | 2, 72, inherited + 6, 7, 64, 14, 7, 448]],
        strings,
    );
    let module = Btf::parse(module, Some(&kernel)).unwrap();
    assert_eq!(module.offset("mount", "super.high").unwrap(), 24);
    // A name that it shares with the kernel is the kernel's.
    assert_eq!(module.offset("mount", "pid").unwrap(), 56);
    assert_eq!(module.offset("task", "low").unwrap(), 8);
    assert!(kernel.offset("mount", "super").is_err());
}

#[test]
fn the_stub_has_the_function_where_it_belongs() {
    let stub = Btf::parse(with_function("bpf_iter_task", 4711), None).unwrap();
    assert_eq!(stub.function("bpf_iter_task").unwrap(), 4711);
    assert!(stub.function("bpf_iter_tas").is_err());
    let first = Btf::parse(with_function("f", 1), None).unwrap();
    assert_eq!(first.function("f").unwrap(), 1);
}

#[test]
fn what_cannot_be_read_is_named() {
    let error = Btf::read(Path::new("/nowhere/btf"), None).unwrap_err();
    assert_eq!(error.to_string(), "reading /nowhere/btf");
}

/// Asks everything, to see whether anything panics.
fn ask(bytes: Vec<u8>) {
    let Ok(btf) = Btf::parse(bytes, None) else {
        return;
    };
    for path in ["pid", "low", "high.2", "high.4294967295", "flag"] {
        drop(btf.offset("task", path));
    }
    drop(btf.array_length("task", "high"));
    drop(btf.enumerator("SECOND"));
    drop(btf.tracepoint_takes("hang", 0, "task"));
    drop(btf.function("counter"));
}

proptest! {
    #[test]
    fn damaged_btf_makes_no_panic(at in 0..500_usize, to: u8, cut in 0..500_usize) {
        let mut bytes = kernel();
        let length = bytes.len();
        bytes[at % length] = to;
        ask(bytes.clone());
        bytes.truncate(cut % length);
        ask(bytes);
    }

    #[test]
    fn noise_makes_no_panic(noise: Vec<u8>) {
        ask(noise);
    }
}
