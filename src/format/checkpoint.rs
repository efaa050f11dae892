//! Checkpoint files: small tables as text. Line 1 is the version 0, line 2 the number of entries, then one entry
//! a line, its fields separated by a space; every line ends in a newline. A file without bytes has no entries.
//!
//! They are read strictly, the last newline included: a file that was cut within its last number would give a
//! smaller one.

use std::fmt::Write as _;
use std::str::{FromStr, Lines, SplitAsciiWhitespace};

use super::Malformed;

/// A line of the `*-offset-checkpoint` files at the top of a log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionOffset {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
}

/// A line of a partition's `leader-epoch-checkpoint`: the first offset written in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochStart {
    pub(crate) epoch: u32,
    pub(crate) start: u64,
}

/// Reads an offset checkpoint. The entries have no order; the last one of a partition counts.
pub(crate) fn parse_offsets(file: &[u8]) -> Result<Vec<PartitionOffset>, Malformed> {
    parse(file, |fields| {
        let topic = field(fields)?.to_owned();
        let partition = u32::try_from(number::<i32>(fields)?);
        let partition = partition.map_err(|_| Malformed("a partition of a checkpoint is negative"))?;
        Ok(PartitionOffset { topic, partition, offset: offset(fields)? })
    })
}

pub(crate) fn encode_offsets(entries: &[PartitionOffset]) -> String {
    let mut text = head(entries.len());
    for PartitionOffset { topic, partition, offset } in entries {
        let _ = writeln!(text, "{topic} {partition} {offset}");
    }
    text
}

/// Reads a leader epoch checkpoint. Epochs and starts ascend.
pub(crate) fn parse_epochs(file: &[u8]) -> Result<Vec<EpochStart>, Malformed> {
    let entries = parse(file, |fields| {
        let epoch = u32::try_from(number::<i32>(fields)?);
        let epoch = epoch.map_err(|_| Malformed("an epoch of a checkpoint is negative"))?;
        Ok(EpochStart { epoch, start: offset(fields)? })
    })?;
    if entries.is_sorted_by(|before, after| before.epoch < after.epoch && before.start < after.start) {
        Ok(entries)
    } else {
        Err(Malformed("the epochs of a checkpoint or their offsets do not ascend"))
    }
}

pub(crate) fn encode_epochs(entries: &[EpochStart]) -> String {
    let mut text = head(entries.len());
    for EpochStart { epoch, start } in entries {
        let _ = writeln!(text, "{epoch} {start}");
    }
    text
}

fn head(entries: usize) -> String {
    format!("0\n{entries}\n")
}

fn parse<T>(
    file: &[u8],
    entry: impl Fn(&mut SplitAsciiWhitespace<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    if file.is_empty() {
        return Ok(Vec::new());
    }
    let text = str::from_utf8(file).map_err(|_| Malformed("a checkpoint is not UTF-8"))?;
    if !text.ends_with('\n') {
        return Err(Malformed("a checkpoint does not end in a newline"));
    }
    let mut lines = text.lines();
    match lone_number(&mut lines)? {
        0 => {}
        1.. => return Err(Malformed::NEWER_CHECKPOINT),
        _ => return Err(Malformed("a checkpoint has a negative version")),
    }
    let count = lone_number(&mut lines)?;
    let entries = lines
        .map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let entry = entry(&mut fields)?;
            end(&mut fields)?;
            Ok(entry)
        })
        .collect::<Result<Vec<_>, _>>()?;
    if usize::try_from(count) == Ok(entries.len()) {
        Ok(entries)
    } else {
        Err(Malformed("a checkpoint does not have as many entries as it says"))
    }
}

fn lone_number(lines: &mut Lines<'_>) -> Result<i64, Malformed> {
    let line = lines.next().ok_or(Malformed("a checkpoint lacks its version or its count"))?;
    let mut fields = line.split_ascii_whitespace();
    let number = number(&mut fields)?;
    end(&mut fields)?;
    Ok(number)
}

fn field<'a>(fields: &mut SplitAsciiWhitespace<'a>) -> Result<&'a str, Malformed> {
    fields.next().ok_or(Malformed("a line of a checkpoint has too few fields"))
}

fn number<T: FromStr>(fields: &mut SplitAsciiWhitespace<'_>) -> Result<T, Malformed> {
    field(fields)?.parse().map_err(|_| Malformed("a field of a checkpoint is not a number"))
}

fn offset(fields: &mut SplitAsciiWhitespace<'_>) -> Result<u64, Malformed> {
    u64::try_from(number::<i64>(fields)?).map_err(|_| Malformed("an offset of a checkpoint is negative"))
}

fn end(fields: &mut SplitAsciiWhitespace<'_>) -> Result<(), Malformed> {
    match fields.next() {
        None => Ok(()),
        Some(_) => Err(Malformed("a line of a checkpoint has too many fields")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::tests::vectors_named;

    #[test]
    #[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
    fn offset_checkpoints_of_brokers_come_back_byte_for_byte() {
        for (path, file) in vectors_named(&[
            "recovery-point-offset-checkpoint",
            "replication-offset-checkpoint",
            "log-start-offset-checkpoint",
            "cleaner-offset-checkpoint",
        ]) {
            let entries = parse_offsets(&file).unwrap();
            assert_eq!(encode_offsets(&entries).as_bytes(), file, "{}", path.display());
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "goes through all the vectors, which takes Miri minutes")]
    fn epoch_checkpoints_of_brokers_come_back_byte_for_byte() {
        for (path, file) in vectors_named(&["leader-epoch-checkpoint"]) {
            let entries = parse_epochs(&file).unwrap();
            assert_eq!(encode_epochs(&entries).as_bytes(), file, "{}", path.display());
        }
    }

    #[test]
    fn fields_are_read() {
        let orders = PartitionOffset { topic: "orders".into(), partition: 1, offset: i64::MAX as u64 };
        assert_eq!(parse_offsets(b"0\n1\norders\t1  9223372036854775807\r\n").unwrap(), [orders]);
        let epochs = [EpochStart { epoch: 0, start: 0 }, EpochStart { epoch: 2, start: 5 }];
        assert_eq!(parse_epochs(b"0\n2\n0 0\n2 5\n").unwrap(), epochs);
        assert!(parse_offsets(b"").unwrap().is_empty());
        assert!(parse_epochs(b"0\n0\n").unwrap().is_empty());
    }

    #[test]
    fn every_cut_of_a_file_is_refused() {
        let file = b"0\n2\norders 0 300\norders 1 11\n";
        for cut in 1..file.len() {
            assert!(parse_offsets(&file[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let offsets = |text: &str| parse_offsets(text.as_bytes()).unwrap_err().0;
        assert_eq!(offsets("1\n0\n"), Malformed::NEWER_CHECKPOINT.0);
        assert_eq!(offsets("-1\n0\n"), "a checkpoint has a negative version");
        assert_eq!(offsets("0\n"), "a checkpoint lacks its version or its count");
        assert_eq!(offsets("0\n-1\n"), "a checkpoint does not have as many entries as it says");
        assert_eq!(
            offsets("0\n99999999999\na 0 0\n"),
            "a checkpoint does not have as many entries as it says"
        );
        assert_eq!(offsets("0\n1\na 0\n"), "a line of a checkpoint has too few fields");
        assert_eq!(offsets("0\n1\na 0 0 0\n"), "a line of a checkpoint has too many fields");
        assert_eq!(offsets("0\n1\na b 0\n"), "a field of a checkpoint is not a number");
        assert_eq!(offsets("0\n1\na -1 0\n"), "a partition of a checkpoint is negative");
        assert_eq!(offsets("0\n1\na 0 -1\n"), "an offset of a checkpoint is negative");

        let epochs = |text: &str| parse_epochs(text.as_bytes()).unwrap_err().0;
        let order = "the epochs of a checkpoint or their offsets do not ascend";
        assert_eq!(epochs("0\n2\n1 0\n1 5\n"), order);
        assert_eq!(epochs("0\n2\n1 5\n2 5\n"), order);
        assert_eq!(epochs("0\n1\n-1 5\n"), "an epoch of a checkpoint is negative");
    }

    proptest! {
        #![proptest_config(crate::fuzzing::properties())]
        #[test]
        #[cfg_attr(miri, ignore = "compiles a regular expression for its strings, which takes Miri minutes")]
        fn offsets_come_back(
            rows in prop::collection::vec(("[a-z._-]{1,9}", 0..1000_u32, 0..=i64::MAX), 0..9),
        ) {
            let entries: Vec<_> = rows
                .into_iter()
                .map(|(topic, partition, offset)| {
                    PartitionOffset { topic, partition, offset: offset.cast_unsigned() }
                })
                .collect();
            prop_assert_eq!(parse_offsets(encode_offsets(&entries).as_bytes()), Ok(entries));
        }

        #[test]
        fn epochs_come_back(steps in prop::collection::vec((1..1000_u32, 1..1_u64 << 40), 0..9)) {
            let (mut epoch, mut start) = (0, 0);
            let entries: Vec<_> = steps
                .into_iter()
                .map(|(epochs, offsets)| {
                    (epoch, start) = (epoch + epochs, start + offsets);
                    EpochStart { epoch, start }
                })
                .collect();
            prop_assert_eq!(parse_epochs(encode_epochs(&entries).as_bytes()), Ok(entries));
        }

        #[test]
        #[cfg_attr(miri, ignore = "compiles a regular expression for its strings, which takes Miri minutes")]
        fn garbage_is_refused_or_read(
            bytes: Vec<u8>,
            text in "(0\n)?[0-9]\n([a-z]{0,2} ?[0-9-]{0,3} ?[0-9]{0,22}\n?){0,4}",
        ) {
            for file in [&bytes[..], text.as_bytes()] {
                let _ = parse_offsets(file);
                let _ = parse_epochs(file);
            }
        }
    }
}
