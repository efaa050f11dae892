//! Violations: what is kept of each, and how it is repeated.

use std::fs;
use std::path::{Path, PathBuf};

use crate::interpose::unseen;
use crate::tree::Tree;

/// What a run has found, and where it keeps that.
pub struct Findings {
    /// `None`: they are expected, and only counted.
    directory: Option<PathBuf>,
    pub count: u64,
}

/// So many violations end a run: the rest would say the same.
const MAX_FINDINGS: u64 = 20;

impl Findings {
    pub fn new(directory: &Path) -> Self {
        Self { directory: Some(directory.into()), count: 0 }
    }

    pub fn counted() -> Self {
        Self { directory: None, count: 0 }
    }

    pub fn are_enough(&self) -> bool {
        self.count >= MAX_FINDINGS
    }

    /// Keeps one: the command that repeats it, the trace, and the directory if there is one.
    pub fn save(&mut self, command: &str, reason: &str, trace: &str, tree: Option<&Tree>) {
        self.count += 1;
        let Some(directory) = &self.directory else { return };
        unseen(|| {
            let name = format!("violation-{}-{}", std::process::id(), self.count);
            let kept = directory.join(name);
            let text = format!("{reason}\n\nrepeat: {command}\n\ntrace:\n  {trace}\n");
            let written = fs::create_dir_all(&kept)
                .and_then(|()| fs::write(kept.join("violation.txt"), &text))
                .and_then(|()| tree.map_or(Ok(()), |tree| tree.write(&kept.join("directory"))));
            println!("VIOLATION {}: {text}  kept in {}", self.count, kept.display());
            if let Err(failure) = written {
                println!("  not kept: {failure}");
            }
        });
    }
}
