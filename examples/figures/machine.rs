//! What machine this is, and what the process takes of it.

use std::fs;

/// Processor, system and file system, on one line.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "stratalog {} on {cpu}, {cores} cores, {} {}, {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        kernel.trim(),
        file_system(),
    )
}

pub(crate) fn load() -> String {
    read("/proc/loadavg").split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// Resident memory of this process in MiB: its own, and mapped files.
pub(crate) fn resident() -> [f64; 2] {
    let mib = |name| {
        let text = field("/proc/self/status", name).unwrap_or_default();
        text.trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
    };
    [mib("RssAnon"), mib("RssFile")]
}

/// How often threads of this process were put to sleep whose names begin so.
pub(crate) fn wake_ups(name: &str) -> u64 {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let named =
        threads.filter(|thread| read(thread.path().join("comm").to_str().unwrap_or("")).starts_with(name));
    let switches = |thread: fs::DirEntry| {
        let status = thread.path().join("status");
        field(status.to_str()?, "voluntary_ctxt_switches")?.parse::<u64>().ok()
    };
    named.filter_map(switches).sum()
}

/// The type of the file system that temporary directories are on.
fn file_system() -> String {
    let dir = std::env::temp_dir();
    let mounts = read("/proc/mounts");
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let nearest = mounts.filter(|(at, _)| dir.starts_with(at)).max_by_key(|(at, _)| at.len());
    nearest.map_or("file system unknown", |(_, kind)| kind).to_owned()
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
