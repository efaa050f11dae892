//! `snapshot`: a copy of the log as it is.

use stratalog::EventLog;

use crate::program::Program;

#[test]
fn a_snapshot_holds_what_there_is() {
    let program = Program::with_topic("orders", 2);
    program.ok(&["produce", "--topic", "orders"], "one\ntwo\nthree\n");
    let to = program.dir.path().join("monday");
    let to = to.to_str().unwrap();
    let printed = program.ok(&["snapshot", "--to", to], "");
    assert!(
        printed.contains("monday: 1 topic, 2 partitions\n") && printed.contains(" copied\n"),
        "{printed}"
    );
    let everything = |dir: &str| program.ok(&["export", "--dir", dir, "--internal"], "");
    assert_eq!(everything(to), everything(program.log().to_str().unwrap()));
    program.ok(&["verify", "--dir", to], "");
    assert!(EventLog::open(to).unwrap().recovery().clean);
    let again = format!("{to}-again");
    let printed = program.ok(&["--json", "snapshot", "--dir", to, "--to", &again], "");
    let line: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&line["topics"], &line["partitions"]), (&1.into(), &2.into()));
    assert!(
        line["bytesCopied"].as_u64().unwrap() > 0 && line["directory"].as_str().unwrap().ends_with("again")
    );
}

#[test]
fn a_place_that_will_not_do_is_named() {
    let program = Program::with_topic("orders", 1);
    let own = program.log();
    let reported = program.fails(1, &["snapshot", "--to", own.to_str().unwrap()], "");
    assert!(reported.contains("is the log itself; give a directory outside of it"), "{reported}");
    assert!(program.fails(2, &["snapshot"], "").contains("--to"));
    let reported = program.fails(1, &["snapshot", "--dir", "no-such", "--to", "x"], "");
    assert!(reported.contains("no-such does not exist"), "{reported}");
}

#[test]
fn who_holds_the_directory_is_reported_and_what_can_be_done() {
    let program = Program::with_topic("orders", 1);
    let log = EventLog::open(program.log()).unwrap();
    let to = program.dir.path().join("monday");
    let reported = program.fails(1, &["snapshot", "--to", to.to_str().unwrap()], "");
    assert!(
        reported.contains("is held by ") && reported.contains("have it call EventLog::snapshot_to"),
        "{reported}"
    );
    assert!(!to.exists());
    log.snapshot_to(&to).unwrap();
}
