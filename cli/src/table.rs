//! Columns as Kafka's tools print them: padded to their widest cell and to a least width. One blank is between them, or a tab
//! after each.

use std::fmt::Write as _;

/// A table with a heading.
#[derive(Debug)]
pub(super) struct Table {
    /// The least width of each column.
    least: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// The names of the columns, each with its least width.
    pub(super) fn new<'n>(columns: impl IntoIterator<Item = (&'n str, usize)>) -> Self {
        let (names, least) = columns.into_iter().map(|(name, least)| (name.to_owned(), least)).unzip();
        Self { least, rows: vec![names] }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// All lines. What is last in a row is not padded.
    pub(super) fn text(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a String cannot fail.
                let _ = write!(line, "{cell:<width$} ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// All lines, as the tool for transactions prints them: each cell is padded and has a tab after it, the last one as well.
    pub(super) fn tabbed(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a String cannot fail.
                let _ = write!(text, "{cell:<width$}\t");
            }
            text.push('\n');
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = self.least.clone();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}
