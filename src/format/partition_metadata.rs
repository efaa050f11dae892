//! `partition.metadata`: the text file that ties a partition's directory to the id of its topic. Two lines, the
//! last one without a newline.

use super::Malformed;
use super::uuid::Uuid;

/// Reads the id of the topic. A newer version may have more lines.
pub(crate) fn parse(file: &[u8]) -> Result<Uuid, Malformed> {
    let text = str::from_utf8(file).map_err(|_| Malformed("partition.metadata is not UTF-8"))?;
    let mut lines = text.lines();
    let version = lines.next().and_then(|line| value("version", line));
    let version = version.ok_or(Malformed("partition.metadata does not begin with its version"))?;
    if version.parse::<i32>().is_ok_and(|version| version >= 0) {
        let id = lines.next().and_then(|line| value("topic_id", line));
        let id = Uuid::parse(id.ok_or(Malformed("partition.metadata has no topic id in its second line"))?)?;
        if id == Uuid::ZERO { Err(Malformed("partition.metadata has the topic id zero")) } else { Ok(id) }
    } else {
        Err(Malformed("partition.metadata has no valid version"))
    }
}

pub(crate) fn encode(topic: Uuid) -> String {
    format!("version: 0\ntopic_id: {topic}")
}

fn value<'a>(name: &str, line: &'a str) -> Option<&'a str> {
    let value = line.strip_prefix(name)?.strip_prefix(':')?;
    let trimmed = value.trim_ascii();
    // Kafka's reader wants white space after the colon.
    (value.starts_with(|c: char| c.is_ascii_whitespace()) && !trimmed.is_empty()).then_some(trimmed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::tests::vectors_named;

    #[test]
    #[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
    fn files_of_brokers_come_back_byte_for_byte() {
        for (path, file) in vectors_named(&["partition.metadata"]) {
            let id = parse(&file).unwrap();
            assert_eq!(encode(id).as_bytes(), file, "{}", path.display());
            assert_eq!(id == Uuid::METADATA_TOPIC, path.ends_with("__cluster_metadata-0/partition.metadata"));
        }
    }

    #[test]
    fn newer_versions_and_other_line_ends_are_read() {
        let id = Uuid::parse("ayn8QMpHQGezHQDdAQZi2g").unwrap();
        assert_eq!(parse(b"version: 7\r\ntopic_id:\tayn8QMpHQGezHQDdAQZi2g\r\nmore: 1\n"), Ok(id));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |text: &str| parse(text.as_bytes()).unwrap_err().0;
        assert_eq!(wrong(""), "partition.metadata does not begin with its version");
        assert_eq!(wrong("version:0\n"), "partition.metadata does not begin with its version");
        assert_eq!(wrong("version: -1\ntopic_id: x"), "partition.metadata has no valid version");
        assert_eq!(wrong("version: 0\n"), "partition.metadata has no topic id in its second line");
        assert_eq!(wrong("version: 0\ntopic_id: x"), "an id does not have 22 characters");
        assert_eq!(wrong(&encode(Uuid::ZERO)), "partition.metadata has the topic id zero");
    }

    #[test]
    fn every_cut_of_a_file_is_refused() {
        let file = encode(Uuid::METADATA_TOPIC);
        for cut in 0..file.len() {
            assert!(parse(&file.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        fn ids_come_back(bytes: [u8; 16]) {
            let id = Uuid::from_bytes(bytes);
            prop_assume!(id != Uuid::ZERO);
            prop_assert_eq!(parse(encode(id).as_bytes()), Ok(id));
        }

        #[test]
        #[cfg_attr(miri, ignore = "compiles a regular expression for its strings, which takes Miri minutes")]
        fn garbage_is_refused_or_read(bytes: Vec<u8>, text in "version: [0-9]\n?(topic_id: .{20,24})?") {
            let _ = parse(&bytes);
            let _ = parse(text.as_bytes());
        }
    }
}
