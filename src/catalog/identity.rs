//! Whose directory it is: `meta.properties`, read, or made for a fresh one.

use super::log_dir::LogDir;
use crate::error::{Damage, Result};
use crate::format::file_names::IDENTITY;
use crate::format::properties::MetaProperties;
use crate::format::uuid::Uuid;
use crate::sys::random_bytes;

/// The node of a directory that no broker has had. A broker that takes it over must be configured with it.
const NODE_ID: i32 = 1;
/// Far more than the file ever holds.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// The identity of the directory, or `None` if it has none yet.
pub(super) fn read(dir: &LogDir) -> Result<Option<MetaProperties>> {
    let path = dir.path(IDENTITY);
    let Some(bytes) = dir.disk().read_small(&path, MAX_BYTES)? else { return Ok(None) };
    let read = MetaProperties::parse(&bytes);
    read.map(Some).map_err(|reason| reason.error(Box::new(Damage::new(&path, 0, reason.to_string()))))
}

/// Gives a fresh directory an identity.
pub(super) fn make(dir: &LogDir) -> Result<MetaProperties> {
    let made = MetaProperties {
        cluster_id: random_id()?.to_string(),
        node_id: NODE_ID,
        directory_id: Some(random_id()?),
    };
    // First: once it has an identity, it is not checked again whether its name is durable.
    dir.disk().sync_name_of(dir.root())?;
    dir.disk().replace(&dir.path(IDENTITY), made.encode("made by stratalog").as_bytes())?;
    dir.sync()?;
    Ok(made)
}

/// An id that means nothing to Kafka, and whose text no tool takes for an option.
pub(super) fn random_id() -> Result<Uuid> {
    loop {
        let id = Uuid::from_bytes(random_bytes()?);
        if !id.is_reserved() && !id.to_string().starts_with('-') {
            return Ok(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Disk;

    #[test]
    fn what_is_made_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let log_dir = LogDir::new(dir.path().to_owned(), Disk::of(dir.path(), false, false));
        assert_eq!(read(&log_dir).unwrap(), None);
        let made = make(&log_dir).unwrap();
        assert_eq!((made.node_id, made.cluster_id.len()), (1, 22));
        assert_eq!(read(&log_dir).unwrap(), Some(made));
        std::fs::write(dir.path().join(IDENTITY), "version=0\nbroker.id=1\n").unwrap();
        let text = read(&log_dir).unwrap_err().to_string();
        assert!(text.contains("meta.properties at byte 0: meta.properties has version 0"), "{text}");
    }
}
