//! Progress of what may take longer than a second, drawn on standard error while a person watches it.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stratalog::Progress;

/// Shorter work shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);
const REDRAW: Duration = Duration::from_millis(100);

/// A bar that appears when the work takes long, and leaves nothing.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    bar: ProgressBar,
    begun: std::time::Instant,
    never: bool,
}

impl Bar {
    /// Of `total` bytes, or of an amount that is not known yet.
    pub(super) fn bytes(what: &'static str, total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{msg} {bar:30} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left",
            None => "{msg} {spinner} {bytes}, {binary_bytes_per_sec}",
        };
        Self::new(what, total, template)
    }

    /// As [`bytes`](Self::bytes), for a command that prints as it goes: nothing is drawn where that goes to a terminal, too.
    pub(super) fn beside_output(what: &'static str, total: u64) -> Self {
        Self::bytes(what, Some(total)).beside(std::io::stdout().is_terminal())
    }

    /// The same of things instead of bytes.
    pub(super) fn count_beside_output(what: &'static str, total: u64) -> Self {
        Self::count(what, Some(total)).beside(std::io::stdout().is_terminal())
    }

    /// Of `total` things.
    pub(super) fn count(what: &'static str, total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{msg} {bar:30} {human_pos} of {human_len}, {per_sec}, {eta} left",
            None => "{msg} {spinner} {human_pos}, {per_sec}",
        };
        Self::new(what, total, template)
    }

    fn new(what: &'static str, total: Option<u64>, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_message(what);
        Self { bar, begun: std::time::Instant::now(), never: false }
    }

    pub(super) fn set(&self, done: u64) {
        self.bar.set_position(done);
        self.appear();
    }

    /// The total may become known, and larger, as the work continues.
    pub(super) fn set_of(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.set(done);
    }

    pub(super) fn say(&self, what: String) {
        self.bar.set_message(what);
        self.appear();
    }

    /// Wipes the bar off the screen.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn beside(mut self, output_is_watched: bool) -> Self {
        self.never = output_is_watched;
        self
    }

    fn appear(&self) {
        if !self.never
            && self.bar.is_hidden()
            && self.begun.elapsed() >= PATIENCE
            && super::output::is_watched()
        {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(REDRAW);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end();
    }
}

/// Shows the recovery of a log while it is opened.
pub(super) fn of_recovery() -> impl FnMut(&Progress) + Send + 'static {
    let bar = Bar::bytes("recovering", None);
    move |progress| {
        bar.say(format!("recovering: {} of {} partitions,", progress.partitions_done, progress.partitions));
        bar.set(progress.bytes_scanned);
    }
}
