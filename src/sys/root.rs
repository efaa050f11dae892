//! The directory that a log is opened at, and its name in the directory above it.
//!
//! A sync of the directory makes durable what is in it. Its own name is in the directory above, which a power cut takes back unless
//! that one is synced too, and with the name the whole log.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::disk::{Disk, not_a_directory};
use super::faults::Faults;
use crate::error::{Error, Result};

/// The directory a log is opened at. Links in the path itself are followed. Without it this is an error.
pub(crate) fn open_root(path: &Path) -> Result<PathBuf> {
    open_or_make(path, None)
}

/// The same, but a directory that is not there is made, and those above it: durably, each under its name.
pub(crate) fn make_root(path: &Path, faults: &Faults) -> Result<PathBuf> {
    open_or_make(path, Some(faults))
}

fn open_or_make(path: &Path, faults: Option<&Faults>) -> Result<PathBuf> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(not_a_directory(path)),
        Err(failure) if failure.kind() == io::ErrorKind::NotFound => {
            refuse_dangling(path)?;
            let Some(faults) = faults else { return Err(Error::io("open directory", path, failure)) };
            make_durably(path, faults)?;
        }
        Err(failure) => return Err(Error::io("open directory", path, failure)),
    }
    fs::canonicalize(path).map_err(|e| Error::io("open directory", path, e))
}

/// Makes a directory and those above it that are missing. The name of each is durable before the next one is made in it, so a stop
/// leaves at most one that is not.
fn make_durably(path: &Path, faults: &Faults) -> Result<()> {
    let is_missing = |part: &&Path| {
        let looked = fs::metadata(part);
        !part.as_os_str().is_empty() && looked.is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
    };
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    for directory in missing.into_iter().rev() {
        match fs::create_dir(directory) {
            Err(failure) if failure.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            made => made.map_err(|e| Error::io("create directory", directory, e))?,
        }
        sync_name(directory, faults).inspect_err(|_| {
            // The next attempt finds it missing, and syncs it again.
            let _ = fs::remove_dir(directory);
        })?;
    }
    Ok(())
}

/// Makes the name of a directory durable in the one above it. Where that one may not be opened, nothing can be done.
fn sync_name(directory: &Path, faults: &Faults) -> Result<()> {
    let above = match directory.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    let disk = Disk { faults: faults.clone(), ..Disk::of(above, false, false) };
    match disk.open_directory(above) {
        Err(Error::Io(failure)) if failure.source.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        opened => opened?.sync(),
    }
}

impl Disk {
    /// Makes the name of a log's directory durable, which this process may not have made.
    pub(crate) fn sync_name_of(&self, root: &Path) -> Result<()> {
        sync_name(root, &self.faults)
    }
}

/// Refuses a path with a link in it that leads nowhere: no directory can be made there.
fn refuse_dangling(path: &Path) -> Result<()> {
    let links = path.ancestors().filter_map(|part| Some((part, fs::read_link(part).ok()?)));
    let nowhere = |part: &Path| fs::metadata(part).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
    match links.into_iter().find(|(part, _)| nowhere(part)) {
        None => Ok(()),
        Some((link, target)) => Err(Error::invalid(
            "directory",
            format!(
                "{} is a symbolic link to {}, which does not exist; make that directory, or remove the link",
                link.display(),
                target.display()
            ),
        )),
    }
}
