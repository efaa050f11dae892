//! A log that is used in all ways for long: what it holds of the system grows only while its work does.
//!
//! After a warm-up the load stops again and again, and is begun anew. Descriptors and maps are counted where it is stopped;
//! bytes that are allocated, where the log is closed as well. Something grows if each of the last ten windows of a mode has more
//! of it, by more than chance explains, than each of the ten after the warm-up that had the same mode. Then the log stays open and
//! idle: none of its threads runs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stratalog::EventLog;

use super::fresh;
use crate::arguments::Arguments;
use crate::keep::Findings;
use crate::load::{self, Load};

/// Counts what is allocated in this process.
pub struct Counting;

static ALLOCATED: AtomicI64 = AtomicI64::new(0);

// SAFETY: everything is left to the system's allocator; only sizes are added up.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of this very call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of this very call.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.fetch_add(size as i64 - layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of this very call.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Windows of a run: the first ones warm up, those after them say what is usual, the last ones are held against that.
const WINDOWS: u64 = 30;
const WARM_UP: usize = 10;
const USUAL: usize = 10;
/// Ways into and out of files: each window has the next one, and is held against those of the same.
const MODES: usize = 4;
const LAST: usize = 10;
/// What an open log keeps at most of each segment. Segments of 32 KiB come faster than the log cleaner takes them together.
const OF_A_SEGMENT: i64 = 1 << 10;
/// An idle log is watched for so long.
const IDLE: Duration = Duration::from_secs(5);

/// What a process holds when the load is stopped.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    descriptors: i64,
    maps: i64,
    threads: i64,
    /// While the log is open, without what it keeps of segments; and once it is closed.
    allocated_open: i64,
    allocated: i64,
}

impl Usage {
    fn named(self) -> [(&'static str, i64); 5] {
        [
            ("descriptors", self.descriptors),
            ("maps", self.maps),
            ("threads", self.threads),
            ("bytes allocated while it is open", self.allocated_open),
            ("bytes allocated", self.allocated),
        ]
    }
}

/// What may be more in a later window than in an earlier one. Of descriptors and maps a few: whether a segment is rolled or a
/// partition is idle when the load is stopped is chance, and a leak of one in each window makes four between windows of the same
/// mode, which are `MODES` apart. Of memory what records of one poll, lists of segments and names of topics can differ by: a leak
/// of a few bytes in each operation is far beyond it.
fn slack(what: &str) -> i64 {
    match what {
        "bytes allocated while it is open" => 256 << 10,
        "bytes allocated" => 32 << 10,
        "descriptors" | "maps" => MODES as i64 - 1,
        _ => 0,
    }
}

pub fn run(arguments: &Arguments) -> Result<u64, String> {
    arguments.only(&["seed", "minutes", "leak", "dir"])?;
    let directory = arguments.directory()?;
    let (seed, minutes): (u64, f64) = (arguments.get("seed", 1)?, arguments.get("minutes", 1.0)?);
    let leak: String = arguments.get("leak", "nothing".to_owned())?;
    println!("soak --seed {seed} --minutes {minutes} --leak {leak}");
    let root = fresh(&directory.join("log"))?;
    let window = Duration::from_secs_f64(minutes * 60.0 / WINDOWS as f64);
    let mut held = Vec::new();
    let mut operations = 0;
    let deleted = AtomicI64::new(0);
    for number in 0..WINDOWS {
        let (mut open, done) = used(&root, seed + number, window, &deleted)?;
        leak_something(&leak, &root)?;
        open.allocated_open -= segments(&root)? * OF_A_SEGMENT;
        held.push(Usage { allocated: ALLOCATED.load(Ordering::Relaxed), ..open });
        operations += done;
    }
    let mut findings = Findings::new(&directory);
    for (at, (what, _)) in Usage::default().named().into_iter().enumerate() {
        let of_mode = |mode: usize, from: usize, count: usize| -> Vec<i64> {
            let windows = (from..from + count).filter(|number| number % MODES == mode);
            windows.map(|number| held[number].named()[at].1).collect()
        };
        for mode in 0..MODES {
            let (usual, last) = (of_mode(mode, WARM_UP, USUAL), of_mode(mode, held.len() - LAST, LAST));
            println!("{what}, mode {mode}: {usual:?} after the warm-up, {last:?} at the end");
            let (most, least) = (usual.iter().max().unwrap_or(&0), last.iter().min().unwrap_or(&0));
            if *least > most + slack(what) {
                save(&mut findings, arguments, &format!("{what} grow: {usual:?}, then {last:?}"));
            }
        }
    }
    println!("topics deleted {}", deleted.load(Ordering::Relaxed));
    println!("windows {WINDOWS}, operations {operations}, memory of the process {} KiB", resident()?);
    if let Err(reason) = idle(&root, &leak) {
        save(&mut findings, arguments, &reason);
    }
    println!("violations {}", findings.count);
    Ok(findings.count)
}

fn save(findings: &mut Findings, arguments: &Arguments, reason: &str) {
    let minutes: f64 = arguments.get("minutes", 1.0).unwrap_or(1.0);
    findings.save(&format!("crash soak --minutes {minutes}"), reason, "", None);
}

/// One window: the log is opened, used by many threads, is stopped, is counted, and is closed.
fn used(root: &Path, seed: u64, time: Duration, deleted: &AtomicI64) -> Result<(Usage, u64), String> {
    let log = load::options(seed % 4).open(root).map_err(|failure| format!("open: {failure}"))?;
    let (log, load) = (&log, &Load::new(seed, u64::MAX, false));
    let until = Instant::now() + time;
    let outcome = thread::scope(|scope| {
        let count = |line: String| {
            deleted.fetch_add(line.starts_with("deleted ").into(), Ordering::Relaxed);
        };
        let running = scope.spawn(move || load.run(log, &count));
        while Instant::now() < until && !running.is_finished() {
            stop_load(Duration::from_millis(20));
        }
        load.stop.store(true, Ordering::Relaxed);
        running.join().unwrap_or(Err("a panic".into()))
    });
    outcome?;
    quiet(log)?;
    let held = counted()?;
    log.clone().close().map_err(|failure| format!("close: {failure}"))?;
    Ok((held, load.done.load(Ordering::Relaxed)))
}

/// The log files of all partitions.
fn segments(root: &Path) -> Result<i64, String> {
    let failed = |failure: std::io::Error| format!("{}: {failure}", root.display());
    let mut count = 0;
    for partition in fs::read_dir(root).map_err(failed)?.flatten().filter(|entry| entry.path().is_dir()) {
        let files = fs::read_dir(partition.path()).map_err(failed)?.flatten();
        count += files.filter(|file| file.path().extension().is_some_and(|ending| ending == "log")).count();
    }
    Ok(count as i64)
}

/// Time passes: what is measured here is what happens meanwhile.
fn stop_load(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

/// No background work is left.
fn quiet(log: &EventLog) -> Result<(), String> {
    let failed = |failure: stratalog::Error| format!("while the load is stopped: {failure}");
    log.sync().map_err(failed)?;
    for _ in 0..3 {
        log.run_maintenance().map_err(failed)?;
    }
    Ok(())
}

fn counted() -> Result<Usage, String> {
    let count = |directory: &str| {
        let entries = fs::read_dir(directory).map_err(|failure| format!("{directory}: {failure}"))?;
        Ok::<_, String>(entries.count() as i64)
    };
    let maps = fs::read_to_string("/proc/self/maps").map_err(|failure| failure.to_string())?;
    // The system's allocator and stacks of threads have maps of their own, as many as it likes.
    let of_files = maps.lines().filter(|line| line.contains("/log/")).count();
    Ok(Usage {
        descriptors: count("/proc/self/fd")?,
        maps: of_files as i64,
        threads: count("/proc/self/task")?,
        allocated_open: ALLOCATED.load(Ordering::Relaxed),
        allocated: 0,
    })
}

fn resident() -> Result<u64, String> {
    let status = fs::read_to_string("/proc/self/status").map_err(|failure| failure.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).ok_or("no VmRSS".into())
}

/// How often each thread of this process has begun to run, by its number and name.
fn turns() -> Result<BTreeMap<String, u64>, String> {
    let failed = |failure: std::io::Error| format!("/proc/self/task: {failure}");
    let mut turns = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").map_err(failed)? {
        let path = task.map_err(failed)?.path();
        let Ok(status) = fs::read_to_string(path.join("status")) else { continue };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let count = field("voluntary_ctxt_switches:").and_then(|count| count.parse().ok()).unwrap_or(0);
        turns.insert(format!("{} {}", path.display(), field("Name:").unwrap_or_default()), count);
    }
    // This thread counts.
    let own = format!("/proc/self/task/{} ", std::process::id());
    turns.retain(|thread, _| !thread.starts_with(&own));
    Ok(turns)
}

/// An open log that is not used wakes none of its threads: with its topics loaded, a reader that waits in a poll, and a
/// group with a member.
fn idle(root: &Path, leak: &str) -> Result<(), String> {
    let failed = |failure: stratalog::Error| format!("idle: {failure}");
    let log = load::options(0).open(root).map_err(failed)?;
    let mut member = log.consumer("group").map_err(failed)?;
    member.subscribe([load::PLAIN]).map_err(failed)?;
    loop {
        match member.poll(Duration::ZERO) {
            Ok(records) if records.is_empty() => break,
            Ok(_) => {}
            // Retention continued while the group had no member.
            Err(stratalog::Error::OffsetOutOfRange { .. }) => member.seek_to_beginning().map_err(failed)?,
            Err(failure) => return Err(failed(failure)),
        }
    }
    quiet(&log)?;
    let restless = (leak == "turns").then(|| {
        thread::Builder::new().name("restless".into()).spawn(|| {
            let until = Instant::now() + 8 * IDLE;
            while Instant::now() < until {
                stop_load(Duration::from_millis(100));
            }
        })
    });
    // What was asked for last may still be under way: a thread that has come to rest is asked for no more.
    let mut idle = turns()?;
    for _ in 0..20 {
        stop_load(Duration::from_secs(1));
        let now = turns()?;
        if std::mem::replace(&mut idle, now.clone()) == now {
            break;
        }
    }
    let before = turns()?;
    stop_load(IDLE);
    let after = turns()?;
    drop(restless);
    let woken: Vec<_> = after
        .iter()
        .filter_map(|(thread, count)| {
            Some((thread, count - before.get(thread)?)).filter(|(_, more)| *more > 0)
        })
        .collect();
    println!("idle for {} s: {} threads, woken {woken:?}", IDLE.as_secs(), after.len());
    drop(member);
    log.close().map_err(failed)?;
    if woken.is_empty() { Ok(()) } else { Err(format!("an idle log wakes threads: {woken:?}")) }
}

/// What is leaked on purpose in each window, so that the driver is seen to find it.
fn leak_something(what: &str, root: &Path) -> Result<(), String> {
    let open = || fs::File::open(root.join("meta.properties")).map_err(|failure| failure.to_string());
    match what {
        "nothing" | "turns" => {}
        "descriptor" => std::mem::forget(open()?),
        "memory" => drop(Box::leak(vec![1_u8; 16 << 10].into_boxed_slice())),
        "map" => {
            use std::os::fd::AsRawFd;
            let file = open()?;
            // SAFETY: a new map of an open file, which nothing looks into.
            unsafe {
                libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0)
            };
        }
        other => return Err(format!("--leak cannot be {other:?}: descriptor, memory, map, turns")),
    }
    Ok(())
}
