use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe;

use super::*;

/// Waits until so many lines are lost.
fn lost(log: &Log, lines: u64) {
    while log.lost.get() < lines {
        thread::yield_now();
    }
    assert_eq!(log.lost.get(), lines);
}

/// Reads so many lines.
fn read(reader: &mut BufReader<File>, lines: usize) -> String {
    let mut text = String::new();
    for _ in 0..lines {
        reader.read_line(&mut text).unwrap();
    }
    text
}

fn to_pipe() -> (BufReader<File>, Log) {
    let (reader, writer) = pipe().unwrap();
    (BufReader::new(reader.into()), Log::to(writer).unwrap())
}

#[test]
fn lines_are_written_in_order_and_flushed() {
    let (mut reader, log) = to_pipe();
    for number in 0..100 {
        log.line(number);
    }
    log.flush();
    log.lines.close();
    let text = read(&mut reader, 100);
    let numbers = text.lines().map(|line| line.parse::<u32>().unwrap());
    assert!(numbers.eq(0..100), "{text}");
    lost(&log, 0);
}

#[test]
fn a_pipe_that_nobody_reads_costs_lines_and_no_time() {
    let (mut reader, log) = to_pipe();
    let line = "x".repeat(1023);
    // More than the pipe and the queue hold.
    for _ in 0..3 * WAITING / 1024 {
        log.line(&line);
    }
    let lost_lines = log.lost.get();
    assert!(lost_lines > 1024, "{lost_lines}");
    log.flush();
    // All that is not lost comes when somebody reads.
    let total = 3 * WAITING / 1024 - usize::try_from(lost_lines).unwrap();
    read(&mut reader, total);
    log.line("the next");
    assert_eq!(read(&mut reader, 1), "the next\n");
    lost(&log, lost_lines);
}

#[test]
fn a_pipe_that_is_closed_and_a_full_disk_cost_lines() {
    let (reader, log) = to_pipe();
    drop(reader);
    log.line("one");
    log.line("two");
    lost(&log, 2);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let log = Log::to(full).unwrap();
    log.line("one");
    lost(&log, 1);
    log.flush();
}

#[test]
fn a_pipe_that_must_not_block_is_waited_for() {
    let (reader, writer) = pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let shared: OwnedFd = writer.try_clone().unwrap();
    let log = Log::to(writer).unwrap();
    let line = "x".repeat(1023);
    for _ in 0..200 {
        log.line(&line);
    }
    let text = read(&mut BufReader::new(reader.into()), 200);
    assert!(text.lines().all(|read| read == line));
    lost(&log, 0);
    // What others share stays as it was.
    let flags = OFlag::from_bits_retain(fcntl(&shared, FcntlArg::F_GETFL).unwrap());
    assert!(flags.contains(OFlag::O_NONBLOCK));
}
