#[cfg(unix)]
mod forked;
