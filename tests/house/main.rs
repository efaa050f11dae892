//! The rules of the house that a machine can keep, and that the documents say what is so.

mod docs;
mod format_page;
mod links;
mod names;
mod rooms;
mod rules;
mod sizes;
// Asks cargo and rustc, which are not there under Wine.
#[cfg(unix)]
mod sockets;
mod source;
mod words;
