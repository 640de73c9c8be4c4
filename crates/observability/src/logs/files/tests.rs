use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::datetime;

use super::archive::tidy;
use super::audit::{AUDIT, Audit, Rotation};
use super::*;
use crate::logs::queue::Kind;
use crate::logs::stamp::stamp_text;

const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
const FOREVER: Duration = Duration::from_mins(1);

/// A folder with a clock of its own.
struct Place {
    dir: TempDir,
    now: Arc<Mutex<OffsetDateTime>>,
}

impl Place {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), now: Arc::new(Mutex::new(NOON)) }
    }

    fn settings(&self) -> FileSettings {
        FileSettings { max_bytes: 1000, ..FileSettings::new(self.dir.path()) }
    }

    fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Clock::new(move || *now.lock().unwrap())
    }

    fn pass(&self, time: time::Duration) {
        *self.now.lock().unwrap() += time;
    }

    fn line(&self, text: &str) -> String {
        format!("{{\"timestamp\":\"{}\",\"message\":\"{text}\"}}\n", stamp_text(*self.now.lock().unwrap()))
    }

    /// Without the thread: what is compressed and deleted, and when, is for the test to say.
    fn open(&self, settings: FileSettings) -> (FilesSink, Arc<Folder>) {
        let (sink, folder, _) = open_quietly(settings, &self.clock()).unwrap();
        (sink, folder)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    fn unzip(&self, name: &str) -> String {
        let mut text = String::new();
        GzDecoder::new(fs::File::open(self.dir.path().join(name)).unwrap()).read_to_string(&mut text).unwrap();
        text
    }

    /// The files of a kind, sorted.
    fn names(&self, kind: &str) -> Vec<String> {
        let names =
            fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.starts_with(kind)).collect();
        names.sort();
        names
    }

    fn audit(&self) -> Vec<Rotation> {
        serde_json::from_str::<Audit>(&self.read(AUDIT)).unwrap().rotations
    }
}

fn write(sink: &mut FilesSink, lines: &[(&str, Kind)]) -> u64 {
    let mut batch = Batch::default();
    for (line, kind) in lines {
        batch.push(line.as_bytes(), *kind);
    }
    sink.write(&batch)
}

fn tidy_up(folder: &Folder) {
    tidy(folder, &|| false);
}

#[test]
fn every_line_is_in_combined_and_errors_and_access_lines_in_theirs() {
    let place = Place::new();
    let (mut sink, _) = place.open(place.settings());
    let lines = [
        ("a\n", Kind::Other),
        ("b\n", Kind::Error),
        ("c\n", Kind::Access),
        ("d\n", Kind::Error),
        ("e\n", Kind::Error),
        ("f\n", Kind::Warning),
    ];
    assert_eq!(write(&mut sink, &lines), 0);
    assert_eq!(place.read("combined.log"), "a\nb\nc\nd\ne\nf\n");
    assert_eq!(place.read("error.log"), "b\nd\ne\n");
    assert_eq!(place.read("access.log"), "c\n");
}

#[test]
fn a_file_is_closed_before_it_grows_past_its_size_and_no_line_is_split_or_lost() {
    let place = Place::new();
    let (mut sink, folder) = place.open(place.settings());
    let lines: Vec<_> = (0..100).map(|n| place.line(&format!("line {n:03}"))).collect();
    for some in lines.chunks(37) {
        let some: Vec<_> = some.iter().map(|line| (line.as_str(), Kind::Other)).collect();
        assert_eq!(write(&mut sink, &some), 0);
    }
    let audit = place.audit();
    let mut told = String::new();
    for rotation in &audit {
        let text = place.read(&rotation.file);
        assert!(text.len() <= 1000 && text.len() > 900, "{} has {}", rotation.file, text.len());
        assert_eq!(rotation.bytes, text.len() as u64);
        told += &text;
    }
    told += &place.read("combined.log");
    assert_eq!(told, lines.concat());
    assert_eq!(audit[0].file, "combined-2026-11-22.1.log");
    assert_eq!(audit.last().unwrap().file, format!("combined-2026-11-22.{}.log", audit.len()));
    // And compressed they are the same.
    tidy_up(&folder);
    let told: String = place.audit().iter().map(|rotation| place.unzip(rotation.archive.as_ref().unwrap())).collect();
    assert_eq!(told + &place.read("combined.log"), lines.concat());
    assert!(place.names("combined").iter().all(|name| name == "combined.log" || name.ends_with(".log.gz")));
}

#[test]
fn a_line_longer_than_a_file_gets_one_of_its_own() {
    let place = Place::new();
    let (mut sink, _) = place.open(place.settings());
    let long = "x".repeat(3000) + "\n";
    assert_eq!(write(&mut sink, &[("a\n", Kind::Other), (&long, Kind::Other), ("b\n", Kind::Other)]), 0);
    assert_eq!(place.read("combined-2026-11-22.1.log"), "a\n");
    assert_eq!(place.read("combined-2026-11-22.2.log"), long);
    assert_eq!(place.read("combined.log"), "b\n");
}

#[test]
fn a_file_is_closed_when_its_day_is_over() {
    let place = Place::new();
    let (mut sink, _) = place.open(place.settings());
    let first = place.line("first");
    write(&mut sink, &[(&first, Kind::Error)]);
    place.pass(time::Duration::hours(11));
    write(&mut sink, &[("same day\n", Kind::Other)]);
    assert_eq!(place.audit(), []);
    place.pass(time::Duration::hours(2));
    write(&mut sink, &[("next day\n", Kind::Other)]);
    assert_eq!(place.read("combined-2026-11-22.1.log"), format!("{first}same day\n"));
    assert_eq!(place.read("combined.log"), "next day\n");
    assert_eq!(place.names("error"), ["error.log"], "closed when it is written again");
    let audit = place.audit();
    let expected = Rotation {
        kind: "combined".to_owned(),
        file: "combined-2026-11-22.1.log".to_owned(),
        created: "2026-11-22T12:00:00.000Z".to_owned(),
        closed: "2026-11-23T01:00:00.000Z".to_owned(),
        bytes: first.len() as u64 + 9,
        lines: None,
        archive: None,
        archive_bytes: None,
    };
    assert_eq!(audit, [expected]);
    write(&mut sink, &[("failed\n", Kind::Error)]);
    assert_eq!(place.read("error-2026-11-22.1.log"), first);
}

#[test]
fn a_file_that_somebody_took_away_is_begun_again() {
    let place = Place::new();
    let (mut sink, _) = place.open(place.settings());
    write(&mut sink, &[("a\n", Kind::Other)]);
    fs::remove_file(place.dir.path().join("combined.log")).unwrap();
    place.pass(time::Duration::days(1));
    assert_eq!(write(&mut sink, &[("b\n", Kind::Other)]), 0);
    assert_eq!(place.read("combined.log"), "b\n");
    assert_eq!(place.audit(), []);
}

#[test]
fn a_restart_goes_on_in_the_same_file_and_closes_one_of_an_earlier_day() {
    let place = Place::new();
    let (one, two) = (place.line("one"), place.line("two"));
    let (mut sink, folder) = place.open(place.settings());
    write(&mut sink, &[(&one, Kind::Other)]);
    drop((sink, folder));
    place.pass(time::Duration::hours(1));
    let (mut sink, folder) = place.open(place.settings());
    write(&mut sink, &[(&two, Kind::Other)]);
    assert_eq!(place.read("combined.log"), format!("{one}{two}"));
    drop((sink, folder));
    place.pass(time::Duration::days(2));
    let (_sink, _folder) = place.open(place.settings());
    assert_eq!(place.read("combined-2026-11-22.1.log"), format!("{one}{two}"));
    assert_eq!(place.read("combined.log"), "");
    assert_eq!(place.audit()[0].created, "2026-11-22T12:00:00.000Z");
}

#[test]
fn half_a_line_of_a_killed_process_does_not_spoil_the_next() {
    let place = Place::new();
    fs::write(place.dir.path().join("combined.log"), "{\"timestamp\":\"2026-11").unwrap();
    let (mut sink, _) = place.open(place.settings());
    write(&mut sink, &[("whole\n", Kind::Other)]);
    assert_eq!(place.read("combined.log"), "{\"timestamp\":\"2026-11\nwhole\n");
}

#[test]
fn the_audit_tells_the_truth_whatever_happened_to_the_files() {
    let place = Place::new();
    let full = place.line(&"x".repeat(900));
    let (mut sink, folder) = place.open(place.settings());
    for _ in 0..4 {
        write(&mut sink, &[(&full, Kind::Other)]);
    }
    tidy_up(&folder);
    let audit = place.audit();
    assert_eq!(audit.len(), 3);
    for rotation in &audit {
        let archive = rotation.archive.as_ref().unwrap();
        assert_eq!(rotation.archive_bytes, Some(fs::metadata(place.dir.path().join(archive)).unwrap().len()));
        assert_eq!((rotation.lines, rotation.bytes), (Some(1), full.len() as u64));
    }
    drop((sink, folder));
    // Somebody deletes one; a process is killed after it closed one, and after it compressed one.
    let path = |name: &str| place.dir.path().join(name);
    fs::remove_file(path("combined-2026-11-22.2.log.gz")).unwrap();
    fs::write(path("combined-2026-11-22.4.log"), &full).unwrap();
    fs::copy(path("combined-2026-11-22.3.log.gz"), path("combined-2026-11-22.5.log.gz")).unwrap();
    let (_sink, folder) = place.open(place.settings());
    let audit = place.audit();
    let files: Vec<_> = audit.iter().map(|rotation| rotation.file.as_str()).collect();
    let expected = [1, 3, 4, 5].map(|n| format!("combined-2026-11-22.{n}.log"));
    assert_eq!(files, expected);
    assert_eq!(audit[2].created, stamp_text(NOON));
    assert_eq!(audit[2].bytes, full.len() as u64);
    assert!(audit[3].archive.is_some());
    tidy_up(&folder);
    assert_eq!(place.unzip("combined-2026-11-22.4.log.gz"), full);
}

#[test]
fn an_audit_that_cant_be_read_is_made_again_from_the_files() {
    let place = Place::new();
    fs::write(place.dir.path().join("error-2026-11-20.7.log"), "x\n").unwrap();
    fs::write(place.dir.path().join(AUDIT), "{\"rotations\":[{").unwrap();
    let (_sink, _folder) = place.open(place.settings());
    let audit = place.audit();
    assert_eq!((audit.len(), audit[0].file.as_str(), audit[0].bytes), (1, "error-2026-11-20.7.log", 2));
    assert_eq!(audit[0].closed, "2026-11-21T00:00:00.000Z");
}

#[test]
fn what_a_killed_process_left_half_done_is_done_by_the_next() {
    let place = Place::new();
    let path = |name: &str| place.dir.path().join(name);
    fs::write(path("combined-2026-11-21.1.log"), "one\n").unwrap();
    fs::write(path("combined-2026-11-21.1.log.gz.tmp"), "half").unwrap();
    let (_sink, folder) = place.open(place.settings());
    tidy_up(&folder);
    assert_eq!(place.names("combined"), ["combined-2026-11-21.1.log.gz", "combined.log"]);
    assert_eq!(place.unzip("combined-2026-11-21.1.log.gz"), "one\n");
    // Killed between the archive's naming and the original's end.
    fs::write(path("combined-2026-11-21.1.log"), "one\n").unwrap();
    tidy_up(&folder);
    assert_eq!(place.names("combined"), ["combined-2026-11-21.1.log.gz", "combined.log"]);
    assert_eq!(place.audit().len(), 1);
}

#[test]
fn asked_to_stop_it_leaves_the_original_and_no_half_archive() {
    let place = Place::new();
    fs::write(place.dir.path().join("combined-2026-11-21.1.log"), "one\n").unwrap();
    let (_sink, folder) = place.open(place.settings());
    let asked = std::cell::Cell::new(0);
    tidy(&folder, &|| asked.replace(asked.get() + 1) > 0);
    assert_eq!(asked.get(), 2, "asked while it compressed");
    assert_eq!(place.names("combined"), ["combined-2026-11-21.1.log", "combined.log"]);
}

#[test]
fn files_are_kept_for_their_days() {
    let place = Place::new();
    let settings = FileSettings { keep_days: 2, ..place.settings() };
    let (mut sink, folder) = place.open(settings);
    for _ in 0..4 {
        write(&mut sink, &[(&place.line("x"), Kind::Other)]);
        place.pass(time::Duration::days(1));
        tidy_up(&folder);
    }
    // 25 November, 12:00 has just begun: what was closed on the 23rd is two days old, not more.
    place.pass(time::Duration::hours(-1));
    tidy_up(&folder);
    assert_eq!(place.names("combined-"), ["combined-2026-11-23.1.log.gz", "combined-2026-11-24.1.log.gz"]);
    assert_eq!(place.audit().len(), 2);
    place.pass(time::Duration::days(9));
    tidy_up(&folder);
    assert_eq!((place.names("combined-"), place.audit()), (vec![], vec![]));
    assert_eq!(place.names("combined"), ["combined.log"], "the current file is never deleted");
}

#[test]
fn only_so_many_files_of_a_kind_are_kept_the_newest() {
    let place = Place::new();
    let (mut sink, folder) = place.open(FileSettings { keep_files: 2, ..place.settings() });
    let full = place.line(&"x".repeat(900));
    write(&mut sink, &[(&full, Kind::Error)]);
    for _ in 0..11 {
        write(&mut sink, &[(&full, Kind::Other)]);
    }
    write(&mut sink, &[(&full, Kind::Error)]);
    tidy_up(&folder);
    assert_eq!(place.names("combined-"), ["combined-2026-11-22.11.log.gz", "combined-2026-11-22.12.log.gz"]);
    assert_eq!(place.names("error-"), ["error-2026-11-22.1.log.gz"]);
    assert_eq!(place.audit().len(), 3);
    write(&mut sink, &[(&full, Kind::Other)]);
    assert!(place.names("combined-").contains(&"combined-2026-11-22.13.log".to_owned()), "numbers are not used again");
}

#[test]
fn foreign_files_are_left_alone() {
    let place = Place::new();
    let foreign = ["combined-yesterday.log", "notes.txt", "error-2020-01-01.1.log.bak", "combined.log.gz.tmp"];
    for name in foreign {
        fs::write(place.dir.path().join(name), "x").unwrap();
    }
    let (_sink, folder) = place.open(FileSettings { keep_days: 1, keep_files: 1, ..place.settings() });
    tidy_up(&folder);
    for name in foreign {
        assert_eq!(place.read(name), "x", "{name}");
    }
    assert_eq!(place.audit(), []);
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let place = Place::new();
    let held = place.open(place.settings());
    let refused = open_quietly(place.settings(), &place.clock()).unwrap_err();
    assert!(refused.to_string().ends_with("is in use by another process"), "{refused}");
    drop(held);
    open_quietly(place.settings(), &place.clock()).unwrap();
}

#[test]
fn a_folder_that_cant_be_had_is_told_by_name() {
    let place = Place::new();
    let file = place.dir.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = open_quietly(FileSettings::new(file.join("logs")), &place.clock()).unwrap_err();
    let told = crate::logs::error_chain(&refused);
    assert!(told.contains("file/logs can't be used: "), "{told}");
}

#[test]
#[cfg(target_os = "linux")]
fn on_a_full_disk_lines_are_lost_and_counted_until_there_is_room_again() {
    let place = Place::new();
    let current = place.dir.path().join("combined.log");
    std::os::unix::fs::symlink("/dev/full", &current).unwrap();
    let (mut sink, _) = place.open(place.settings());
    assert_eq!(write(&mut sink, &[("a\n", Kind::Other), ("b\n", Kind::Error)]), 2);
    assert_eq!(write(&mut sink, &[("c\n", Kind::Other)]), 1);
    assert_eq!(place.read("error.log"), "b\n", "the other files go on");
    fs::remove_file(&current).unwrap();
    assert_eq!(write(&mut sink, &[("d\n", Kind::Other)]), 0);
    assert_eq!(place.read("combined.log"), "d\n");
}

#[test]
fn a_thread_of_its_own_compresses_what_is_closed_and_ends_when_told() {
    let place = Place::new();
    let (mut sink, folder, work) = open_quietly(place.settings(), &place.clock()).unwrap();
    let mut archivist = Archivist::start(folder, Arc::clone(&work)).unwrap();
    let full = place.line(&"x".repeat(900));
    write(&mut sink, &[(&full, Kind::Other), (&full, Kind::Other)]);
    assert!(work.settle(FOREVER));
    assert_eq!(place.unzip("combined-2026-11-22.1.log.gz"), full);
    drop(sink);
    archivist.finish(Instant::now() + FOREVER);
    // All is let go of: the folder can be had again.
    assert!(Path::new(&place.dir.path().join("log.lock")).exists());
    place.open(place.settings());
}
