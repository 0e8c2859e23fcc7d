//! Lines that are too long, and too many lines at once.

use super::super::open::{MAX_LINE, MAX_LINES};
use super::*;

#[test]
fn the_lines_of_one_of_many_files_are_shorter() {
    let mut bench = TailBench::new();
    bench.tail.limit(4096);
    for _ in 0..3 {
        bench.write(&"x".repeat(10_000));
        bench.read();
        assert!(bench.tail.buffer.bytes.capacity() <= 4096);
        bench.write("the end\nshort\n");
        bench.read();
    }
    let lengths: Vec<_> = bench.lines.0.iter().map(String::len).collect();
    assert_eq!((lengths, bench.tail.cut), ([4096, 5].repeat(3), 3));
}

#[test]
fn short_lines_are_passed_on_in_parts() {
    let mut bench = TailBench::new();
    bench.read();
    let lines = MAX_LINES * 3 + 1;
    bench.write(&"x\n".repeat(lines));
    let mut passed = 0;
    loop {
        let step = bench.tail.step(bench.now, &mut bench.lines).unwrap();
        let part = bench.lines.0.len() - passed;
        assert!(part <= MAX_LINES, "{part} lines at once");
        passed += part;
        if step == FollowStep::End {
            break;
        }
    }
    assert_eq!(passed, lines);
}

#[test]
fn a_line_too_long_is_cut_and_counted() {
    let mut bench = TailBench::new();
    bench.write(&"x".repeat(3 * MAX_LINE));
    bench.read();
    bench.write("the end\nshort\n");
    bench.read();
    let lengths: Vec<_> = bench.lines.0.iter().map(String::len).collect();
    assert_eq!((lengths, bench.tail.cut), (vec![MAX_LINE, 5], 1));
}
