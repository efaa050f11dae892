//! Progress of what may take longer than a second, drawn on standard error while a person watches it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stratalog::Progress;

/// Shorter work shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);
const REDRAW: Duration = Duration::from_millis(100);

/// A bar that appears when the work takes long, and leaves nothing behind.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    bar: ProgressBar,
    begun: std::time::Instant,
}

impl Bar {
    /// Of `total` bytes, or of an amount that nobody knows yet.
    pub(super) fn bytes(what: &'static str, total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{msg} {bar:30} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left",
            None => "{msg} {spinner} {bytes}, {binary_bytes_per_sec}",
        };
        Self::new(what, total, template)
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
        Self { bar, begun: std::time::Instant::now() }
    }

    pub(super) fn set(&self, done: u64) {
        self.bar.set_position(done);
        self.appear();
    }

    pub(super) fn say(&self, what: String) {
        self.bar.set_message(what);
        self.appear();
    }

    /// Wipes the bar off the screen.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn appear(&self) {
        if self.bar.is_hidden() && super::output::is_watched() && self.begun.elapsed() >= PATIENCE {
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
