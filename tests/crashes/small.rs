//! Small file systems that live as long as a test.

#![allow(dead_code, reason = "each suite uses its part of it")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a small file system is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tmpfs,
    Ext4,
    /// With reflink.
    Xfs,
    XfsWithoutReflink,
}

impl Kind {
    fn is_xfs(self) -> bool {
        matches!(self, Self::Xfs | Self::XfsWithoutReflink)
    }
}

/// A file system that is mounted as long as this lives.
pub(crate) struct Small {
    mounted: PathBuf,
    _dir: tempfile::TempDir,
}

impl Small {
    /// One of 5 MiB in memory. `None`, with the reason printed, where it cannot be had.
    pub(crate) fn mount() -> Option<Self> {
        Self::of(Kind::Tmpfs, 5)
    }

    /// One of this kind and of so many MiB, that are free.
    pub(crate) fn of(kind: Kind, mebibytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (image, mounted) = (dir.path().join("image"), dir.path().join("mounted"));
        std::fs::create_dir(&mounted).unwrap();
        let make: &[&str] = match kind {
            Kind::Tmpfs => &[],
            Kind::Ext4 => &["mkfs.ext4", "-q", "-m", "0"],
            Kind::Xfs => &["mkfs.xfs", "-q", "-m", "reflink=1"],
            Kind::XfsWithoutReflink => &["mkfs.xfs", "-q", "-m", "reflink=0"],
        };
        if let [make, options @ ..] = make {
            // XFS is never smaller.
            let mebibytes = if kind.is_xfs() { 300 } else { mebibytes };
            std::fs::File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
            if !done(kind, Command::new(make).args(options).arg(&image)) {
                return None;
            }
        }
        let mut mount = Command::new("mount");
        match kind {
            Kind::Tmpfs => {
                let size = format!("size={mebibytes}m");
                mount.args(["-t", "tmpfs", "-o", &size, "stratalog-test"])
            }
            _ => mount.args(["-o", "loop"]).arg(&image),
        };
        let small = done(kind, mount.arg(&mounted)).then_some(Self { mounted, _dir: dir })?;
        if kind.is_xfs() {
            small.leave_of_all(mebibytes);
        }
        Some(small)
    }

    /// A file that takes all but so many MiB.
    fn leave_of_all(&self, mebibytes: u64) {
        let mut ballast = std::fs::File::create(self.path().join("ballast")).unwrap();
        while ballast.write_all(&vec![1; 1 << 20]).is_ok() {}
        let length = ballast.metadata().unwrap().len();
        ballast.set_len(length.checked_sub(mebibytes << 20).unwrap()).unwrap();
        ballast.sync_all().unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.mounted
    }

    /// A file that leaves little room.
    pub(crate) fn filler(&self) -> PathBuf {
        self.take(2 << 20)
    }

    /// The same of so many bytes.
    pub(crate) fn take(&self, bytes: usize) -> PathBuf {
        let filler = self.path().join("filler");
        std::fs::write(&filler, vec![0; bytes]).unwrap();
        filler
    }

    /// Fills all that is left.
    pub(crate) fn fill(&self) {
        let path = self.path().join("all");
        let Ok(mut file) = std::fs::File::options().create(true).append(true).open(path) else { return };
        // Space that was freed a moment ago may be there only after a sync.
        for bytes in [1 << 20, 64 << 10, 4096, 4096, 1] {
            let _ = file.sync_all();
            while file.write_all(&vec![1; bytes]).is_ok() {}
        }
    }

    pub(crate) fn free(&self) {
        let _ = std::fs::remove_file(self.path().join("filler"));
        let _ = std::fs::remove_file(self.path().join("all"));
    }
}

/// Whether a command succeeded; if not, what it said is printed.
fn done(kind: Kind, command: &mut Command) -> bool {
    match command.output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr);
            eprintln!("skipped: {kind:?}: {command:?} failed, it may take root: {reason}");
            false
        }
        Err(error) => {
            eprintln!("skipped: {kind:?}: {command:?}: {error}");
            false
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a process just being started by another test may hold copies of descriptors for a moment.
        let unmounted = Command::new("umount").arg("--lazy").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.path().display());
    }
}
