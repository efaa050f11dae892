//! Opening a partition that was not closed: what survives, what is cut, what is refused.

use std::fs;

use super::fixture::{
    ANY, At, EXACT, Fixture, MAPPED, POSITIONED, STRIDE, TestRecord, append, append_numbered,
    assert_numbered, batch, batches_of, numbered, read,
};
use crate::error::Error;
use crate::format::header::{HEADER_BYTES, MAGIC};
use crate::position::Position;

/// A closed partition of one segment: batches of 3, 1, 2 and 4 records.
fn four_batches() -> (Fixture, Vec<u8>, Vec<At>) {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let log = fixture.open_new();
    for count in [3, 1, 2, 4] {
        append_numbered(&log, count, 20).unwrap();
    }
    log.close().unwrap();
    let file = fs::read(fixture.log_file(0)).unwrap();
    let batches = batches_of(&file, 0);
    (fixture, file, batches)
}

fn next_of(batch: &At) -> u64 {
    u64::try_from(batch.header.last_offset()).unwrap() + 1
}

/// A closed partition of several segments, with the base offset of each and how many records there are.
fn several_segments(fixture: &Fixture) -> (Vec<u64>, u64) {
    let log = fixture.open_new();
    for _ in 0..12 {
        append_numbered(&log, 5, 100).unwrap();
    }
    log.close().unwrap();
    let bases = fixture.bases();
    assert!(bases.len() >= 4, "{bases:?}");
    (bases, 60)
}

#[test]
fn a_log_cut_anywhere_keeps_exactly_its_complete_batches() {
    let (fixture, file, batches) = four_batches();
    let files = fixture.files();
    for length in (0..=file.len()).step_by(STRIDE) {
        fixture.restore(&files);
        fs::write(fixture.log_file(0), &file[..length]).unwrap();
        let whole = batches.iter().take_while(|batch| batch.position + batch.bytes <= length).last();
        let (end, next) = whole.map_or((0, 0), |last| (last.position + last.bytes, next_of(last)));

        // A batch begins with zeros, which are no loss.
        let torn = file[end..length].iter().any(|byte| *byte != 0);
        let lost = if torn { length - end } else { 0 };

        let log = fixture.open_unclean(0);
        let report = log.load().unwrap().unwrap();
        assert_eq!((report.log_end, report.bytes_truncated), (next, lost as u64), "{length}");
        assert_eq!(report.bytes_scanned, end as u64);
        assert!(report.kept.is_empty());
        assert_numbered(&log, 0..next, 20);
        if length % 16 == 0 {
            append_numbered(&log, 2, 20).unwrap();
            log.close().unwrap();
            fixture.check_closed();
            assert_numbered(&fixture.open_clean(next + 2), 0..next + 2, 20);
        }
    }
}

#[test]
fn zeros_after_the_last_batch_are_trimmed_and_no_loss() {
    let (fixture, file, _) = four_batches();
    for point in [0, 4, 10] {
        for zeros in [1, 17, 61, 5000, 2 << 20] {
            let mut longer = file.clone();
            longer.resize(file.len() + zeros, 0);
            fs::write(fixture.log_file(0), longer).unwrap();
            let log = fixture.open_unclean(point);
            let report = log.load().unwrap().unwrap();
            assert_eq!((report.log_end, report.bytes_truncated, report.kept), (10, 0, Vec::new()));
            assert_numbered(&log, 0..10, 20);
            log.close().unwrap();
            assert!(fs::read(fixture.log_file(0)).unwrap() == file);
        }
    }
}

#[test]
fn anything_else_after_the_last_batch_is_cut_and_reported() {
    let (fixture, file, _) = four_batches();
    for garbage in [&b"x"[..], &[0; 60], &[2; 200], &[0xff; 70]] {
        let mut longer = file.clone();
        longer.extend_from_slice(garbage);
        longer.extend_from_slice(b"end");
        fs::write(fixture.log_file(0), longer).unwrap();
        let log = fixture.open_unclean(10);
        let report = log.load().unwrap().unwrap();
        assert_eq!((report.log_end, report.bytes_truncated), (10, garbage.len() as u64 + 3));
        assert_numbered(&log, 0..10, 20);
        log.close().unwrap();
        assert!(fs::read(fixture.log_file(0)).unwrap() == file);
    }
}

/// Each bit of the header of the last batch: file, byte and how the log opens with this recovery point.
fn flips(point: u64, mut check: impl FnMut(usize, &Fixture, &[At], Result<u64, Error>)) {
    let (fixture, file, batches) = four_batches();
    let (files, last) = (fixture.files(), batches[3]);
    for byte in (0..HEADER_BYTES).step_by(STRIDE) {
        for bit in 0..8 {
            fixture.restore(&files);
            let mut flipped = file.clone();
            flipped[last.position + byte] ^= 1 << bit;
            fs::write(fixture.log_file(0), flipped).unwrap();
            let before = fixture.files();
            let log = fixture.open_unclean(point);
            let loaded = log.load().map(|report| report.unwrap().log_end);
            if loaded.is_err() {
                fixture.assert_files(&before);
            }
            check(byte, &fixture, &batches, loaded);
        }
    }
}

#[test]
fn a_flipped_header_after_the_recovery_point_cuts_that_batch() {
    for point in [0, 6] {
        flips(point, |byte, fixture, batches, loaded| {
            if let Err(Error::Unsupported(damage)) = &loaded {
                // It may be a batch of a format that comes later: nothing is cut.
                assert!(byte == MAGIC && damage.position == batches[3].position as u64, "{damage}");
                assert!(fs::read(fixture.log_file(0)).unwrap().len() > batches[3].position);
                return;
            }
            let end = loaded.unwrap();
            // The checksum covers neither the offset nor the epoch: a larger one can be right.
            let cut = end == 6 && fs::read(fixture.log_file(0)).unwrap().len() == batches[3].position;
            let legal = end > 10 && byte < 8 || end == 10 && (12..16).contains(&byte);
            assert!(cut || legal, "byte {byte}: ends at {end}");
            assert!(end < 1 << 31);
        });
    }
}

#[test]
fn a_flipped_header_below_the_recovery_point_is_damage_and_nothing_is_touched() {
    flips(10, |byte, fixture, batches, loaded| match loaded {
        Err(Error::Corrupt(damage)) => {
            assert_eq!(damage.path, fixture.log_file(0));
            assert_eq!(damage.position, batches[3].position as u64, "{damage}");
            assert_eq!(damage.offset.as_ref().map(Position::offset), Some(6), "{damage}");
        }
        Err(Error::Unsupported(damage)) => {
            assert!(byte == MAGIC && damage.position == batches[3].position as u64, "{damage}");
        }
        Ok(end) => {
            assert!(end > 10 && byte < 8 || end == 10 && (12..16).contains(&byte), "byte {byte}: {end}");
        }
        Err(other) => panic!("byte {byte}: {other}"),
    });
}

#[test]
fn a_hole_with_records_after_it_is_cut_but_kept_aside() {
    let (fixture, file, batches) = four_batches();
    let hole = batches[1];
    let mut holed = file.clone();
    holed[hole.position + 61..hole.position + hole.bytes].fill(0);
    fs::write(fixture.log_file(0), &holed).unwrap();
    let of_another_process = fs::File::open(fixture.log_file(0)).unwrap();
    // Where the system does not replace it, see `held`.
    let of_another_process = Some(of_another_process).filter(|_| fixture.replaces_open_files());
    let log = fixture.open_unclean(0);
    let report = log.load().unwrap().unwrap();
    assert_eq!((report.log_end, report.bytes_truncated), (3, (file.len() - hole.position) as u64));
    // A reader with maps of the file keeps all of it.
    if let Some(mut of_another_process) = of_another_process {
        let mut still = Vec::new();
        std::io::Read::read_to_end(&mut of_another_process, &mut still).unwrap();
        assert_eq!(still, holed);
    }
    assert_eq!(fs::read(&report.kept[0]).unwrap(), holed[hole.position..]);
    assert_numbered(&log, 0..3, 20);
    append_numbered(&log, 2, 20).unwrap();
    log.close().unwrap();
    fixture.check_closed();
    assert_numbered(&fixture.open_clean(5), 0..5, 20);
}

#[test]
fn what_an_earlier_incident_has_left_is_never_written_over() {
    let (fixture, file, batches) = four_batches();
    let hole = batches[1];
    let mut incidents: Vec<Vec<u8>> = Vec::new();
    for incident in 1..4_u8 {
        let mut holed = file.clone();
        holed[hole.position + 61..hole.position + hole.bytes].fill(incident);
        fs::write(fixture.log_file(0), &holed).unwrap();
        let log = fixture.open_unclean(0);
        let report = log.load().unwrap().unwrap();
        log.close().unwrap();
        incidents.push(holed[hole.position..].to_vec());
        assert_eq!(fs::read(&report.kept[0]).unwrap(), incidents[incidents.len() - 1]);
    }
    let mut kept: Vec<_> =
        fixture.files().into_iter().filter(|(name, _)| name.contains(".cut-at-")).collect();
    kept.sort();
    assert_eq!(kept.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), incidents);

    // The same of whole segments.
    let fixture = Fixture::new(POSITIONED, 2000);
    let (bases, _) = several_segments(&fixture);
    let files = fixture.files();
    for incident in 1..4_u8 {
        for base in &bases {
            fs::write(fixture.log_file(*base), &files[&format!("{base:020}.log")]).unwrap();
        }
        fs::write(fixture.log_file(bases[0]), []).unwrap();
        let aside = fixture.log_file(bases[1]);
        fs::write(&aside, [&fs::read(&aside).unwrap()[..], &[incident]].concat()).unwrap();
        let log = fixture.open_unclean(0);
        assert_eq!(log.load().unwrap().unwrap().kept.len(), bases.len() - 1);
    }
    let files = fixture.files();
    let prefix = format!("{:020}.log.cut-whole", bases[1]);
    let kept = files.iter().filter(|(name, _)| name.starts_with(&prefix));
    assert_eq!(kept.map(|(_, bytes)| bytes.last().copied()).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
}

#[test]
fn nothing_follows_a_cut_in_the_middle_and_what_did_is_kept_aside() {
    for modes in [POSITIONED, MAPPED] {
        let fixture = Fixture::new(modes, 2000);
        let (bases, _) = several_segments(&fixture);
        let path = fixture.log_file(bases[1]);
        let file = fs::read(&path).unwrap();
        let last = *batches_of(&file, bases[1]).last().unwrap();
        let files = fixture.files();
        for length in [last.position, last.position + 1, file.len() - 3, 0] {
            for zeros in [0, 4096] {
                fixture.restore(&files);
                let mut cut = file[..length].to_vec();
                cut.resize(length + zeros, 0);
                fs::write(&path, &cut).unwrap();
                let next =
                    if length == 0 { bases[1] } else { u64::try_from(last.header.base_offset).unwrap() };
                let log = fixture.open_unclean(bases[1]);
                let report = log.load().unwrap().unwrap();
                assert_eq!(report.log_end, next, "cut at {length} and {zeros} zeros");
                assert!(report.bytes_truncated > 0);
                assert_numbered(&log, 0..next, 100);
                append_numbered(&log, 3, 100).unwrap();
                log.close().unwrap();
                fixture.check_closed();
                let asides = bases[2..].iter().map(|base| format!("{base:020}.log.cut-whole"));
                let asides: Vec<_> = asides.map(|name| fixture.directory().join(name)).collect();
                assert_eq!(report.kept, asides, "each is reported");
                for (base, aside) in bases[2..].iter().zip(asides) {
                    assert!(fs::read(aside).unwrap() == files[&format!("{base:020}.log")]);
                }
                assert_numbered(&fixture.open_clean(next + 3), 0..next + 3, 100);
            }
        }
    }
}

#[test]
fn a_gap_that_a_compaction_left_is_kept() {
    let fixture = Fixture::new(POSITIONED, 2000);
    let (bases, end) = several_segments(&fixture);
    let path = fixture.log_file(bases[1]);
    let file = fs::read(&path).unwrap();
    let batches = batches_of(&file, bases[1]);
    // The first and the last batch are gone.
    fs::write(&path, &file[batches[1].position..batches.last().unwrap().position]).unwrap();
    let log = fixture.open_unclean(0);
    let report = log.load().unwrap().unwrap();
    assert_eq!((report.log_end, report.bytes_truncated), (end, 0));
    let offsets: Vec<_> = read(&log, 0, ANY).unwrap().into_iter().map(|(offset, _)| offset).collect();
    let (first, last) = (next_of(&batches[0]), batches.last().unwrap().header.base_offset.unsigned_abs());
    let expected: Vec<_> = (0..bases[1]).chain(first..last).chain(bases[2]..end).collect();
    assert_eq!(offsets, expected);
}

#[test]
fn every_recovery_point_gives_the_same_log() {
    for modes in [POSITIONED, MAPPED, EXACT] {
        let fixture = Fixture::new(modes, 2000);
        let (_, end) = several_segments(&fixture);
        let files = fixture.files();
        for point in (0..=end).step_by(STRIDE) {
            fixture.restore(&files);
            let log = fixture.open_unclean(point);
            assert_numbered(&log, 0..end, 100);
            assert_eq!(log.recovery_point(), Some(point));
            log.sync().unwrap();
            assert_eq!(log.recovery_point(), Some(end));
            log.close().unwrap();
            fixture.assert_files(&files);
        }
        fixture.restore(&files);
        let failure = fixture.open_unclean(end + 1).load().unwrap_err();
        assert!(matches!(failure, Error::Corrupt(_)), "{failure}");
        fixture.assert_files(&files);
    }
}

#[test]
fn a_recovery_point_at_the_end_of_an_unfinished_segment_does_not_vouch_for_it() {
    for modes in [POSITIONED, MAPPED, EXACT] {
        let mut fixture = Fixture::new(modes, 2000);
        fixture.finish_late();
        let log = fixture.open_new();
        append_numbered(&log, 5, 100).unwrap();
        while fixture.bases().len() < 2 {
            log.sync().unwrap();
            append_numbered(&log, 5, 100).unwrap();
        }
        let (point, end) = (log.recovery_point().unwrap(), log.bounds().unwrap().log_end);
        assert_eq!(point, fixture.bases()[1]);
        drop(log);
        fixture.context = crate::partition::PartitionContext::default();
        let log = fixture.open_unclean(point);
        assert_numbered(&log, 0..end, 100);
        log.close().unwrap();
        fixture.check_closed();
    }
}

#[test]
fn what_is_missing_below_the_recovery_point_is_damage() {
    let fixture = Fixture::new(POSITIONED, 2000);
    let unclean = |point| fixture.open_unclean(point).load();
    assert_eq!(unclean(0).unwrap().unwrap().log_end, 0, "an empty partition has no directory");
    assert!(matches!(unclean(1), Err(Error::Corrupt(_))), "no directory");
    let (bases, end) = several_segments(&fixture);
    fs::remove_file(fixture.log_file(*bases.last().unwrap())).unwrap();
    assert!(matches!(unclean(end), Err(Error::Corrupt(_))), "no last segment");
    for base in &bases[..bases.len() - 1] {
        fs::remove_file(fixture.log_file(*base)).unwrap();
    }
    assert!(matches!(unclean(end), Err(Error::Corrupt(_))), "no segment");
    assert!(matches!(fixture.open_clean(end).load(), Err(Error::Corrupt(_))), "no segment, closed cleanly");
}

#[test]
fn a_first_append_that_was_interrupted_is_begun_again() {
    let name = "partition.metadata";
    let metadata = format!("version: 0\ntopic_id: {}", Fixture::topic_id());
    for (left, content) in
        [(None, ""), (Some("partition.metadata.tmp"), "ver"), (Some(name), metadata.as_str())]
    {
        let fixture = Fixture::new(POSITIONED, 2000);
        fs::create_dir(fixture.directory()).unwrap();
        if let Some(left) = left {
            fs::write(fixture.directory().join(left), content).unwrap();
        }
        let log = fixture.open_unclean(0);
        append_numbered(&log, 3, 20).unwrap();
        log.close().unwrap();
        assert_eq!(fs::read_to_string(fixture.directory().join(name)).unwrap(), metadata);
        assert_numbered(&fixture.open_clean(3), 0..3, 20);
    }
}

#[test]
fn a_value_that_looks_like_a_batch_is_a_value() {
    let fixture = Fixture::new(POSITIONED, 1 << 20);
    let log = fixture.open_new();
    append_numbered(&log, 3, 20).unwrap();
    // An image of the batch that could comes after the one it is in.
    let mut image = batch(&[TestRecord::of("not appended")]);
    let image = image.finish().unwrap().placed_at(4, 0).to_vec();
    let record = TestRecord::of([&image[..], &image[..]].concat());
    append(&log, std::slice::from_ref(&record)).unwrap();
    drop(log);
    let file = fs::read(fixture.log_file(0)).unwrap();
    let log = fixture.open_unclean(0);
    assert_eq!(read(&log, 3, ANY).unwrap(), [(3, record)]);
    drop(log);
    // Torn before its end, the image is cut with it, but kept: it could have been a record.
    let end = file.iter().rposition(|byte| *byte != 0).unwrap();
    fs::write(fixture.log_file(0), &file[..end - 3]).unwrap();
    let log = fixture.open_unclean(3);
    let report = log.load().unwrap().unwrap();
    assert_eq!(report.log_end, 3);
    assert_eq!(report.kept.len(), 1);
    assert_eq!(read(&log, 0, ANY).unwrap(), (0..3).map(|at| (at, numbered(at, 20))).collect::<Vec<_>>());
}
