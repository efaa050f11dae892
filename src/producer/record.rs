//! A record to write.

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::format::record::{Header, RecordFields};

/// A record to write: borrows everything it is made of.
///
/// ```
/// use stratalog::Record;
/// let paid = Record::new("paid").key("order-17").header("by", "card");
/// let gone = Record::tombstone("order-17");
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Record<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Headers<'a>,
    partition: Option<u32>,
    timestamp: Option<Timestamp>,
}

#[derive(Debug, Clone)]
enum Headers<'a> {
    Borrowed(&'a [Header<'a>]),
    Owned(Vec<Header<'a>>),
}

impl Headers<'_> {
    fn as_slice(&self) -> &[Header<'_>] {
        match self {
            Self::Borrowed(headers) => headers,
            Self::Owned(headers) => headers,
        }
    }
}

impl<'a> Record<'a> {
    /// A record with a value, no key.
    pub fn new(value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::of(None, Some(value.as_ref()))
    }

    /// A record without a value: in a compacted topic it deletes its key.
    pub fn tombstone(key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::of(Some(key.as_ref()), None)
    }

    /// A record of a key and a value, each of which may be null.
    pub fn of(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Self {
        Self { key, value, headers: Headers::Borrowed(&[]), partition: None, timestamp: None }
    }

    /// Sets the key: records with the same key go to the same partition.
    pub fn key(mut self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// Sets the partition, whatever the key.
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Adds a header. Allocates, where [`headers`](Self::headers) does not.
    pub fn header(
        mut self,
        name: &'a (impl AsRef<[u8]> + ?Sized),
        value: &'a (impl AsRef<[u8]> + ?Sized),
    ) -> Self {
        self.add_header(Header::new(name, value));
        self
    }

    /// Adds a header whose value is null. Allocates, as [`header`](Self::header).
    pub fn null_header(mut self, name: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.add_header(Header::null(name));
        self
    }

    pub(crate) fn add_header(&mut self, header: Header<'a>) {
        match &mut self.headers {
            Headers::Owned(headers) => headers.push(header),
            Headers::Borrowed(before) => {
                let mut headers = before.to_vec();
                headers.push(header);
                self.headers = Headers::Owned(headers);
            }
        }
    }

    /// Sets all headers at once.
    pub fn headers(mut self, headers: &'a [Header<'a>]) -> Self {
        self.headers = Headers::Borrowed(headers);
        self
    }

    /// Sets the time of the event; without it, it is the time of sending. Not before 1970.
    pub fn timestamp(mut self, at: impl Into<Timestamp>) -> Self {
        self.timestamp = Some(at.into());
        self
    }

    pub(crate) fn wanted_partition(&self) -> Option<u32> {
        self.partition
    }

    /// The key, as a [`Partitioner`](crate::Partitioner) sees it.
    pub fn key_bytes(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value, as a [`Partitioner`](crate::Partitioner) sees it.
    pub fn value_bytes(&self) -> Option<&'a [u8]> {
        self.value
    }

    pub(crate) fn wanted_timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    #[inline]
    pub(crate) fn fields(&self) -> RecordFields<'_> {
        RecordFields { key: self.key, value: self.value, headers: self.headers.as_slice() }
    }

    /// What can be wrong with a record whatever the topic.
    #[inline]
    pub(crate) fn check(&self, compacted: bool) -> Result<()> {
        if self.timestamp.is_some_and(|at| at.as_millis() < 0) {
            return Err(Error::invalid("record timestamp", "it lies before 1970, which Kafka does not take"));
        }
        if compacted && self.key.is_none() {
            return Err(Error::invalid("record", "it has no key, but the topic is compacted by key"));
        }
        Ok(())
    }
}
