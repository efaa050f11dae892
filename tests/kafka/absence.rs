//! What a broker serves of partitions in which segments are empty, shortened or missing, as `tests/directories/absence.rs` has it.
//!
//! `STRATALOG_KAFKA=full` runs it; `STRATALOG_KAFKA=write` writes the answers anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::common::segments::{ANSWERS, Answer, cases, make, stored_answers};
use crate::reference::{Adoption, is_left_out_but_for, version};

#[test]
fn a_broker_serves_what_is_left_and_cuts_only_after_torn_batches() {
    if is_left_out_but_for(&["full", "write"]) {
        return;
    }
    let write = std::env::var_os("STRATALOG_KAFKA").is_some_and(|wanted| wanted == "write");
    let dir = tempfile::tempdir().unwrap();
    let cases = cases();
    make(dir.path(), &cases);
    let served = Adoption::new().quiet().of(dir.path());
    let mut offsets: BTreeMap<(String, u64), Vec<u64>> = BTreeMap::new();
    for record in &served.records {
        let of = (record["topic"].as_str().unwrap().to_owned(), record["partition"].as_u64().unwrap());
        offsets.entry(of).or_default().push(record["offset"].as_u64().unwrap());
    }
    let mut answers = Vec::new();
    for case in &cases {
        let topic = served.topics.iter().find(|topic| topic["topic"] == case.topic).unwrap();
        let partitions = topic["partitions"].as_array().unwrap();
        let partition = partitions.iter().find(|one| one["partition"] == case.partition).unwrap();
        let of = (case.topic.to_owned(), u64::from(case.partition));
        let bound = |name: &str| partition[name].as_u64().unwrap();
        let answer = Answer::of(bound("start"), bound("hw"), offsets.remove(&of).unwrap_or_default());
        answers.push(answer.to_string());
    }
    if write {
        let mut text = format!("# What Kafka {} serves of each case of `segments.rs`.\n", version());
        for (case, answer) in cases.iter().zip(&answers) {
            writeln!(text, "{case}: {answer}").unwrap();
        }
        std::fs::write(ANSWERS, text).unwrap();
    }
    assert_eq!(answers, stored_answers(&cases));
}
