//! Small file systems that are really full, or whose quota is.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fresh;
use crate::interpose::{answer_as_a_quota, unseen};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tmpfs,
    Ext4,
    /// With reflink.
    Xfs,
    XfsWithoutReflink,
    /// XFS with a limit for a project. Few kernels have that; without, a file system in memory answers EDQUOT where it is full.
    Quota,
    /// A subvolume of btrfs with a limit: a disk that has to find space for what is written over, too.
    Btrfs,
}

pub const KINDS: [Kind; 6] =
    [Kind::Tmpfs, Kind::Ext4, Kind::Xfs, Kind::XfsWithoutReflink, Kind::Quota, Kind::Btrfs];

impl Kind {
    /// Whether what has its space may find none when it is written.
    pub fn copies_on_write(self) -> bool {
        self == Self::Btrfs
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        KINDS.into_iter().find(|kind| format!("{kind:?}").eq_ignore_ascii_case(name)).ok_or(())
    }
}

/// Whether it was said that there are no quotas.
static SAID: AtomicBool = AtomicBool::new(false);

/// A small file system, gone when this is.
pub struct SmallDisk {
    mounted: PathBuf,
    /// Where there is little room.
    pub at: PathBuf,
}

impl SmallDisk {
    /// One with so many MiB that are free. An error says why there is none here.
    pub fn mount(directory: &Path, kind: Kind, mebibytes: u64) -> Result<Self, String> {
        answer_as_a_quota(false);
        if kind == Kind::Quota {
            return Self::with_a_project(directory, mebibytes).or_else(|reason| {
                if !SAID.swap(true, Ordering::Relaxed) {
                    println!(
                        "{reason}\nQuota: the kernel has none for XFS; a full disk answers EDQUOT instead"
                    );
                }
                let disk = Self::of(directory, kind, mebibytes)?;
                answer_as_a_quota(true);
                Ok(disk)
            });
        }
        Self::of(directory, kind, mebibytes)
    }

    fn with_a_project(directory: &Path, mebibytes: u64) -> Result<Self, String> {
        let (mounted, image) = (fresh(&directory.join("mounted"))?, directory.join("image"));
        let sized = File::create(&image).and_then(|image| image.set_len(300 << 20));
        sized.map_err(|failure| failure.to_string())?;
        done(Command::new("mkfs.xfs").args(["-q", "-f"]).arg(&image))?;
        done(Command::new("mount").args(["-o", "loop,prjquota"]).arg(&image).arg(&mounted))?;
        let disk = Self { at: mounted.join("limited"), mounted };
        fs::create_dir(&disk.at).map_err(|failure| failure.to_string())?;
        let limit = format!("limit -p bhard={mebibytes}m 1");
        for command in [format!("project -s -p {} 1", disk.at.display()), limit] {
            done(Command::new("xfs_quota").args(["-x", "-c", &command]).arg(&disk.mounted))?;
        }
        Ok(disk)
    }

    fn of(directory: &Path, kind: Kind, mebibytes: u64) -> Result<Self, String> {
        let mounted = fresh(&directory.join("mounted"))?;
        let image = directory.join("image");
        // XFS and btrfs are never smaller.
        let (make, whole): (&[&str], u64) = match kind {
            Kind::Tmpfs | Kind::Quota => (&[], mebibytes),
            Kind::Ext4 => (&["mkfs.ext4", "-q", "-m", "0"], mebibytes),
            Kind::Xfs => (&["mkfs.xfs", "-q", "-f", "-m", "reflink=1"], 300),
            Kind::XfsWithoutReflink => (&["mkfs.xfs", "-q", "-f", "-m", "reflink=0"], 300),
            Kind::Btrfs => (&["mkfs.btrfs", "-q", "-f"], 256),
        };
        if let [program, options @ ..] = make {
            let sized = File::create(&image).and_then(|image| image.set_len(whole << 20));
            sized.map_err(|failure| failure.to_string())?;
            done(Command::new(program).args(options).arg(&image))?;
            done(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mounted))?;
        } else {
            let size = format!("size={mebibytes}m");
            done(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "crash"]).arg(&mounted))?;
        }
        let mut disk = Self { at: mounted.clone(), mounted };
        if kind == Kind::Btrfs {
            disk.at = disk.mounted.join("limited");
            let limit = format!("{mebibytes}M");
            done(Command::new("btrfs").args(["quota", "enable"]).arg(&disk.mounted))?;
            done(Command::new("btrfs").args(["subvolume", "create"]).arg(&disk.at))?;
            done(Command::new("btrfs").args(["qgroup", "limit", &limit]).arg(&disk.at))?;
        } else if whole > mebibytes {
            disk.fill_to("most")?;
            let most = File::options().write(true).open(disk.at.join("most"));
            let cut = most.and_then(|most| {
                most.set_len(most.metadata()?.len().saturating_sub(mebibytes << 20))?;
                most.sync_all()
            });
            cut.map_err(|failure| failure.to_string())?;
        }
        Ok(disk)
    }

    /// Takes what is left, down to the last block.
    pub fn fill(&self) -> Result<(), String> {
        self.fill_to("ballast")
    }

    fn fill_to(&self, name: &str) -> Result<(), String> {
        unseen(|| {
            let ballast = File::options().append(true).create(true).open(self.at.join(name));
            // Without a block for its name there is none for anything.
            let Ok(mut ballast) = ballast else { return Ok(()) };
            for block in [vec![1; 1 << 20], vec![1; 4096], vec![1; 4096]] {
                while ballast.write_all(&block).is_ok() {}
                // What was freed a moment ago may be there only then.
                let _ = ballast.sync_all();
            }
            Ok(())
        })
    }

    pub fn free(&self) -> Result<(), String> {
        unseen(|| {
            let freed = fs::remove_file(self.at.join("ballast"));
            freed
                .and_then(|()| File::open(&self.at)?.sync_all())
                .map_err(|failure| format!("ballast: {failure}"))
        })
    }
}

fn done(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(failure) => Err(format!("{command:?}: {failure}")),
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.mounted).status();
    }
}
