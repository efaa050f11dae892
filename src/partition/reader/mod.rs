//! Reading: cursors over the present view, and what is between the bytes of a segment and the records that are returned.

mod by_time;
pub(super) mod cursor;
pub(super) mod decompress;
pub(super) mod fetch;
pub(super) mod latest;
