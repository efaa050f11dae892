//! Single keys from the terminal: before Enter is pressed, and without a thread that waits for them.

#[cfg(unix)]
pub(crate) use unix::Keys;
#[cfg(windows)]
pub(crate) use windows::Keys;

#[cfg(unix)]
mod unix {
    use std::io::{self, IsTerminal as _, Read as _};

    use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

    /// The keyboard of the terminal. [`restore`](Self::restore) has to be called: a shell may not do it.
    #[derive(Clone)]
    pub(crate) struct Keys {
        before: Termios,
    }

    impl Keys {
        /// From now on keys come one by one and are not shown; Ctrl-C is a signal as before. `None` where standard input is
        /// no terminal.
        pub(crate) fn take() -> Option<Self> {
            if !io::stdin().is_terminal() {
                return None;
            }
            let before = tcgetattr(io::stdin()).ok()?;
            let mut single = before.clone();
            single.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            // A read returns at once, with what there is.
            single.special_codes[SpecialCodeIndex::VMIN] = 0;
            single.special_codes[SpecialCodeIndex::VTIME] = 0;
            set(&single).then_some(Self { before })
        }

        /// Whether a key was pressed since the last call.
        #[expect(clippy::unused_self, reason = "without it keys do not come one by one")]
        pub(crate) fn is_pressed(&self, key: u8) -> bool {
            let mut bytes = [0; 64];
            io::stdin()
                .lock()
                .read(&mut bytes)
                .is_ok_and(|count| bytes.iter().take(count).any(|byte| *byte == key))
        }

        /// Leaves the terminal as it was.
        pub(crate) fn restore(&self) {
            set(&self.before);
        }
    }

    fn set(to: &Termios) -> bool {
        tcsetattr(io::stdin(), OptionalActions::Now, to).is_ok()
    }
}

#[cfg(windows)]
mod windows {
    use std::sync::{Arc, Mutex, PoisonError};

    use console::{Key, Term};

    /// The keyboard of the console. Reading a key there changes no mode that would have to be restored.
    #[derive(Clone)]
    pub(crate) struct Keys {
        pressed: Arc<Mutex<Vec<char>>>,
    }

    impl Keys {
        /// `None` where there is no console, or no thread to wait for its keys.
        pub(crate) fn take() -> Option<Self> {
            let term = Term::stdout();
            if !term.is_term() {
                return None;
            }
            let keys = Self { pressed: Arc::default() };
            let pressed = Arc::clone(&keys.pressed);
            // The thread ends with the process.
            let started = std::thread::Builder::new().name("keys".into()).spawn(move || {
                while let Ok(key) = term.read_key() {
                    if let Key::Char(key) = key {
                        pressed.lock().unwrap_or_else(PoisonError::into_inner).push(key);
                    }
                }
            });
            started.ok().map(|_| keys)
        }

        /// Whether a key was pressed since the last call.
        pub(crate) fn is_pressed(&self, key: u8) -> bool {
            let mut pressed = self.pressed.lock().unwrap_or_else(PoisonError::into_inner);
            pressed.drain(..).any(|one| one == char::from(key))
        }

        /// Nothing was changed.
        pub(crate) fn restore(&self) {}
    }
}
