//! What is given on the command line.

use std::path::PathBuf;

use crate::plan::{Kind, Workload, kind};
use crate::{Failure, Result};

const USAGE: &str = "\
bench/peers/run [--quick] [--out DIR] [--dir DIR] [--rounds N] [--only PEERS] [--workloads NAMES]
    --quick      two minutes, to see that everything works; needs --out
    --out        where the report goes: docs/ of the repository
    --dir        where the logs are meanwhile: beside the program; its file system is what is measured
    --rounds     how often each piece is done: 5, or 1 with --quick
    --only       peers beside stratalog, as `commitlog,aeron`
    --workloads  as `append-100,send`";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    pub(crate) mib: u64,
    pub(crate) out: PathBuf,
    pub(crate) directory: PathBuf,
    /// Beginnings of the names of peers, in lower case. All, if there are none.
    only: Vec<String>,
    pub(crate) workloads: Vec<Workload>,
    /// Where the classes of the JVM's peers are, or why there are none.
    pub(crate) java: std::result::Result<PathBuf, String>,
}

impl Options {
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self> {
        let is_quick = arguments.contains(&"--quick");
        let mut options = Self {
            rounds: if is_quick { 1 } else { 5 },
            seconds: if is_quick { 0.2 } else { 0.8 },
            mib: if is_quick { 128 } else { 1024 },
            out: PathBuf::new(),
            directory: std::env::current_exe()?.with_file_name("logs"),
            only: Vec::new(),
            workloads: Workload::ALL.into(),
            java: Err("no Java was looked for".into()),
        };
        let mut docs = None;
        let mut arguments = arguments.iter().filter(|argument| **argument != "--quick");
        while let Some(argument) = arguments.next() {
            let value = *arguments.next().ok_or(USAGE)?;
            match *argument {
                "--out" => options.out = value.into(),
                "--docs" => docs = Some(PathBuf::from(value)),
                "--dir" => options.directory = value.into(),
                "--rounds" => options.rounds = value.parse()?,
                "--only" => options.only = value.split(',').map(str::to_lowercase).collect(),
                "--workloads" => options.workloads = workloads(value)?,
                "--java" => options.java = Ok(value.into()),
                "--no-java" => options.java = Err(value.into()),
                _ => return Err(USAGE.into()),
            }
        }
        if options.out.as_os_str().is_empty() {
            options.out = docs.filter(|_| !is_quick).ok_or(USAGE)?;
        } else if is_quick && docs.is_some_and(|docs| is_same(&docs, &options.out)) {
            return Err(Failure::from("figures of a quick run are no documentation: give another --out"));
        }
        Ok(options)
    }

    /// Ours and the limits always are.
    pub(crate) fn has(&self, participant: &str) -> bool {
        let name = participant.to_lowercase();
        let is_peer = matches!(kind(participant), Kind::Stores | Kind::InMemory);
        !is_peer || self.only.is_empty() || self.only.iter().any(|begin| name.starts_with(&**begin))
    }
}

fn workloads(names: &str) -> Result<Vec<Workload>> {
    let known = || Workload::ALL.map(Workload::name).join(", ");
    let of =
        |name| Workload::of(name).ok_or_else(|| format!("no workload {name}; there are: {}", known()).into());
    names.split(',').map(of).collect()
}

fn is_same(one: &std::path::Path, other: &std::path::Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_run_writes_nothing_into_the_documentation() {
        let docs = tempfile::tempdir().unwrap();
        let docs = docs.path().to_str().unwrap();
        assert_eq!(Options::parse(&["--docs", docs]).unwrap().out, PathBuf::from(docs));
        assert!(Options::parse(&["--quick", "--docs", docs]).is_err());
        let indirect = format!("{docs}/../{}", docs.rsplit('/').next().unwrap());
        assert!(Options::parse(&["--quick", "--docs", docs, "--out", &indirect]).is_err());
        let quick = Options::parse(&["--docs", docs, "--out", "/elsewhere", "--quick"]).unwrap();
        assert_eq!((quick.out, quick.rounds), (PathBuf::from("/elsewhere"), 1));
    }

    #[test]
    fn only_leaves_peers_out_and_nothing_else() {
        let options = Options::parse(&["--out", "x", "--only", "commitlog,aeron"]).unwrap();
        for participant in ["stratalog enqueue", "commitlog", "Aeron IPC", "limit: pwrite", "empty loop"] {
            assert!(options.has(participant), "{participant}");
        }
        assert!(!options.has("yaque") && !options.has("Chronicle Queue"));
        assert_eq!(Options::parse(&["--out", "x", "--workloads", "send,open"]).unwrap().workloads.len(), 2);
        assert!(Options::parse(&["--out", "x", "--workloads", "sends"]).is_err());
    }
}
