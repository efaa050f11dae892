//! The user's own files: what is read and written besides the log.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::failure::{Failure, Outcome};

/// No file of settings that a person writes is longer.
const LONGEST_TEXT: u64 = 64 << 20;

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
        io::stdin().lock().take(LONGEST_TEXT + 1).read_to_end(&mut bytes)
    } else {
        open(path)?.0.take(LONGEST_TEXT + 1).read_to_end(&mut bytes)
    };
    read.map_err(|source| Failure::input(&shown, &source))?;
    if bytes.len() as u64 > LONGEST_TEXT {
        return Err(Failure::failed(format!("{shown} is longer than {} MiB", LONGEST_TEXT >> 20)));
    }
    String::from_utf8(bytes).map_err(|failure| {
        let at = failure.utf8_error().valid_up_to();
        Failure::failed(format!("{shown} is no text: byte {at} is not UTF-8"))
    })
}
