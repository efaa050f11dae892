use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::process::{Child, ChildStdout};

use stratalog::{EventLog, Record, TopicConfig};

use crate::program::{Program, text};

fn lines(of: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(of.stdout.take().unwrap()).lines()
}

fn write(to: &mut Child, what: &str) {
    to.stdin.as_mut().unwrap().write_all(what.as_bytes()).unwrap();
}

/// What a process reported at its end, and that it ended well.
fn ended(mut process: Child, code: i32) -> String {
    let mut reported = String::new();
    process.stderr.take().unwrap().read_to_string(&mut reported).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(code), "{reported}");
    assert!(!reported.contains("panicked"), "{reported}");
    reported
}

#[cfg(unix)]
fn interrupt(process: &Child) {
    let id = process.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
}

const FOLLOW: [&str; 4] = ["consume", "--topic", "t", "--from-beginning"];

#[test]
fn one_process_tails_what_another_one_writes() {
    let program = Program::with_topic("t", 1);
    let mut writer = program.start(&["produce", "--topic", "t"]);
    let mut reader = program.start(&[&FOLLOW[..], &["--max-messages", "100"]].concat());
    let mut printed = lines(&mut reader);
    for n in 0..100 {
        write(&mut writer, &format!("line {n}\n"));
        // The writer's input stays open: what it was given is in the log, and shown, while it waits for more.
        assert_eq!(printed.next().unwrap().unwrap(), format!("line {n}"));
    }
    assert!(printed.next().is_none());
    assert_eq!(ended(reader, 0), "Processed a total of 100 messages\n");
    drop(writer.stdin.take());
    assert!(ended(writer, 0).starts_with("100 records, 790 bytes in "));
}

#[test]
fn topics_that_are_made_later_are_read() {
    let program = Program::with_topic("a-1", 1);
    let mut reader = program.start(&["consume", "--include", "a-.*", "--from-beginning"]);
    let mut printed = lines(&mut reader);
    program.ok(&["produce", "--topic", "a-1"], "one\n");
    assert_eq!(printed.next().unwrap().unwrap(), "one");
    program.ok(&["topics", "--create", "--topic", "a-2"], "");
    program.ok(&["produce", "--topic", "a-2"], "two\n");
    assert_eq!(printed.next().unwrap().unwrap(), "two");
    program.ok(&["topics", "--delete", "--topic", "a-1"], "");
    program.ok(&["produce", "--topic", "a-2"], "three\n");
    assert_eq!(printed.next().unwrap().unwrap(), "three");
    reader.kill().unwrap();
    reader.wait().unwrap();
}

#[test]
fn a_topic_is_deleted_while_it_is_read() {
    let program = Program::with_topic("t", 1);
    program.ok(&["produce", "--topic", "t"], "one\n");
    let mut reader = program.start(&FOLLOW);
    assert_eq!(lines(&mut reader).next().unwrap().unwrap(), "one");
    assert_eq!(program.ok(&["topics", "--delete", "--topic", "t"], ""), "Deleted topic t.\n");
    assert!(ended(reader, 1).contains("topic \"t\" does not exist"));
}

#[test]
fn a_writer_gets_the_name_of_the_holder_and_readers_are_not_in_the_way() {
    let program = Program::new();
    let log = EventLog::open(program.log()).unwrap();
    let topic = log.create_topic("t", TopicConfig::new()).unwrap();
    log.producer().unwrap().send(&topic, Record::new("held")).unwrap();
    for arguments in [
        &["topics", "--create", "--topic", "u"][..],
        &["topics", "--delete", "--topic", "t"],
        &["topics", "--alter", "--topic", "t", "--partitions", "2"],
        &["produce", "--topic", "t"],
        &["configs", "--topic", "t", "--alter", "--add-config", "retention.ms=1"],
        &["delete-records", "--topic", "t", "--partition", "0", "--before", "latest"],
        &["perf", "produce", "--topic", "t", "--num-records", "1", "--record-size", "1"],
        &["perf", "end-to-end", "--topic", "t"],
    ] {
        let reported = program.fails(1, arguments, "x\n");
        let by = if cfg!(target_os = "linux") {
            format!("process {}", std::process::id())
        } else {
            "process".into()
        };
        assert!(reported.contains("is held by ") && reported.contains(&by), "{reported}");
        assert!(reported.contains("commands that only read work beside it"), "{reported}");
    }
    assert_eq!(program.ok(&["topics", "--list"], ""), "t\n");
    assert_eq!(program.ok(&["offsets"], ""), "t:0:1\n");
    assert_eq!(program.ok(&[&FOLLOW[..], &["--until-end"]].concat(), ""), "held\n");
    for arguments in [
        &["topics", "--describe"][..],
        &["configs", "--describe"],
        &["log-dirs"],
        &["stats", "--once"],
        &["transactions", "--list"],
        &["transactions", "--find-hanging"],
    ] {
        program.ok(arguments, "");
    }
    program.ok(&["perf", "consume", "--topic", "t", "--num-records", "1"], "");
    log.close().unwrap();
}

#[test]
fn a_closed_pipe_ends_it_without_a_word() {
    let program = Program::with_topic("t", 1);
    program.ok(&["produce", "--topic", "t"], &"many bytes in each line\n".repeat(100_000));
    for arguments in [&FOLLOW[..], &["consume", "--topic", "t", "--from-beginning", "--json"]] {
        let mut reader = program.start(arguments);
        let mut printed = lines(&mut reader);
        assert!(printed.next().unwrap().unwrap().contains("many bytes in each line"));
        drop(printed);
        assert_eq!(ended(reader, 0), "");
    }
    for arguments in
        [&["topics", "--list"][..], &["man"], &["completions", "zsh"], &["stats", "--interval", "0.01"]]
    {
        let mut process = program.start(arguments);
        drop(process.stdout.take());
        assert_eq!(ended(process, 0), "", "{arguments:?}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_reader_in_order() {
    let program = Program::with_topic("t", 1);
    program.ok(&["produce", "--topic", "t"], "one\ntwo\n");
    let mut reader = program.start(&FOLLOW);
    let mut printed = lines(&mut reader);
    assert_eq!([printed.next(), printed.next()].map(|line| line.unwrap().unwrap()), ["one", "two"]);
    interrupt(&reader);
    assert!(printed.next().is_none());
    assert_eq!(ended(reader, 0), "Processed a total of 2 messages\n");
}

#[cfg(unix)]
#[test]
fn ctrl_c_commits_what_was_printed() {
    let program = Program::with_topic("t", 1);
    program.ok(&["produce", "--topic", "t"], "one\ntwo\n");
    let mut reader = program.start(&[&FOLLOW[..], &["--group", "g"]].concat());
    let mut printed = lines(&mut reader);
    assert_eq!([printed.next(), printed.next()].map(|line| line.unwrap().unwrap()), ["one", "two"]);
    interrupt(&reader);
    assert!(printed.next().is_none());
    assert_eq!(ended(reader, 0), "Processed a total of 2 messages\n");
    program.ok(&["produce", "--topic", "t"], "three\n");
    assert_eq!(program.ok(&["consume", "--topic", "t", "--group", "g", "--until-end"], ""), "three\n");
}

/// What was printed is committed, and what was not comes again: no line is lost, and none comes twice. A line is larger than
/// any pipe, so that the one after the last that was read cannot have been printed.
#[test]
fn a_closed_pipe_commits_what_was_printed_before() {
    const LINE: usize = 1_500_000;
    let program = Program::new();
    let create = ["topics", "--create", "--topic", "t", "--config", "max.message.bytes=2000000"];
    program.ok(&create, "");
    let line = |n: usize| format!("line {n} {}", "x".repeat(LINE));
    let all: String = (0..12).map(|n| line(n) + "\n").collect();
    program.ok(&["produce", "--topic", "t"], &all);
    let one_by_one = ["--group", "g", "--consumer-property", "max.poll.records=1"];
    let mut next = 0;
    for count in [1, 3, 5] {
        let mut reader = program.start(&[&FOLLOW[..], &one_by_one].concat());
        let mut printed = lines(&mut reader);
        for _ in 0..count {
            assert!(printed.next().unwrap().unwrap() == line(next), "another line than {next}");
            next += 1;
        }
        drop(printed);
        assert_eq!(ended(reader, 0), "");
    }
    let rest = program.ok(&["consume", "--topic", "t", "--group", "g", "--until-end"], "");
    let expected: String = (next..12).map(|n| line(n) + "\n").collect();
    assert!(rest == expected, "it begins again with {:?}", &rest[..8]);
}

/// Lines that were printed together are committed together, at least once.
#[test]
fn a_closed_pipe_loses_no_line_that_was_not_printed() {
    const COUNT: usize = 100_000;
    /// More than a pipe and the reader's buffer hold.
    const ON_THE_WAY: usize = (128 << 10) / "line 10000\n".len();
    let program = Program::with_topic("t", 1);
    let numbers: Vec<String> = (0..COUNT).map(|n| format!("line {n:05}\n")).collect();
    program.ok(&["produce", "--topic", "t"], &numbers.concat());
    let few = ["--group", "g", "--consumer-property", "max.poll.records=100"];
    let mut reader = program.start(&[&FOLLOW[..], &few].concat());
    let mut printed = lines(&mut reader);
    for n in 0..1000 {
        assert_eq!(printed.next().unwrap().unwrap(), format!("line {n:05}"));
    }
    drop(printed);
    assert_eq!(ended(reader, 0), "");
    let rest = program.ok(&["consume", "--topic", "t", "--group", "g", "--until-end"], "");
    let next: usize = rest.lines().next().unwrap().strip_prefix("line ").unwrap().parse().unwrap();
    // A poll of 100 that was not printed whole comes again.
    assert!((900..=1000 + ON_THE_WAY).contains(&next), "it begins again at {next}");
    assert!(rest.lines().eq(numbers[next..].iter().map(|line| line.trim_end())));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_writer_in_order_and_what_it_has_read_is_in_the_log() {
    let program = Program::with_topic("t", 1);
    let mut writer = program.start(&["produce", "--topic", "t"]);
    let mut reader = program.start(&FOLLOW);
    let mut printed = lines(&mut reader);
    write(&mut writer, "one\ntwo\nhalf");
    assert_eq!([printed.next(), printed.next()].map(|line| line.unwrap().unwrap()), ["one", "two"]);
    interrupt(&writer);
    assert!(ended(writer, 0).starts_with("2 records, 8 bytes in "));
    // It was closed cleanly: the next one has nothing to recover and finds all of it.
    assert!(program.log().join(".kafka_cleanshutdown").exists());
    let all = program.ok(&[&FOLLOW[..], &["--until-end"]].concat(), "");
    assert_eq!(all, "one\ntwo\n");
    interrupt(&reader);
    ended(reader, 0);
}

#[cfg(unix)]
#[test]
fn a_writer_that_is_killed_leaves_what_others_saw() {
    let program = Program::with_topic("t", 1);
    let mut writer = program.start(&["produce", "--topic", "t"]);
    let mut reader = program.start(&[&FOLLOW[..], &["--max-messages", "2"]].concat());
    write(&mut writer, "one\ntwo\n");
    assert_eq!(lines(&mut reader).map(Result::unwrap).collect::<Vec<_>>(), ["one", "two"]);
    ended(reader, 0);
    writer.kill().unwrap();
    writer.wait().unwrap();
    program.ok(&["produce", "--topic", "t"], "three\n");
    assert_eq!(program.ok(&[&FOLLOW[..], &["--until-end"]].concat(), ""), "one\ntwo\nthree\n");
}

#[test]
fn a_full_device_for_the_output_is_an_error() {
    let full = std::path::Path::new("/dev/full");
    if !full.exists() {
        eprintln!("skipped: there is no /dev/full here");
        return;
    }
    let program = Program::with_topic("t", 1);
    program.ok(&["produce", "--topic", "t"], "one\n");
    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_stratalog"));
    process.env("STRATALOG_DIR", program.log()).args(FOLLOW);
    let output = process.stdout(std::fs::File::create(full).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let reported = text(&output.stderr);
    assert_eq!(reported, "error: cannot write the output: No space left on device\n");
}
