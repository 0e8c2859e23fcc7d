mod limits;
mod rotations;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use tempfile::TempDir;

use super::*;

/// Keeps the lines, and reads every file from its beginning.
#[derive(Default)]
struct Lines(Vec<String>);

impl Sink for Lines {
    fn beginning(&mut self, _: &File) -> io::Result<u64> {
        Ok(0)
    }

    fn resumed(&mut self, _: &File, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn lines(&mut self, lines: &[u8]) {
        let text = String::from_utf8_lossy(lines);
        self.0.extend(text.lines().map(str::to_owned));
    }
}

/// A folder with a log that is written, rotated and read.
struct TailBench {
    folder: TempDir,
    tail: Tail,
    lines: Lines,
    now: Instant,
    /// What the writer has open; it may be called something else by now.
    writer: Option<File>,
    written: usize,
    /// Files are distinguished by their modification times, and the kernel's clock for these is coarse.
    clock: SystemTime,
}

impl TailBench {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let tail = Tail::new(folder.path().join("log"), LogPositions::default());
        let mut bench = Self {
            folder,
            tail,
            lines: Lines::default(),
            now: Instant::now(),
            writer: None,
            written: 0,
            clock: SystemTime::now(),
        };
        bench.reopen();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The writer opens the log by its name.
    fn reopen(&mut self) {
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path("log"))
            .unwrap();
        self.touch(&log);
        self.writer = Some(log);
    }

    fn touch(&mut self, file: &File) {
        self.clock += Duration::from_millis(1);
        file.set_modified(self.clock).unwrap();
    }

    /// The writer adds what is not yet a line.
    fn write(&mut self, text: &str) {
        let mut writer = self.writer.take().unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        self.touch(&writer);
        self.writer = Some(writer);
    }

    /// The writer adds numbered lines.
    fn write_lines(&mut self, count: usize) {
        for _ in 0..count {
            let line = format!("line {}\n", self.written);
            self.write(&line);
            self.written += 1;
        }
    }

    fn shift(&self, keep: usize) {
        for generation in (1..keep).rev() {
            let _absent = fs::rename(
                self.path(&format!("log.{generation}")),
                self.path(&format!("log.{}", generation + 1)),
            );
        }
    }

    /// logrotate without `copytruncate`; the writer does not notice yet.
    fn rename(&mut self) {
        self.shift(4);
        fs::rename(self.path("log"), self.path("log.1")).unwrap();
    }

    /// logrotate with `copytruncate`.
    fn copy_truncate(&mut self) {
        self.copy();
        self.truncate();
    }

    /// The first half of that.
    fn copy(&mut self) {
        self.shift(4);
        fs::copy(self.path("log"), self.path("log.1")).unwrap();
        let copy = OpenOptions::new().write(true).open(self.path("log.1"));
        self.touch(&copy.unwrap());
    }

    /// The second half.
    fn truncate(&mut self) {
        let log = OpenOptions::new().write(true).open(self.path("log"));
        let log = log.unwrap();
        log.set_len(0).unwrap();
        self.touch(&log);
    }

    /// Reads until there is no more.
    fn read(&mut self) -> FollowStep {
        loop {
            match self.step() {
                FollowStep::More => {}
                step => return step,
            }
        }
    }

    fn step(&mut self) -> FollowStep {
        self.tail.step(self.now, &mut self.lines).unwrap()
    }

    /// The agent is killed, and started again with what it had saved.
    fn restart(&mut self) {
        let saved = serde_json::to_string(&self.tail.positions()).unwrap();
        self.tail = Tail::new(self.path("log"), serde_json::from_str(&saved).unwrap());
    }

    #[track_caller]
    fn check_all_lines_once(&mut self) {
        self.read();
        let mut lines = self.lines.0.clone();
        lines.sort_by_key(|line| {
            line.strip_prefix("line ")
                .unwrap()
                .parse::<usize>()
                .unwrap()
        });
        let expect: Vec<_> = (0..self.written)
            .map(|number| format!("line {number}"))
            .collect();
        assert_eq!(lines, expect);
    }
}

#[test]
fn a_line_is_handed_out_when_its_newline_comes() {
    let mut bench = TailBench::new();
    bench.write("line ");
    assert_eq!(bench.read(), FollowStep::End);
    assert!(bench.lines.0.is_empty());
    bench.write("0\nline 1\nline");
    bench.read();
    bench.write(" 2\n");
    bench.written = 3;
    bench.check_all_lines_once();
}

#[test]
fn a_file_may_be_absent_at_first_and_come_later() {
    let mut bench = TailBench::new();
    fs::remove_file(bench.path("log")).unwrap();
    assert_eq!(bench.read(), FollowStep::Absent);
    bench.reopen();
    bench.write_lines(2);
    bench.check_all_lines_once();
}

#[test]
fn a_renamed_file_is_read_to_its_end_also_when_its_writer_is_late() {
    let mut bench = TailBench::new();
    bench.write_lines(2);
    bench.read();
    bench.write_lines(2);
    bench.rename();
    bench.write_lines(2);
    bench.read();
    let writer = bench.writer.take();
    bench.reopen();
    bench.write_lines(2);
    bench.read();
    bench.writer = writer;
    bench.write_lines(2);
    bench.check_all_lines_once();
}

#[test]
fn generations_that_came_and_went_between_two_looks_are_read() {
    let mut bench = TailBench::new();
    bench.write_lines(2);
    bench.read();
    for _ in 0..3 {
        bench.write_lines(2);
        bench.rename();
        bench.reopen();
    }
    bench.write_lines(1);
    bench.check_all_lines_once();
}

#[test]
fn a_truncated_file_is_read_on_in_its_copy() {
    let mut bench = TailBench::new();
    bench.write_lines(2);
    bench.read();
    for _ in 0..3 {
        bench.write_lines(2);
        bench.copy_truncate();
    }
    // Longer than what was read of it before.
    bench.write_lines(20);
    bench.check_all_lines_once();
}

#[test]
fn lines_read_between_copying_and_truncating_are_not_looked_for() {
    let mut bench = TailBench::new();
    bench.write_lines(20);
    fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
    bench.write_lines(2);
    bench.read();
    bench.writer.as_ref().unwrap().set_len(0).unwrap();
    bench.write_lines(2);
    bench.copy_truncate();
    bench.write_lines(2);
    bench.check_all_lines_once();
}

#[test]
fn an_empty_file_that_is_filled_and_truncated_between_two_looks_is_read() {
    let mut bench = TailBench::new();
    bench.read();
    bench.write_lines(2);
    bench.copy_truncate();
    bench.check_all_lines_once();
    bench.write_lines(2);
    bench.copy_truncate();
    bench.write_lines(2);
    bench.check_all_lines_once();
}

#[test]
fn a_file_that_is_truncated_without_a_copy_is_read_again() {
    let mut bench = TailBench::new();
    bench.write_lines(3);
    bench.read();
    bench.writer.as_ref().unwrap().set_len(0).unwrap();
    bench.write_lines(1);
    bench.check_all_lines_once();
}

#[test]
fn a_removed_file_is_read_to_its_end() {
    let mut bench = TailBench::new();
    bench.write_lines(1);
    bench.read();
    bench.write_lines(1);
    fs::remove_file(bench.path("log")).unwrap();
    bench.read();
    bench.reopen();
    bench.write_lines(1);
    bench.check_all_lines_once();
}

#[test]
fn the_last_line_of_an_old_file_needs_no_newline() {
    let mut bench = TailBench::new();
    bench.write("line 0");
    bench.read();
    bench.rename();
    bench.reopen();
    bench.write("line 1\n");
    bench.written = 2;
    bench.read();
    assert_eq!(bench.lines.0, ["line 1"]);
    bench.now += GRACE + Duration::from_secs(1);
    bench.check_all_lines_once();
}

#[test]
fn an_old_file_is_not_read_again_when_it_is_closed() {
    let mut bench = TailBench::new();
    bench.write_lines(1);
    bench.read();
    bench.rename();
    let late = bench.writer.take();
    bench.reopen();
    bench.read();
    // The old file is written after the new one, which stays empty until it is rotated.
    bench.writer = late;
    bench.write_lines(1);
    bench.read();
    bench.now += GRACE + Duration::from_secs(1);
    bench.read();
    bench.restart();
    bench.rename();
    bench.reopen();
    bench.check_all_lines_once();
}

#[test]
fn a_symbolic_link_is_followed_where_it_leads() {
    let mut bench = TailBench::new();
    fs::create_dir(bench.path("pod")).unwrap();
    fs::rename(bench.path("log"), bench.path("pod/0.log")).unwrap();
    std::os::unix::fs::symlink(bench.path("pod/0.log"), bench.path("log")).unwrap();
    bench.write_lines(1);
    bench.read();
    for name in ["pod/0.log.20261124-100000", "pod/0.log.20261124-110000"] {
        bench.write_lines(1);
        fs::rename(bench.path("pod/0.log"), bench.path(name)).unwrap();
        bench.reopen();
    }
    bench.write_lines(1);
    bench.check_all_lines_once();
}

#[test]
fn a_replaced_folder_is_noticed() {
    let mut bench = TailBench::new();
    fs::create_dir(bench.path("a")).unwrap();
    fs::create_dir(bench.path("b")).unwrap();
    fs::write(bench.path("a/log"), "line 0\n").unwrap();
    fs::write(bench.path("b/log"), "line 1\n").unwrap();
    std::os::unix::fs::symlink(bench.path("a"), bench.path("now")).unwrap();
    bench.tail = Tail::new(bench.path("now/log"), LogPositions::default());
    bench.read();
    fs::remove_file(bench.path("now")).unwrap();
    std::os::unix::fs::symlink(bench.path("b"), bench.path("now")).unwrap();
    bench.written = 2;
    bench.check_all_lines_once();
}

#[test]
fn what_is_no_file_is_an_error() {
    let bench = TailBench::new();
    let mut tail = Tail::new(bench.folder.path().to_owned(), LogPositions::default());
    let error = tail.step(bench.now, &mut Lines::default()).unwrap_err();
    assert_eq!(error.to_string(), "not a regular file");
}
