//! Files and parts of files that are not there: what is left is read right, and what is missing is reported.

use std::path::Path;
use std::time::Duration;

use crate::common::segments::{
    self, Answer, Case, How, cases, closed_cases, in_memory, make, stored_answers,
};
use stratalog::inspect::{ProblemKind, VerifyOptions, verify};
use stratalog::{Error, Event, EventLog, Maintenance, PartitionRecovery, TopicPartition};

fn open(dir: &Path) -> EventLog {
    EventLog::options().maintenance(Maintenance::Manual).open(dir).unwrap()
}

/// What a reader gets of a partition that begins at its start, and continues after damage where the error says so.
struct ReadThrough {
    offsets: Vec<u64>,
    /// The first offset of each damage, where to continue, and the words.
    damage: Vec<(u64, Option<u64>, String)>,
}

fn read_through(log: &EventLog, of: &TopicPartition) -> ReadThrough {
    let mut found = ReadThrough { offsets: Vec::new(), damage: Vec::new() };
    let mut reader = log.standalone_consumer().unwrap();
    reader.assign([of.clone()]).unwrap();
    loop {
        match reader.poll(Duration::ZERO) {
            Ok(records) if records.is_empty() => return found,
            Ok(records) => {
                for record in &records {
                    assert_eq!(record.value(), Some(format!("{:>320}", record.offset()).as_bytes()));
                    found.offsets.push(record.offset());
                }
            }
            Err(Error::Corrupt(damage)) => {
                let resume_at = damage.resume_at();
                let at = damage.offset.as_ref().expect("an offset").offset();
                // Asked again, it says the same.
                let again = reader.poll(Duration::ZERO).expect_err("the same again");
                assert_eq!(again.to_string(), damage.to_string());
                found.damage.push((
                    at,
                    resume_at.as_ref().map(stratalog::Position::offset),
                    damage.to_string(),
                ));
                let Some(resume_at) = resume_at else { return found };
                reader.seek(resume_at).unwrap();
            }
            Err(other) => panic!("{other}"),
        }
    }
}

fn answer_of(log: &EventLog, of: &TopicPartition, offsets: Vec<u64>) -> Answer {
    let partition = log.topic(of.topic()).unwrap().partition(of.partition()).unwrap();
    let bounds = partition.offsets().unwrap();
    Answer::of(bounds.log_start, bounds.log_end, offsets)
}

/// The directory of all cases after an open that found no clean marker.
struct Recovered {
    log: EventLog,
    events: Vec<Event>,
    _dir: tempfile::TempDir,
}

impl Recovered {
    fn new(cases: &[Case]) -> Self {
        let dir = in_memory();
        make(dir.path(), cases);
        let log = open(dir.path());
        let listener = log.events();
        let events = std::iter::from_fn(|| listener.try_next()).collect();
        Self { log, events, _dir: dir }
    }

    fn report_of(&self, of: &TopicPartition) -> Option<&PartitionRecovery> {
        self.log.recovery().partitions.iter().find(|found| found.partition == *of)
    }

    /// Why the partition cannot be used.
    fn refusal_of(&self, case: &Case) -> Option<&Error> {
        let directory = format!("{}-{}", case.topic, case.partition);
        self.log.recovery().failed.iter().find(|failure| failure.to_string().contains(&directory))
    }

    fn reported_missing(&self, of: &TopicPartition) -> Vec<(std::ops::Range<u64>, bool)> {
        let reported = self.events.iter().filter_map(|event| match event {
            Event::RecordsMissing { partition, offsets, maybe_compacted } if partition == of => {
                Some((offsets.clone(), *maybe_compacted))
            }
            _ => None,
        });
        reported.collect()
    }
}

fn of(case: &Case) -> TopicPartition {
    (case.topic, case.partition).into()
}

/// The end of the log is gone, and the recovery point proves that it was on disk: a broker would give its offsets
/// to other records.
fn loses_a_durable_end(case: &Case) -> bool {
    case.base + segments::SEGMENT == segments::END
        && case.recovery_point.is_some_and(|point| case.gone().start < point)
}

/// Asserts that a reader is stopped at what is lost, once, and that opening reported it. Returns what else is read.
fn assert_loss_is_reported(opened: &Recovered, case: &Case) -> Vec<u64> {
    let (of, gone) = (of(case), case.gone());
    let read = read_through(&opened.log, &of);
    let [(at, resume_at, words)] = &read.damage[..] else { panic!("{case}: {:?}", read.damage) };
    assert_eq!((*at, *resume_at), (gone.start, Some(gone.end)), "{case}: {words}");
    if case.how != How::Torn {
        let range = format!("the records from offset {} to {} are missing", gone.start, gone.end - 1);
        assert!(words.contains(&range), "{case}: {words}");
    }
    let report = opened.report_of(&of).unwrap_or_else(|| panic!("{case}"));
    let missing: Vec<_> =
        report.missing.iter().map(|one| (one.offsets.clone(), one.maybe_compacted)).collect();
    assert_eq!(missing, [(gone, false)], "{case}");
    assert_eq!(report.log_end, segments::END, "{case}");
    assert_eq!(opened.reported_missing(&of), missing, "{case}");
    read.offsets
}

#[test]
fn what_a_closed_log_has_lost_is_reported_by_the_open_the_reader_and_verify() {
    let cases = closed_cases();
    for read_only in [false, true] {
        let dir = in_memory();
        make(dir.path(), &cases);
        let mut problems = Vec::new();
        verify(dir.path(), VerifyOptions::new(), |problem| problems.push(problem.clone())).unwrap();
        let log = EventLog::options().maintenance(Maintenance::Manual).read_only(read_only);
        let log = log.open(dir.path()).unwrap();
        assert!(log.recovery().clean);
        let listener = log.events();
        let events = std::iter::from_fn(|| listener.try_next()).collect();
        let opened = Recovered { log, events, _dir: dir };
        for case in &cases {
            let directory = format!("{}-{}", case.topic, case.partition);
            let mut of_case = problems
                .iter()
                .filter(|problem| problem.path.iter().any(|part| part.to_str() == Some(&directory)));
            if loses_a_durable_end(case) {
                assert!(of_case.next().is_some(), "{case}");
                let refusal = opened.refusal_of(case).unwrap_or_else(|| panic!("{case}"));
                assert!(matches!(refusal, Error::Corrupt(_)), "{case}: {refusal}");
                continue;
            }
            let gone = case.gone();
            assert!(
                of_case.any(|problem| problem.kind == ProblemKind::Missing
                    && problem.offset == Some(gone.start)
                    && problem.reason.contains(&format!("{} to {}", gone.start, gone.end - 1))),
                "{case}: {problems:?}"
            );
            let read = assert_loss_is_reported(&opened, case);
            let expected: Vec<_> = (0..segments::END).filter(|offset| !gone.contains(offset)).collect();
            assert_eq!(read, expected, "{case}");
        }
    }
}

#[test]
fn a_compacted_partition_is_never_cut_at_a_gap_between_segments() {
    let cases: Vec<_> = cases().into_iter().filter(Case::is_compacted).collect();
    let answers = stored_answers(&segments::cases());
    let recovered = Recovered::new(&cases);
    for (case, kafka) in cases.iter().zip(answers) {
        let of = of(case);
        if loses_a_durable_end(case) {
            let refusal = recovered.refusal_of(case).unwrap_or_else(|| panic!("{case}"));
            assert!(matches!(refusal, Error::Corrupt(_)), "{case}: {refusal}");
            continue;
        }
        let read = read_through(&recovered.log, &of);
        // A batch that is torn below the recovery point is damage, which is never passed over in silence.
        let torn = case.how == How::Torn && case.recovery_point >= Some(case.base + segments::SEGMENT);
        assert_eq!(read.damage.len(), usize::from(torn), "{case}: {:?}", read.damage);
        assert_eq!(answer_of(&recovered.log, &of, read.offsets).to_string(), kafka, "{case}");
        let is_between = case.base > 0 || case.how != How::Missing;
        let was_cut = case.how == How::Torn && !torn;
        let is_gap = case.base < 30 && is_between && !was_cut && !torn;
        let unexplained = is_gap && case.cleaned.is_none();
        if unexplained && case.recovery_point.is_none_or(|point| point <= case.base) {
            let report = recovered.report_of(&of).unwrap_or_else(|| panic!("{case}"));
            let missing: Vec<_> =
                report.missing.iter().map(|one| (one.offsets.clone(), one.maybe_compacted)).collect();
            assert_eq!(missing, [(case.gone(), true)], "{case}");
            assert_eq!(recovered.reported_missing(&of), missing, "{case}");
        }
        // A compaction explains it, but not indexes that know of more than there is.
        if is_gap && case.cleaned.is_some() && case.how == How::Missing {
            assert_eq!(recovered.reported_missing(&of), [], "{case}");
        }
    }
}

#[test]
fn a_partition_that_was_never_compacted_is_cut_at_a_gap_above_its_recovery_point_alone() {
    let (all, answers) = (cases(), stored_answers(&cases()));
    let plain = all.iter().zip(answers).filter(|(case, _)| !case.is_compacted());
    let (cases, answers): (Vec<_>, Vec<_>) = plain.map(|(case, answer)| (*case, answer)).unzip();
    let recovered = Recovered::new(&cases);
    for (case, kafka) in cases.iter().zip(answers) {
        let of = of(case);
        let left = case.gone().start;
        let is_above = case.recovery_point.is_none_or(|point| point <= left);
        let is_front = case.base == 0 && case.how == How::Missing;
        if loses_a_durable_end(case) {
            let refusal = recovered.refusal_of(case).unwrap_or_else(|| panic!("{case}"));
            assert!(matches!(refusal, Error::Corrupt(_)), "{case}: {refusal}");
            continue;
        }
        if is_front || !is_above {
            // Nothing is cut: all that Kafka serves is read, and what it passes over is reported.
            let read = assert_loss_is_reported(&recovered, case);
            let answer = answer_of(&recovered.log, &of, read).to_string();
            let kafka = if is_front { kafka.replacen("10..", "0..", 1) } else { kafka };
            assert_eq!(answer, kafka, "{case}");
            continue;
        }
        let read = read_through(&recovered.log, &of);
        assert_eq!(read.damage, [], "{case}");
        let answer = answer_of(&recovered.log, &of, read.offsets).to_string();
        let prefix = Answer::of(0, left, 0..left).to_string();
        assert_eq!(answer, prefix, "{case}: Kafka serves {kafka}");
        // Each segment after the cut is kept, and each is reported.
        let after = (0..segments::END).step_by(10).filter(|base| *base > case.base);
        let names: Vec<_> = after.map(|base| format!("{base:020}.log.cut-whole")).collect();
        let report = recovered.report_of(&of);
        let kept = report.iter().flat_map(|report| &report.kept);
        let kept: Vec<_> =
            kept.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
        assert_eq!(kept, names, "{case}");
        let reported = recovered
            .events
            .iter()
            .filter(|event| matches!(event, Event::TruncatedBytesKept { partition, .. } if *partition == of));
        assert_eq!(reported.count(), names.len(), "{case}");
    }
}
