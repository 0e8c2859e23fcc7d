//! Files that are cut, damaged, deleted, copied, or that are not journals.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::lab::export_at;
use super::*;
use crate::node::Roots;

fn kubelet() -> EntryFilter {
    wanted(&[&[("SYSLOG_IDENTIFIER", "kubelet")]])
}

fn numbered(numbers: std::ops::Range<u64>) -> Vec<u8> {
    let entry = |number| ("kubelet", 3, format!("entry {number}").into_bytes());
    export(numbers.start, numbers.map(entry))
}

/// The messages that can be read at once.
fn read(journal: &mut Journal) -> Vec<String> {
    journal.scan();
    let mut read = Vec::new();
    while let Some(entry) = journal.next_entry() {
        assert!(!entry.again);
        read.push(String::from_utf8_lossy(&entry.message).into_owned());
    }
    _ = journal.settle().unwrap();
    read
}

fn entries(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("entry {number}")).collect()
}

/// Reads until something damaged is found.
async fn read_until_malformed(journal: &mut Journal) -> (Vec<String>, u64) {
    let start = Instant::now();
    let mut found = Vec::new();
    loop {
        found.extend(read(journal));
        let malformed = journal.take_malformed();
        if malformed > 0 || start.elapsed() > Duration::from_secs(30) {
            return (found, malformed);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// The offset of the object that contains this message.
fn place_of(file: &[u8], message: &str) -> usize {
    let data = format!("MESSAGE={message}");
    let mut places = file.windows(data.len());
    places.position(|bytes| bytes == data.as_bytes()).unwrap()
}

/// Marks the file as archived in its header.
fn archive(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[16] = 2;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_deleted_file_is_read_to_its_end() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("system.journal");
    remote(&path, true, &numbered(0..3)).await;
    let mut journal = Journal::in_folder(folder.path().to_owned(), kubelet(), 0);
    assert_eq!(read(&mut journal), entries(0..3));
    remote(&path, true, &numbered(3..6)).await;
    fs::remove_file(&path).unwrap();
    assert_eq!(read(&mut journal), entries(3..6));
    // Its inode is used again.
    remote(&path, true, &numbered(6..8)).await;
    assert_eq!(read(&mut journal), entries(6..8));
}

#[tokio::test]
async fn an_inode_that_is_used_again_is_another_file() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let old = folder.path().join("system@1.journal");
    remote(&old, true, &numbered(0..3)).await;
    archive(&old);
    let mut journal = Journal::in_folder(folder.path().to_owned(), kubelet(), 0);
    assert_eq!(read(&mut journal), entries(0..3));
    // Test this by the name, because most file systems do not reuse the inode at once.
    let elsewhere = TempDir::new().unwrap();
    let new = elsewhere.path().join("new.journal");
    remote(&new, true, &numbered(3..6)).await;
    fs::write(&old, fs::read(&new).unwrap()).unwrap();
    fs::rename(&old, folder.path().join("system.journal")).unwrap();
    assert_eq!(read(&mut journal), entries(3..6));
}

#[tokio::test]
async fn what_came_before_the_first_start_stays_passed() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("system.journal");
    let old = |numbers: std::ops::Range<u64>| {
        let entry = |number| ("kubelet", 3, format!("entry {number}").into_bytes());
        export_at(1_000_000, numbers.start, numbers.map(entry))
    };
    remote(&path, true, &old(0..5)).await;
    let new = |since| Journal::in_folder(folder.path().to_owned(), kubelet(), since);
    let mut first = new(2_000_000);
    assert_eq!(read(&mut first), entries(0..0));
    let progress = serde_json::to_value(first.progress()).unwrap();
    remote(&path, true, &numbered(5..7)).await;
    // An agent that is started again does not ask for the time.
    let mut second = new(0).resumed(serde_json::from_value(progress).unwrap(), 0);
    assert_eq!(read(&mut second), entries(5..7));
}

#[tokio::test]
async fn a_file_that_was_away_is_not_read_again() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("system.journal");
    remote(&path, true, &numbered(0..5)).await;
    archive(&path);
    let mut journal = Journal::in_folder(folder.path().to_owned(), kubelet(), 0);
    assert_eq!(read(&mut journal), entries(0..5));
    let away = folder.path().join("away");
    fs::rename(&path, &away).unwrap();
    assert_eq!(read(&mut journal), entries(0..0));
    assert!(journal.is_absent());
    fs::copy(&away, &path).unwrap();
    assert_eq!(read(&mut journal), entries(0..0));
    assert!(!journal.is_absent());
}

#[tokio::test]
async fn what_journald_copies_to_the_disk_is_read_once() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let root = |name: &str| {
        let journal = folder.path().join(name).join("journal");
        fs::create_dir_all(&journal).unwrap();
        journal.join("system.journal")
    };
    let (run, log) = (root("run/log"), root("log"));
    let roots = Roots {
        run: folder.path().join("run"),
        log: folder.path().join("log"),
        ..Roots::from_env(|_| None)
    };
    remote(&run, true, &numbered(0..5)).await;
    let mut journal = Journal::of_node(&roots, kubelet(), 0);
    assert_eq!(read(&mut journal), entries(0..5));
    // journald copies the entries one by one, and then deletes the file.
    remote(&log, true, &numbered(0..2)).await;
    assert_eq!(read(&mut journal), entries(0..0));
    remote(&log, true, &numbered(2..5)).await;
    fs::remove_file(&run).unwrap();
    let progress = journal.progress().clone();
    assert_eq!(read(&mut journal), entries(0..0));
    remote(&log, true, &numbered(5..7)).await;
    assert_eq!(read(&mut journal), entries(5..7));
    // The same if no agent ran meanwhile.
    let mut second = Journal::of_node(&roots, kubelet(), 0).resumed(progress, 0);
    assert_eq!(read(&mut second), entries(5..7));
}

#[tokio::test]
async fn of_a_damaged_file_the_rest_is_read() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("system.journal");
    remote(&path, false, &numbered(0..20)).await;
    let mut bytes = fs::read(&path).unwrap();
    // The message of one entry, and the entry of another: it comes right after its message.
    let message = place_of(&bytes, "entry 3") - 64;
    bytes[message] = 0x55;
    let entry = place_of(&bytes, "entry 7") + 16;
    bytes[entry..entry + 8].fill(0x77);
    fs::write(&path, bytes).unwrap();
    let mut journal = Journal::in_folder(folder.path().to_owned(), kubelet(), 0);
    let read = read(&mut journal);
    let mut expect = entries(0..20);
    expect.retain(|entry| entry != "entry 3" && entry != "entry 7");
    assert_eq!(read, expect);
    assert_eq!(journal.take_malformed(), 2);
}

/// A file after a crash of the machine: its end was never written.
#[tokio::test]
async fn a_file_that_was_cut_is_read_as_far_as_it_goes() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("system.journal");
    remote(&path, false, &numbered(0..300)).await;
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..place_of(&bytes, "entry 250")]).unwrap();
    let mut journal = Journal::in_folder(folder.path().to_owned(), kubelet(), 0);
    let (found, malformed) = read_until_malformed(&mut journal).await;
    assert_eq!(found, entries(0..250));
    assert!(malformed > 0);
    // And journald continues in a new file.
    remote(
        &folder.path().join("new.journal"),
        false,
        &numbered(300..302),
    )
    .await;
    assert_eq!(read(&mut journal), entries(300..302));
}

#[tokio::test]
async fn an_entry_that_is_just_being_written_is_waited_for() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path: PathBuf = folder.path().join("system.journal");
    remote(&path, false, &numbered(0..3)).await;
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    let entry = place_of(&bytes, "entry 2") + 16;
    bytes[entry..entry + 16].fill(0);
    fs::write(&path, bytes).unwrap();
    let mut journal = Journal::in_folder(folder.path().to_owned(), kubelet(), 0);
    assert_eq!(read(&mut journal), entries(0..2));
    assert_eq!(read(&mut journal), entries(0..0));
    fs::write(&path, whole).unwrap();
    assert_eq!(read(&mut journal), entries(2..3));
    assert_eq!(journal.take_malformed(), 0);
}

/// Entries come in the order of their numbers, although the clock was set back.
#[tokio::test]
async fn files_are_read_in_the_order_of_their_entries() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let at = |hour: u64, numbers: std::ops::Range<u64>| {
        let entry = |number| ("kubelet", 3, format!("entry {number}").into_bytes());
        export_at(hour * 3_600_000_000, numbers.start, numbers.map(entry))
    };
    remote(&folder.path().join("b.journal"), true, &at(5, 0..3)).await;
    remote(&folder.path().join("a.journal"), true, &at(3, 3..6)).await;
    remote(&folder.path().join("c.journal"), true, &at(4, 6..9)).await;
    let mut journal = Journal::in_folder(folder.path().to_owned(), kubelet(), 0);
    assert_eq!(read(&mut journal), entries(0..9));
}

/// Whatever a file contains, reading it ends without an error.
#[tokio::test]
async fn no_file_makes_it_panic_or_hides_another() {
    if !can_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("good.journal");
    let messages = (0..300).map(|number| ("kubelet", 3, message(number)));
    remote(&path, true, &export(0, messages)).await;
    let good = fs::read(&path).unwrap();
    let used = good.iter().rposition(|byte| *byte != 0).unwrap();
    let terms = wanted(&[&[("SYSLOG_IDENTIFIER", "kubelet")], &[("PRIORITY", "3")]]);
    let mut random = 1_u64;
    let mut below = |most: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(random >> 33).unwrap() % most
    };
    for _ in 0..400 {
        let mut bad = good.clone();
        for _ in 0..=below(8) {
            let at = if below(4) == 0 {
                below(300)
            } else {
                below(used)
            };
            bad[at] = [0, 1, 0x7f, 0xff, u8::try_from(below(256)).unwrap()][below(5)];
        }
        // A different file, closed by its writer: it must not look like a copy of the good one.
        bad[16] = 2;
        bad[24] ^= 1;
        fs::write(folder.path().join("bad.journal"), &bad).unwrap();
        let mut journal = Journal::in_folder(folder.path().to_owned(), terms.clone(), 0);
        journal.scan();
        let mut of_good = 0;
        while let Some(entry) = journal.next_entry() {
            of_good += usize::from(entry.boot != 0);
        }
        assert!(journal.settle().is_ok());
        assert!(of_good >= 300, "{of_good}");
    }
}
