//! File systems on devices, taken away under a load in another process: shut down at once, as a power cut does, or made
//! read-only. What is there after the next mount is compared by what the load has said.
//!
//! A shutdown stops everything that is on its way to the device. What a file system had in its own cache is gone, and its
//! journal is played back by the mount. What the device itself does with blocks is not tried by it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stratalog::{EventLog, Maintenance};

use super::{caught, fresh};
use crate::arguments::Arguments;
use crate::comparison::{After, compare};
use crate::keep::Findings;
use crate::load;
use crate::oracle::Oracle;
use crate::random::Random;
use crate::tree::Tree;

/// File systems, and how each is made.
const SYSTEMS: [(&str, &[&str], u64); 3] = [
    ("ext4", &["mkfs.ext4", "-q"], 64 << 20),
    ("XFS with reflink", &["mkfs.xfs", "-q", "-m", "reflink=1"], 320 << 20),
    ("XFS without reflink", &["mkfs.xfs", "-q", "-m", "reflink=0"], 320 << 20),
];

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// Without writing anything more: neither data nor journal. `FS_GOING_DOWN_NOLOGFLUSH`
    ShutDown,
    /// The journal is written first, and no data. `FS_GOING_DOWN_LOGFLUSH`
    ShutDownWithJournal,
    /// All is written first: as if it were frozen. `FS_GOING_DOWN_DEFAULT`
    ShutDownInOrder,
    /// No path can be written any more: ext4 does so to itself at an error of its own; the others are covered by a mount
    /// of the same place that cannot be written.
    ReadOnly,
}

const EVENTS: [Event; 4] =
    [Event::ShutDown, Event::ShutDownWithJournal, Event::ShutDownInOrder, Event::ReadOnly];

/// `FS_IOC_SHUTDOWN` of ext4, `XFS_IOC_GOINGDOWN`: `_IOR('X', 125, u32)`.
const GOING_DOWN: u64 = 0x8004_587d;

/// Returns how many violations there were.
pub fn run(arguments: &Arguments) -> Result<u64, String> {
    arguments.only(&["seed", "runs", "lose", "dir"])?;
    // Whether what was never synced counts as promised, so that the driver is seen to find its loss.
    let after = match arguments.get("lose", "nothing".to_owned())?.as_str() {
        "nothing" => After::Power,
        "unsynced" => After::Kill,
        other => return Err(format!("--lose cannot be {other:?}: unsynced")),
    };
    let directory = arguments.directory()?;
    let (seed, runs): (u64, u64) = (arguments.get("seed", 1)?, arguments.get("runs", 2)?);
    println!("media --seed {seed} --runs {runs}");
    say_what_is_missing();
    let mut findings = Findings::new(&directory);
    let (mut done, mut lines, mut cut) = (0, 0, 0);
    for number in 0..runs {
        for (name, make, bytes) in SYSTEMS {
            for (at, event) in EVENTS.into_iter().enumerate() {
                let device = match Device::make(&directory, make, bytes) {
                    Ok(device) => device,
                    Err(reason) => {
                        println!("media: {name} was not tried: {reason}");
                        break;
                    }
                };
                let seed = (seed + number) << 8 | at as u64;
                match caught(|| taken_away(&device, event, seed, after)) {
                    Ok((said, lost)) => {
                        done += 1;
                        lines += said;
                        cut += lost;
                    }
                    Err(reason) => {
                        let command = format!("crash media --runs 1 --seed {}", seed >> 8);
                        let reason = format!("{name}, {event:?}: {reason}");
                        findings.save(&command, &reason, "", Tree::read(&device.root()).ok().as_ref());
                    }
                }
            }
        }
    }
    println!(
        "file systems taken away {done}, lines heard {lines}, bytes cut {cut}, violations {}",
        findings.count
    );
    Ok(findings.count)
}

/// Errors of the device itself need the device mapper.
fn say_what_is_missing() {
    let targets = Command::new("dmsetup").arg("targets").output();
    let listed = targets.ok().filter(|output| output.status.success());
    let listed =
        listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    for target in ["flakey", "error"] {
        if !listed.lines().any(|line| line.starts_with(target)) {
            println!(
                "media: the kernel has no device-mapper target {target}, so no device was made to fail by it"
            );
        }
    }
}

/// A file system in a file, mounted as long as this lives.
struct Device {
    image: PathBuf,
    at: PathBuf,
    is_ext4: bool,
}

impl Device {
    fn make(directory: &Path, make: &[&str], bytes: u64) -> Result<Self, String> {
        let at = fresh(&directory.join("mounted"))?;
        let image = directory.join("image");
        let failed = |failure: std::io::Error| format!("{}: {failure}", image.display());
        let _ = fs::remove_file(&image);
        File::create(&image).and_then(|file| file.set_len(bytes)).map_err(failed)?;
        run_program(Command::new(make[0]).args(&make[1..]).arg(&image))?;
        let device = Self { image, at, is_ext4: make[0] == "mkfs.ext4" };
        device.mount()?;
        Ok(device)
    }

    fn mount(&self) -> Result<(), String> {
        let options = if self.is_ext4 { "loop,errors=remount-ro" } else { "loop" };
        run_program(Command::new("mount").args(["-o", options]).arg(&self.image).arg(&self.at))
    }

    fn unmount(&self) -> Result<(), String> {
        run_program(Command::new("umount").arg(&self.at))
    }

    fn root(&self) -> PathBuf {
        self.at.join("log")
    }

    fn suffer(&self, event: Event) -> Result<(), String> {
        let how: u32 = match event {
            Event::ShutDownInOrder => 0,
            Event::ShutDownWithJournal => 1,
            Event::ShutDown => 2,
            Event::ReadOnly => return make_read_only(&self.at),
        };
        let root = File::open(&self.at).map_err(|failure| format!("{}: {failure}", self.at.display()))?;
        // SAFETY: the descriptor is open, and the call reads one number of four bytes, which outlives it.
        let done = unsafe { libc::ioctl(root.as_raw_fd(), GOING_DOWN, &raw const how) };
        if done == 0 { Ok(()) } else { Err(format!("shutting down: {}", std::io::Error::last_os_error())) }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).output();
    }
}

/// Files that are open for writing keep the kernel from making their mount read-only, unless the file system itself finds
/// that something is wrong.
fn make_read_only(at: &Path) -> Result<(), String> {
    let source = Command::new("findmnt").args(["-no", "SOURCE"]).arg(at).output();
    let source =
        source.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let name = source.rsplit('/').next().unwrap_or_default();
    let trigger = Path::new("/sys/fs/ext4").join(name).join("trigger_fs_error");
    if fs::write(&trigger, "1").is_ok() {
        return Ok(());
    }
    // Between the two steps nothing may be opened for writing through the second mount: the load is held.
    run_program(Command::new("mount").arg("--bind").arg(at).arg(at))
        .and_then(|()| run_program(Command::new("mount").args(["-o", "remount,bind,ro"]).arg(at)))
}

/// Does something to the file system while no call of the load is under way: a sync that is may be said to have succeeded although
/// what it covers was not written. `sync_while_shut_down.py` shows it without stratalog, and no program can know it.
fn held(load: &Child, what: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let pid = i32::try_from(load.id()).map_err(|failure| failure.to_string())?;
    let signal = |signal| {
        // SAFETY: a signal to a child that was not waited for yet.
        unsafe { libc::kill(pid, signal) };
    };
    signal(libc::SIGSTOP);
    let done = await_stopped(pid).and_then(|()| what());
    signal(libc::SIGCONT);
    done
}

/// A thread stops when its call has returned.
fn await_stopped(pid: i32) -> Result<(), String> {
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    let is_stopped = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // After the name, which is in brackets and may hold anything.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        matches!(state, Some('T' | 'Z' | 'X') | None)
    };
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        let listed = fs::read_dir(&tasks).map_err(|failure| format!("{}: {failure}", tasks.display()))?;
        if listed.flatten().all(is_stopped) {
            return Ok(());
        }
        std::thread::yield_now();
    }
    Err("the load did not stop".to_owned())
}

fn run_program(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|failure| format!("{command:?}: {failure}"))?;
    let reason = || format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    if output.status.success() { Ok(()) } else { Err(reason()) }
}

/// One life: a load, the event in its middle, another mount, the comparison. Gives how many lines were heard, and how many
/// bytes were cut.
fn taken_away(device: &Device, event: Event, seed: u64, after: After) -> Result<(usize, u64), String> {
    let root = device.root();
    let mut random = Random::new(seed);
    let mut child = start(&root, seed)?;
    let until = 200 + random.below(2000);
    let mut heard = Vec::new();
    let mut out = BufReader::new(child.stdout.take().ok_or("a process without output")?);
    let mut line = String::new();
    let begun = Instant::now();
    let mut suffered = Ok(());
    loop {
        line.clear();
        // What is said after the event was answered by a log that still worked.
        if out.read_line(&mut line).map_err(|failure| format!("a process: {failure}"))? == 0 {
            break;
        }
        let Some(whole) = line.strip_suffix('\n') else { break };
        heard.push(whole.to_owned());
        if heard.len() as u64 == until {
            suffered = held(&child, || device.suffer(event));
            if suffered.is_err() {
                let _ = child.kill();
            }
        }
        // What only reads may never notice.
        if begun.elapsed() > Duration::from_secs(30) {
            let _ = child.kill();
        }
    }
    let ended = child.wait_with_output().map_err(|failure| format!("a process: {failure}"))?;
    suffered?;
    let complaint = String::from_utf8_lossy(&ended.stderr).into_owned();
    let panicked = complaint.contains("panicked") || complaint.contains("a panic");
    if panicked {
        return Err(format!("the process: {complaint}"));
    }
    if event == Event::ReadOnly {
        // The place may be mounted twice.
        let _ = Command::new("umount").arg(&device.at).output();
    }
    let _ = device.unmount();
    device.mount()?;
    compared(&root, &heard, after)
}

fn start(root: &Path, seed: u64) -> Result<Child, String> {
    let program = std::env::current_exe().map_err(|failure| failure.to_string())?;
    Command::new(program)
        .args(["load", "--mode", &(seed % 4).to_string(), "--seed", &seed.to_string(), "--dir"])
        .arg(root)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|failure| format!("a process: {failure}"))
}

/// Everything that was said to be durable is there, and everything else is a prefix of what was sent.
fn compared(root: &Path, heard: &[String], after: After) -> Result<(usize, u64), String> {
    let mut oracle = Oracle::of_load();
    for line in heard {
        oracle.hear(line).ok_or_else(|| format!("{line:?} is invalid"))?;
    }
    let open = |read_only| {
        let log = load::options(0).maintenance(Maintenance::Manual).read_only(read_only).open(root);
        log.map_err(|failure| format!("open after the mount: {failure}"))
    };
    let cut = {
        let log: EventLog = open(false)?;
        let found = compare(&log, &oracle, after)?;
        let cut = log.recovery().bytes_truncated();
        log.close().map_err(|failure| format!("close after the mount: {failure}"))?;
        let log = open(true)?;
        compare(&log, &found, After::Close)?;
        cut
    };
    Ok((heard.len(), cut))
}
