//! Standard output and standard error.
//!
//! Standard output is written through one large buffer; a reader that went away is an error like any other, and ends the
//! command quietly. Nothing here panics when the other end is closed, as `println!` would.

use std::fmt::Display;
use std::io::{self, StdoutLock, Write};

use console::{Style, Term};
use serde_json::Value;
use stratalog::TopicConfig;

use super::failure::Outcome;

/// Large enough that a system call per buffer costs nothing, small enough to stay in the cache.
const BUFFER_BYTES: usize = 256 << 10;

/// Standard output. What was written shows up when it is flushed; at the end [`Output::end`] must be called.
#[derive(Debug)]
pub(super) struct Output {
    buffer: Vec<u8>,
    out: StdoutLock<'static>,
}

impl Output {
    pub(super) fn new() -> Self {
        Self { buffer: Vec::with_capacity(BUFFER_BYTES), out: io::stdout().lock() }
    }

    /// One JSON object on a line of its own.
    pub(super) fn json(&mut self, object: &Value) -> io::Result<()> {
        writeln!(self, "{object}")
    }

    /// All that a command has to print.
    pub(super) fn whole(mut self, text: &[u8]) -> Outcome {
        self.write_all(text)?;
        self.end()
    }

    /// Writes out what is left.
    pub(super) fn end(mut self) -> Outcome {
        Ok(self.flush()?)
    }

    fn drain(&mut self) -> io::Result<()> {
        let outcome = self.out.write_all(&self.buffer);
        self.buffer.clear();
        outcome
    }
}

impl Write for Output {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    /// What fits is kept together: the buffer ends where a call of this ended, mostly at the end of a line.
    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > BUFFER_BYTES - self.buffer.len() {
            self.drain()?;
            if bytes.len() > BUFFER_BYTES {
                return self.out.write_all(bytes);
            }
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.drain()?;
        self.out.flush()
    }
}

/// Reports a failure on standard error.
pub(super) fn complain(what: impl Display) {
    print_line("error", &Style::new().red().bold(), what);
}

/// Reports something that the user may want to know, on standard error.
pub(super) fn warn(what: impl Display) {
    print_line("warning", &Style::new().yellow().bold(), what);
}

/// Reports what happens, on standard error.
pub(super) fn print_note(what: impl Display) {
    print_line("note", &Style::new().cyan(), what);
}

/// Reports settings that a topic was given and that change nothing here.
pub(super) fn print_without_effect(given: &TopicConfig) {
    for (setting, reason) in given.without_effect() {
        print_note(format_args!("{setting} is recorded for a broker and has no effect here: {reason}"));
    }
}

/// A plain line on standard error: sums at the end, as Kafka's tools print them.
pub(super) fn remark(what: impl Display) {
    // Standard error was closed: there is no place to report it.
    let _ = writeln!(io::stderr().lock(), "{what}");
}

fn print_line(kind: &str, style: &Style, what: impl Display) {
    remark(format_args!("{}: {what}", style.clone().for_stderr().apply_to(kind)));
}

/// A number with its word: `1 record`, `2 records`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Whether a person watches standard error: progress is drawn only then.
pub(super) fn is_watched() -> bool {
    Term::stderr().is_term()
}
