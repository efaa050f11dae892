//! The whole screen of a terminal, until `q` is pressed.

use std::io::Write as _;
use std::time::{Duration, Instant};

use console::Term;

use super::terminal::Keys;
use crate::{Failure, Outcome, Stop};

/// How long until a key, or another size of the terminal, is noticed.
const REFRESH_INTERVAL: Duration = Duration::from_millis(50);

/// Another screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const TO_FIRST_LINE: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[2K";
const CLEAR_TO_END_OF_SCREEN: &str = "\x1b[J";

/// A terminal that is drawn on. What was on it before comes back when this is dropped.
pub(super) struct Screen {
    term: Term,
    keys: Option<Keys>,
}

impl Screen {
    /// `None` where standard output is no terminal.
    pub(super) fn on_terminal(stop: &Stop) -> Option<Self> {
        let term = Term::stdout();
        if !term.is_term() {
            return None;
        }
        let screen = Self { term, keys: Keys::take() };
        write(&screen.term, ENTER).ok()?;
        let (term, keys) = (screen.term.clone(), screen.keys.clone());
        stop.at_last(move || leave(&term, keys.as_ref()));
        Some(screen)
    }

    /// Draws for a span of time: anew where the terminal has another size by then. `q` asks the command to stop.
    pub(super) fn show(
        &self,
        picture: impl Fn((usize, usize)) -> Vec<String>,
        time: Duration,
        stop: &Stop,
    ) -> Outcome {
        let until = Instant::now() + time;
        let mut drawn = None;
        while !stop.is_asked() {
            let (height, width) = self.term.size();
            let size = (usize::from(height), usize::from(width));
            if drawn != Some(size) {
                self.draw(&picture(size))?;
                drawn = Some(size);
            }
            if self.keys.as_ref().is_some_and(|keys| keys.is_pressed(b'q')) {
                stop.ask();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            stop.wait(left.min(REFRESH_INTERVAL));
        }
        Ok(())
    }

    /// In one write, so that nothing flickers; without a line feed at the end, which would move the first line away. A line is
    /// cleared before it is written: where it is as wide as the terminal, clearing after it takes its last character.
    fn draw(&self, lines: &[String]) -> Outcome {
        let lines: Vec<String> = lines.iter().map(|line| format!("{CLEAR_LINE}{line}")).collect();
        write(&self.term, &format!("{TO_FIRST_LINE}{}{CLEAR_TO_END_OF_SCREEN}", lines.join("\r\n")))
            .map_err(Failure::from)
    }
}

fn write(mut term: &Term, text: &str) -> std::io::Result<()> {
    term.write_all(text.as_bytes()).and_then(|()| term.flush())
}

fn leave(term: &Term, keys: Option<&Keys>) {
    // A terminal that is gone needs nothing back.
    let _ = write(term, LEAVE);
    if let Some(keys) = keys {
        keys.restore();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave(&self.term, self.keys.as_ref());
    }
}
