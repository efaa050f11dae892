//! Records on their way to the output.

use std::io::Write as _;

use stratalog::Records;

use super::columns::{self, Columns};
use crate::{Outcome, Output};

/// How a record is printed.
#[derive(Debug)]
pub(super) enum Layout {
    Columns(Columns),
    Json,
    Nothing,
}

/// Prints records, up to a number of them.
#[derive(Debug)]
pub(super) struct Printer {
    layout: Layout,
    /// How many may still be printed.
    left: u64,
    printed: u64,
    out: Output,
}

impl Printer {
    pub(super) fn new(layout: Layout, most: Option<u64>) -> Self {
        Self { layout, left: most.unwrap_or(u64::MAX), printed: 0, out: Output::new() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    pub(super) fn printed(&self) -> u64 {
        self.printed
    }

    /// Prints records as far as they are wanted, and flushes them to the output at once. Says how many.
    pub(super) fn print(&mut self, records: &Records) -> Outcome<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(records.len());
        for record in records.iter().take(wanted) {
            match &self.layout {
                Layout::Columns(columns) => columns.write(&record, &mut self.out)?,
                Layout::Json => columns::write_json(&record, &mut self.out)?,
                Layout::Nothing => {}
            }
        }
        if wanted > 0 {
            self.out.flush()?;
        }
        self.printed += wanted as u64;
        self.left -= wanted as u64;
        Ok(wanted)
    }
}
