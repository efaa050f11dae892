//! On what was measured.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

pub(crate) fn describe(directory: &Path) -> BTreeMap<String, String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    [
        ("processor", format!("{}, {cores} cores", processor())),
        ("memory", memory()),
        ("kernel", read("/proc/sys/kernel/osrelease")),
        ("file system", file_system(directory)),
        ("rustc", printed("rustc", &["--version"])),
        ("java", printed("java", &["--version"])),
        ("stratalog", printed("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"])),
        ("date", printed("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        ("load before", read("/proc/loadavg")),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), text))
    .collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "not known".into(), |text| text.trim().to_owned())
}

/// The first line.
fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().map_or_else(|| "not there".into(), str::to_owned)
}

fn processor() -> String {
    let text = read("/proc/cpuinfo");
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": "))
        .map_or_else(|| "not known".into(), |(_, name)| name.to_owned())
}

fn memory() -> String {
    let text = read("/proc/meminfo");
    let kib = text.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.map_or_else(|| "not known".into(), |kib| format!("{} GiB", (kib + (1 << 19)) >> 20))
}

/// That of the mount nearest to the directory.
fn file_system(directory: &Path) -> String {
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let mounts = read("/proc/self/mounts");
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind) = (fields.next()?, fields.next()?);
        directory.starts_with(at).then_some((at.len(), kind))
    });
    mounts.max_by_key(|(length, _)| *length).map_or_else(|| "not known".into(), |(_, kind)| kind.to_owned())
}

/// Time that the host of a virtual machine took from it.
#[derive(Debug)]
pub(crate) struct Steal {
    all: u64,
    stolen: u64,
}

impl Steal {
    pub(crate) fn begin() -> Self {
        let text = read("/proc/stat");
        let line = text.lines().next().unwrap_or_default();
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).take(8).filter_map(|it| it.parse().ok()).collect();
        Self { all: ticks.iter().sum(), stolen: ticks.get(7).copied().unwrap_or(0) }
    }

    /// Since the beginning.
    pub(crate) fn percent(&self) -> f64 {
        let now = Self::begin();
        100.0 * (now.stolen - self.stolen) as f64 / (now.all - self.all).max(1) as f64
    }
}
