//! What ends a process, and what is an error: each cell of the table "Signals" in the guide that can be had on this machine,
//! in a process of its own.
#![cfg(all(target_os = "linux", target_pointer_width = "64", not(held_files)))]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::common::test_path;
use stratalog::{
    ConsumerConfig, Durability, Error, EventLog, Maintenance, OpenOptions, ReadMode, Record, TopicConfig,
    WriteMode,
};

const CELL: &str = "STRATALOG_CELL";
const GUIDE: &str = include_str!("../../src/guide.md");
const SIGBUS: i32 = 7;

/// A file system that is mounted as long as this lives.
struct Mounted {
    name: &'static str,
    /// Whether logs on it are mapped.
    is_mapped: bool,
    dir: tempfile::TempDir,
    at: PathBuf,
}

fn emit_skipped(what: &str, why: impl std::fmt::Display) {
    eprintln!("skipped: {what}: {why}");
}

/// Runs a program. `None`, with the reason printed, if that fails.
fn run(what: &str, program: &str, arguments: &[&str]) -> Option<()> {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => Some(()),
        Ok(output) => {
            emit_skipped(what, String::from_utf8_lossy(&output.stderr).trim());
            None
        }
        Err(error) => {
            emit_skipped(what, format_args!("{program}: {error}"));
            None
        }
    }
}

impl Mounted {
    fn new(name: &'static str, is_mapped: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("at");
        fs::create_dir(&at).unwrap();
        Self { name, is_mapped, dir, at }
    }

    fn place(&self) -> &str {
        self.at.to_str().unwrap()
    }

    fn tmpfs() -> Option<Self> {
        let new = Self::new("tmpfs", true);
        run(new.name, "mount", &["-t", "tmpfs", "-o", "size=8m", "stratalog-test", new.place()])?;
        Some(new)
    }

    /// A file system in a file.
    fn in_image(name: &'static str, is_mapped: bool, bytes: u64, make: &[&str]) -> Option<Self> {
        let new = Self::new(name, is_mapped);
        let image = new.dir.path().join("image");
        fs::File::create(&image).unwrap().set_len(bytes).unwrap();
        let image = image.to_str().unwrap();
        run(name, make[0], &[&make[1..], &[image]].concat())?;
        run(name, "mount", &["-o", "loop", image, new.place()])?;
        Some(new)
    }

    /// Over a file system in memory.
    fn overlay() -> Option<Self> {
        let new = Self::new("overlay", false);
        let below = new.dir.path().join("below");
        fs::create_dir(&below).unwrap();
        run(new.name, "mount", &["-t", "tmpfs", "-o", "size=8m", "stratalog-test", below.to_str().unwrap()])?;
        for part in ["lower", "upper", "work"] {
            fs::create_dir(below.join(part)).unwrap();
        }
        let part = |part: &str| below.join(part).display().to_string();
        let options =
            format!("lowerdir={},upperdir={},workdir={}", part("lower"), part("upper"), part("work"));
        if run(new.name, "mount", &["-t", "overlay", "-o", &options, "stratalog-test", new.place()]).is_none()
        {
            let _ = Command::new("umount").arg("--lazy").arg(&below).status();
            return None;
        }
        Some(new)
    }

    /// On a device that refuses writes as soon as the file system in memory that holds it is full.
    fn on_a_small_device() -> Option<Self> {
        let new = Self::new("ext4", true);
        let below = new.dir.path().join("below");
        fs::create_dir(&below).unwrap();
        run(
            new.name,
            "mount",
            &["-t", "tmpfs", "-o", "size=12m", "stratalog-test", below.to_str().unwrap()],
        )?;
        let image = below.join("image");
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let image = image.to_str().unwrap();
        run(new.name, "mkfs.ext4", &["-q", "-J", "size=4", image])?;
        run(new.name, "mount", &["-o", "loop", image, new.place()])?;
        Some(new)
    }

    /// With a device below them.
    fn on_devices() -> Vec<Self> {
        const MIB: u64 = 1 << 20;
        let ext4 = ["mkfs.ext4", "-q", "-e", "remount-ro"];
        let xfs = |reflink| ["mkfs.xfs", "-q", "-m", reflink];
        let found = [
            Self::in_image("ext4", true, 32 * MIB, &ext4),
            Self::in_image("XFS without reflink", true, 320 * MIB, &xfs("reflink=0")),
            Self::in_image("XFS with reflink", false, 320 * MIB, &xfs("reflink=1")),
            Self::in_image("btrfs", false, 128 * MIB, &["mkfs.btrfs", "-q"]),
        ];
        found.into_iter().flatten().collect()
    }

    fn all() -> Vec<Self> {
        for network in ["FUSE", "NFS"] {
            emit_skipped(network, "there is no server for it in the tests");
        }
        Self::on_devices().into_iter().chain(Self::tmpfs()).chain(Self::overlay()).collect()
    }

    /// What is on it when a cell begins: nothing.
    fn clear(&self) {
        for entry in fs::read_dir(&self.at).unwrap().flatten() {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }

    fn is_mounted(&self) -> bool {
        fs::read_to_string("/proc/mounts").unwrap().contains(self.place())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let below = self.dir.path().join("below");
        for place in [&self.at, &below] {
            // Lazily: a process just being started by another test may hold copies of descriptors for a moment.
            let _ = Command::new("umount").arg("--lazy").arg(place).output();
        }
        if !std::thread::panicking() {
            assert!(!self.is_mounted(), "{} stays mounted", self.place());
        }
    }
}

/// The columns of the table.
const MODES: [(&str, WriteMode, ReadMode); 3] = [
    ("`Auto`", WriteMode::Auto, ReadMode::Auto),
    ("`Positioned`, `Auto`", WriteMode::Positioned, ReadMode::Auto),
    ("`without_mmap()`", WriteMode::Positioned, ReadMode::Copy),
];

type Event = fn(&Child) -> String;

/// The rows of the table, and what a child does.
const EVENTS: [(&str, Event); 16] = [
    ("disk full: append", Child::append_when_full),
    ("disk full: read", Child::read_when_full),
    ("copied by reflink, then disk full: append", Child::append_to_what_is_shared),
    ("growing segment cut: append", Child::append_to_what_was_cut),
    ("growing segment cut: sync", Child::sync_what_was_cut),
    ("growing segment cut: roll", Child::roll_what_was_cut),
    ("growing segment cut: close", Child::close_what_was_cut),
    ("segment cut: records in hand", Child::look_at_records_of_what_was_cut),
    ("segment cut: poll", Child::poll_what_was_cut),
    ("segment cut: poll of another process", Child::follow_what_was_cut),
    ("`stratalog.live` cut: append", Child::append_without_live),
    ("`stratalog.live` cut: poll of another process", Child::poll_without_live),
    ("`stratalog.live` removed: append, poll", Child::continue_without_live),
    ("device gone: append, sync, read", Child::use_a_device_that_is_gone),
    ("file system becomes read-only: append, sync, read", Child::use_what_became_read_only),
    ("device refuses writes: append, sync, read", Child::use_a_device_that_refuses_writes),
];

/// What a child has: a log that is open, with some records.
struct Child {
    at: PathBuf,
    root: PathBuf,
    write: WriteMode,
    read: ReadMode,
    log: EventLog,
}

impl Child {
    fn options(&self) -> OpenOptions {
        EventLog::options().write_mode(self.write).read_mode(self.read).maintenance(Maintenance::Manual)
    }

    fn new(at: &Path, write: WriteMode, read: ReadMode) -> Self {
        let root = at.join("log");
        let options = EventLog::options().write_mode(write).read_mode(read).maintenance(Maintenance::Manual);
        let log = options.open(&root).unwrap();
        log.create_topic("t", TopicConfig::new().segment_bytes(1 << 20)).unwrap();
        let child = Self { at: at.to_owned(), root, write, read, log };
        for _ in 0..200 {
            child.send(&[7; 100]).unwrap();
            // Makes pages ready before a mapped writer.
            child.log.run_maintenance().unwrap();
        }
        child
    }

    fn send(&self, value: &[u8]) -> stratalog::Result<u64> {
        let topic = self.log.topic("t")?;
        self.log.producer()?.send(&topic, Record::new(value)).map(|sent| sent.offset)
    }

    fn segment(&self) -> PathBuf {
        self.root.join("t-0/00000000000000000000.log")
    }

    fn cut(path: &Path) {
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    }

    fn fill(&self) {
        use std::io::Write;
        let mut filler = fs::File::create(self.at.join("filler")).unwrap();
        for piece in [64 << 10, 4096, 1] {
            while filler.write_all(&vec![1; piece]).is_ok() {}
        }
        let _ = filler.sync_all();
    }

    /// Appends until something is refused.
    fn append_until_refused(&self) -> String {
        let sent = (0..3000).find_map(|_| self.send(&[7; 1000]).err());
        end_of(sent.map_or(Ok(()), Err))
    }

    fn append_when_full(&self) -> String {
        self.fill();
        let end = self.append_until_refused();
        assert!(Self::read_all(&self.log).is_ok_and(|count| count >= 200));
        end
    }

    fn read_when_full(&self) -> String {
        self.fill();
        end_of(Self::read_all(&self.log).map(|count| assert_eq!(count, 200)))
    }

    fn append_to_what_is_shared(&self) -> String {
        let (from, to) = (self.segment(), self.at.join("copy"));
        match Command::new("cp").arg("--reflink=always").arg(from).arg(to).output() {
            Ok(output) if output.status.success() => {}
            _ => return "–".to_owned(),
        }
        self.append_when_full()
    }

    fn append_to_what_was_cut(&self) -> String {
        Self::cut(&self.segment());
        end_of(self.send(&[7; 100]))
    }

    fn cut_and_append(&self) {
        Self::cut(&self.segment());
        if self.write == WriteMode::Positioned {
            self.send(&[7; 100]).unwrap();
        }
    }

    fn sync_what_was_cut(&self) -> String {
        self.cut_and_append();
        let end = end_of(self.log.sync());
        assert_eq!(end_of(self.send(&[7; 100])), "`Poisoned`");
        let synced = self.log.producer().unwrap().with_durability(Durability::Synced);
        let topic = self.log.topic("t").unwrap();
        assert_eq!(end_of(synced.send(&topic, Record::new("x"))), "`Poisoned`");
        assert!(self.log.close().is_err());
        end
    }

    fn roll_what_was_cut(&self) -> String {
        self.cut_and_append();
        let large = vec![7; 50_000];
        let rolled = (0..40).find_map(|_| self.send(&large).err());
        let finished = rolled.map_or_else(|| self.log.run_maintenance().map(drop), Err);
        assert!(self.log.metrics().poisoned_partitions == 1);
        end_of(finished)
    }

    fn close_what_was_cut(&self) -> String {
        self.cut_and_append();
        end_of(self.log.close())
    }

    fn reader(&self) -> EventLog {
        self.options().read_only(true).open(&self.root).unwrap()
    }

    fn read_all(log: &EventLog) -> stratalog::Result<usize> {
        let mut reader = log.consumer_with(ConsumerConfig::new())?;
        reader.assign(log.topic("t")?.partitions())?;
        let mut count = 0;
        loop {
            let records = reader.poll(Duration::ZERO)?;
            if records.is_empty() {
                return Ok(count);
            }
            count += records
                .iter()
                .filter(|record| record.value().is_some_and(|value| value.len() >= 100))
                .count();
        }
    }

    fn look_at_records_of_what_was_cut(&self) -> String {
        let reader = self.reader();
        let mut consumer = reader.consumer_with(ConsumerConfig::new()).unwrap();
        consumer.assign(reader.topic("t").unwrap().partitions()).unwrap();
        let records = consumer.poll(Duration::ZERO).unwrap();
        Self::cut(&self.segment());
        let sum: u64 =
            records.iter().flat_map(|record| record.value().unwrap()).map(|byte| u64::from(*byte)).sum();
        assert!(sum > 0);
        "records".to_owned()
    }

    fn poll_what_was_cut(&self) -> String {
        self.read_of(&self.log)
    }

    fn follow_what_was_cut(&self) -> String {
        self.read_of(&self.reader())
    }

    fn read_of(&self, reader: &EventLog) -> String {
        let mut consumer = reader.consumer_with(ConsumerConfig::new().max_poll_records(1)).unwrap();
        consumer.assign(reader.topic("t").unwrap().partitions()).unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
        Self::cut(&self.segment());
        let mut polled = Ok(());
        for _ in 0..3 {
            polled = polled.and_then(|()| consumer.poll(Duration::ZERO).map(drop));
        }
        end_of(polled)
    }

    fn append_without_live(&self) -> String {
        let live = self.root.join("stratalog.live");
        if live.exists() {
            Self::cut(&live);
        }
        end_of(self.send(&[7; 100]))
    }

    fn poll_without_live(&self) -> String {
        let reader = self.reader();
        assert_eq!(Self::read_all(&reader).unwrap(), 200);
        let live = self.root.join("stratalog.live");
        if live.exists() {
            Self::cut(&live);
        }
        let mut consumer = reader.consumer_with(ConsumerConfig::new()).unwrap();
        consumer.assign(reader.topic("t").unwrap().partitions()).unwrap();
        let mut polled = Ok(());
        for _ in 0..3 {
            polled = polled.and_then(|()| consumer.poll(Duration::from_millis(1)).map(drop));
        }
        end_of(polled)
    }

    fn continue_without_live(&self) -> String {
        let reader = self.reader();
        assert_eq!(Self::read_all(&reader).unwrap(), 200);
        let _ = fs::remove_file(self.root.join("stratalog.live"));
        for _ in 0..100 {
            self.send(&[7; 100]).unwrap();
        }
        self.log.sync().unwrap();
        // A reader that tailed it finds out that it is gone.
        let mut consumer = reader.consumer_with(ConsumerConfig::new()).unwrap();
        consumer.assign(reader.topic("t").unwrap().partitions()).unwrap();
        let mut count = 0;
        while count < 300 {
            let records = consumer.poll(Duration::from_secs(20)).unwrap();
            assert!(!records.is_empty());
            count += records.len();
        }
        end_of(self.log.close())
    }

    fn use_a_device_that_is_gone(&self) -> String {
        let at = self.at.to_str().unwrap();
        if run("device gone", "xfs_io", &["-x", "-c", "shutdown", at]).is_none() {
            return "–".to_owned();
        }
        self.use_what_fails()
    }

    /// Whatever comes of each: it is an error of these, or all is in memory.
    fn use_what_fails(&self) -> String {
        for _ in 0..2000 {
            let sent = end_of(self.send(&[7; 1000]));
            assert!(["`Ok`", "`Io`", "`Poisoned`"].contains(&&*sent), "{sent}");
        }
        let read = end_of(Self::read_all(&self.log));
        assert!(["`Ok`", "`Io`", "`Corrupt`"].contains(&&*read), "{read}");
        let synced = end_of(self.log.sync());
        assert!(["`Io`", "`Poisoned`"].contains(&&*synced), "{synced}");
        "`Io` or `Poisoned`".to_owned()
    }

    /// As ext4 does by itself after an error of its own.
    fn use_what_became_read_only(&self) -> String {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let of_this = mounts.lines().find(|line| line.split(' ').nth(1) == self.at.to_str());
        let device = of_this.and_then(|line| line.split(' ').next()?.strip_prefix("/dev/")).unwrap_or("none");
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        if fs::write(trigger, "stratalog-test").is_err() {
            return "–".to_owned();
        }
        assert!(fs::write(self.at.join("file"), "x").is_err(), "it takes writes");
        self.use_what_fails()
    }

    fn use_a_device_that_refuses_writes(&self) -> String {
        use std::io::Write;
        let below = self.at.with_file_name("below");
        if !below.join("image").exists() {
            return "–".to_owned();
        }
        self.log.sync().unwrap();
        let mut filler = fs::File::create(below.join("filler")).unwrap();
        for piece in [64 << 10, 4096, 1] {
            while filler.write_all(&vec![1; piece]).is_ok() {}
        }
        self.use_what_fails()
    }
}

fn end_of<T>(outcome: stratalog::Result<T>) -> String {
    match outcome {
        Ok(_) => "`Ok`".to_owned(),
        Err(Error::StorageFull { .. }) => "`StorageFull`".to_owned(),
        Err(Error::Poisoned(_)) => "`Poisoned`".to_owned(),
        Err(Error::Corrupt(_)) => "`Corrupt`".to_owned(),
        Err(Error::Io(_)) => "`Io`".to_owned(),
        Err(Error::OffsetOutOfRange { .. }) => "`OffsetOutOfRange`".to_owned(),
        Err(other) => format!("{other:?}"),
    }
}

/// The child of a cell.
#[test]
fn one_cell() {
    let Ok(cell) = std::env::var(CELL) else { return };
    let mut parts = cell.splitn(3, ' ');
    let [event, mode] = [(); 2].map(|()| parts.next().unwrap().parse::<usize>().unwrap());
    let (_, write, read) = MODES[mode];
    let child = Child::new(Path::new(parts.next().unwrap()), write, read);
    println!("end: {}", EVENTS[event].1(&child));
    // Nothing is left to be closed on what may be broken.
    std::process::exit(0);
}

/// The end of a cell in a process of its own.
fn end_of_cell(event: usize, mode: usize, at: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test_path!(one_cell), "--nocapture"])
        .env(CELL, format!("{event} {mode} {}", at.display()))
        .output()
        .unwrap();
    if output.status.signal() == Some(SIGBUS) {
        return "SIGBUS".to_owned();
    }
    let reported = String::from_utf8_lossy(&output.stdout);
    let end = reported.lines().find_map(|line| line.split_once("end: ").map(|(_, end)| end.to_owned()));
    end.unwrap_or_else(|| format!("{}: {reported}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// What the table of the guide says.
fn promised(event: &str, column: usize) -> String {
    let row = GUIDE.lines().find(|line| line.starts_with(&format!("| {event} |")));
    let row = row.unwrap_or_else(|| panic!("the guide has no row {event:?}"));
    row.split('|').nth(2 + column).unwrap().trim().to_owned()
}

/// Runs a cell. An end that the table does not promise is returned.
fn differs(system: &Mounted, event: usize, mode: usize) -> Option<String> {
    system.clear();
    let (name, end) = (EVENTS[event].0, end_of_cell(event, mode, &system.at));
    // Where nothing is mapped, all modes are the last one.
    let promised = promised(name, if system.is_mapped { mode } else { 2 });
    let cell = format!("{}, {}, {name}: {end}", system.name, MODES[mode].0);
    eprintln!("{cell}");
    if end == "–" {
        emit_skipped(name, format_args!("{} does not do it", system.name));
        return None;
    }
    let is_promised = promised.split(", or ").any(|one| one == end);
    (!is_promised).then(|| format!("{cell}, promised: {promised}"))
}

/// From here on the events are of devices, which do not come back.
const DEVICE_GONE: usize = EVENTS.len() - 3;
const READ_ONLY: usize = DEVICE_GONE + 1;
const REFUSES_WRITES: usize = DEVICE_GONE + 2;

#[test]
fn each_cell_of_the_table_ends_as_it_says() {
    for (column, (mode, ..)) in MODES.into_iter().enumerate() {
        assert_eq!(promised("event", column), mode);
    }
    let mut wrong = Vec::new();
    for system in Mounted::all() {
        let kind = if system.is_mapped { "mapped" } else { "system calls" };
        let row = GUIDE.lines().find(|line| line.starts_with(&format!("| {}", system.name)));
        assert!(row.is_some_and(|row| row.contains(kind)), "{}: {row:?}", system.name);
        let cells = (0..DEVICE_GONE).flat_map(|event| (0..MODES.len()).map(move |mode| (event, mode)));
        wrong.extend(cells.filter_map(|(event, mode)| differs(&system, event, mode)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_device_that_is_gone_ends_as_the_table_says() {
    let mut wrong = Vec::new();
    for event in [DEVICE_GONE, READ_ONLY] {
        for mode in 0..MODES.len() {
            wrong.extend(Mounted::on_devices().iter().filter_map(|system| differs(system, event, mode)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_device_that_refuses_writes_ends_as_the_table_says() {
    let ended = |mode| differs(&Mounted::on_a_small_device()?, REFUSES_WRITES, mode);
    let wrong: Vec<_> = (0..MODES.len()).filter_map(ended).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
