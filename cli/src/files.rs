//! The user's own files: what is read and written besides the log.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::failure::{Failure, Outcome};

/// No file of settings that a person writes is longer.
const MAX_TEXT: u64 = 64 << 20;

/// A file to read, and how long it is if that is known: a pipe has no length.
pub(super) fn open(path: &Path) -> Outcome<(File, Option<u64>)> {
    let failed = |source: io::Error| Failure::input(path.display(), &source);
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if about.is_dir() {
        return Err(Failure::failed(format!("cannot read {}: it is a directory", path.display())));
    }
    Ok((file, about.is_file().then_some(about.len())))
}

/// The whole of a text file. `-` is standard input.
pub(super) fn text(path: &Path) -> Outcome<String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MAX_TEXT + 1).read_to_end(&mut bytes)
    } else {
        open(path)?.0.take(MAX_TEXT + 1).read_to_end(&mut bytes)
    };
    read.map_err(|source| Failure::input(&shown, &source))?;
    if bytes.len() as u64 > MAX_TEXT {
        return Err(Failure::failed(format!("{shown} is longer than {} MiB", MAX_TEXT >> 20)));
    }
    String::from_utf8(bytes).map_err(|failure| {
        let at = failure.utf8_error().valid_up_to();
        Failure::failed(format!("{shown} is no text: byte {at} is not UTF-8"))
    })
}

/// What there is at the path of a directory.
pub(super) enum Directory {
    There,
    Absent,
    /// A link, and where it leads, which is nowhere.
    Dangling(PathBuf),
}

pub(super) fn directory(path: &Path) -> Outcome<Directory> {
    match std::fs::metadata(path) {
        Ok(about) if about.is_dir() => Ok(Directory::There),
        Ok(_) => Err(Failure::failed(format!("{} is no directory", path.display()))),
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            Ok(std::fs::read_link(path).map_or(Directory::Absent, Directory::Dangling))
        }
        Err(source) => Err(Failure::input(path.display(), &source)),
    }
}

pub(super) fn is_there(path: &Path) -> Outcome<bool> {
    path.try_exists().map_err(|source| Failure::input(path.display(), &source))
}

/// The files in a directory and in those directly in it, sorted.
pub(super) fn below(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let failed = |source: io::Error| Failure::input(dir.display(), &source);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            found.extend(inside(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The names of the directories in a directory, sorted.
pub(super) fn directories(dir: &Path) -> Outcome<Vec<String>> {
    let failed = |source: io::Error| Failure::input(dir.display(), &source);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().is_dir() {
            found.extend(entry.file_name().into_string());
        }
    }
    found.sort();
    Ok(found)
}

/// The files in a directory, sorted.
pub(super) fn inside(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let failed = |source: io::Error| Failure::input(dir.display(), &source);
    let entries = std::fs::read_dir(dir).map_err(failed)?;
    let mut found = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    found.retain(|path| !path.is_dir());
    found.sort();
    Ok(found)
}

/// Bytes of a file, 0 if it is not known.
pub(super) fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |about| about.len())
}

/// Whether two paths lead to the same directory.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    real(one).is_some() && real(one) == real(other)
}
