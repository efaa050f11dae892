//! `perf`: the layout, and that what is measured is what was asked for; never how fast.

use serde_json::Value;

use crate::program::Program;

/// Digits as `#`, so that layouts can be compared.
fn without_digits(text: &str) -> String {
    let mut last = ' ';
    let mut masked = String::new();
    for c in text.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }) {
        if c != '#' || last != '#' {
            masked.push(c);
        }
        last = c;
    }
    masked
}

#[test]
fn writing_is_measured_in_kafkas_layout() {
    let program = Program::with_topic("t", 1);
    let arguments = ["perf", "produce", "--topic", "t", "--num-records", "5000", "--record-size", "100"];
    let reported = program.ok(&[&arguments[..], &["--throughput", "-1"]].concat(), "");
    let first = reported.lines().next().unwrap();
    assert!(first.starts_with("5000 records sent, "), "{first}");
    let layout = "# records sent, #.# records/sec (#.# MB/sec), #.# ms avg latency, #.# ms max latency, \
                  # ms #th, # ms #th, # ms #th, # ms #.#th.";
    assert_eq!(without_digits(first), layout);
    assert!(reported.lines().nth(1).unwrap().starts_with("from send to acknowledgement: "), "{reported}");
    let pictured: u64 =
        reported.lines().skip(2).map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(pictured, 5000, "each record is in the picture: {reported}");

    let more = ["--sync", "--durability", "synced", "--producer-props", "acks=all", "linger.ms=1", "--json"];
    let mut arguments = arguments;
    arguments[5] = "20";
    let reported: Value = serde_json::from_str(&program.ok(&[&arguments[..], &more].concat(), "")).unwrap();
    assert_eq!((&reported["records"], &reported["bytes"]), (&20.into(), &2000.into()));
    assert!(reported["latencyMicros"]["99.9th"].as_f64().unwrap() > 0.0);
    assert_eq!(program.ok(&["offsets"], ""), "t:0:5020\n");
}

/// At most 20 records a second, of which none is in the log before the flush at the end: the first one took as long as it was
/// until the last one was due. Only how long at least is asserted.
#[test]
fn latency_is_from_send_to_acknowledgement() {
    for partitions in [1, 3] {
        let program = Program::with_topic("t", partitions);
        let slowly = [
            "perf",
            "produce",
            "--topic",
            "t",
            "--num-records",
            "3",
            "--record-size",
            "10",
            "--throughput",
            "20",
        ];
        let waiting =
            ["--producer-props", "linger.ms=600000", "batch.size=1000", "bootstrap.servers=x:1", "--json"];
        let reported: Value =
            serde_json::from_str(&program.ok(&[&slowly[..], &waiting].concat(), "")).unwrap();
        let latency = &reported["latencyMicros"];
        assert!(latency["max"].as_f64().unwrap() >= 90_000.0, "{reported}");
        assert_eq!(reported["records"], 3, "{reported}");
        // Those that are written at once do not wait for others.
        let at_once = [&slowly[..], &["--sync", "--json"]].concat();
        let reported: Value = serde_json::from_str(&program.ok(&at_once, "")).unwrap();
        assert!(
            reported["latencyMicros"]["50th"].as_f64().unwrap() < latency["max"].as_f64().unwrap(),
            "{reported}"
        );
    }
}

#[test]
fn every_record_is_acknowledged_once() {
    let program = Program::with_topic("t", 3);
    for more in [&[][..], &["--durability", "synced"], &["--durability", "1"], &["--sync"]] {
        let arguments =
            ["perf", "produce", "--topic", "t", "--num-records", "4000", "--record-size", "500", "--json"];
        let batches = ["--producer-props", "batch.size=20000"];
        let reported: Value =
            serde_json::from_str(&program.ok(&[&arguments[..], &batches, more].concat(), "")).unwrap();
        assert_eq!((&reported["records"], &reported["bytes"]), (&4000.into(), &2_000_000.into()), "{more:?}");
    }
}

#[test]
fn payloads_come_from_a_file() {
    let program = Program::with_topic("t", 1);
    let file = program.dir.path().join("payloads");
    std::fs::write(&file, "a\nbb\n").unwrap();
    let file = file.to_str().unwrap();
    program.ok(&["perf", "produce", "--topic", "t", "--num-records", "3", "--payload-file", file], "");
    assert_eq!(program.ok(&["consume", "--topic", "t", "--from-beginning", "--until-end"], ""), "a\nbb\na\n");
    let both = [
        "perf",
        "produce",
        "--topic",
        "t",
        "--num-records",
        "3",
        "--payload-file",
        file,
        "--record-size",
        "1",
    ];
    assert!(program.fails(2, &both, "").contains("cannot be used with"));
}

#[test]
fn reading_is_measured_in_kafkas_layout() {
    let program = Program::with_topic("t", 2);
    program.ok(&["produce", "--topic", "t"], &"0123456789abcdef\n".repeat(1000));
    let reported = program.ok(&["perf", "consume", "--topic", "t", "--num-records", "1000"], "");
    let lines: Vec<&str> = reported.lines().collect();
    assert_eq!(
        lines[0],
        "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, \
         fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"
    );
    let layout = "#-#-# #:#:#:#, #-#-# #:#:#:#, #.#, #.#, #, #.#, #, #, #.#, #.#";
    assert_eq!(without_digits(lines[1]), layout);
    let fields: Vec<&str> = lines[1].split(", ").collect();
    assert_eq!((fields[2], fields[4]), ("0.0153", "1000"));

    let short = ["perf", "consume", "--topic", "t", "--messages", "2000", "--timeout", "1", "--json"];
    let assert = program.run(&short, "").success();
    assert!(crate::program::text(&assert.get_output().stderr).contains("no record came for 1 ms"));
    let reported: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!((&reported["records"], &reported["bytes"]), (&1000.into(), &16_000.into()));
}

#[test]
fn handing_over_is_measured() {
    let program = Program::with_topic("t", 2);
    for wait in ["spin", "spin-then-park", "park"] {
        let reported =
            program.ok(&["perf", "end-to-end", "--topic", "t", "--num-records", "50", "--wait", wait], "");
        let lines: Vec<String> = reported.lines().map(without_digits).collect();
        assert_eq!(lines[0], "Avg latency: #.# ms");
        assert_eq!(lines[1], "Percentiles: #th = #.#, #th = #.#, #.#th = #.#");
        assert!(lines[2].starts_with("from send to poll: "), "{reported}");
    }
    // The first hundred are not counted, but sent.
    let reported = program.ok(&["offsets"], "");
    let sum: u64 =
        reported.lines().map(|line| line.rsplit(':').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sum, 450);
}

#[test]
fn wrong_values_are_named() {
    let program = Program::with_topic("t", 1);
    for (code, arguments, reason) in [
        (2, &["produce", "--topic", "t", "--num-records", "1"][..], "--record-size"),
        (2, &["produce", "--topic", "t", "--num-records", "1", "--record-size", "0"], "0 is not in"),
        (
            1,
            &["produce", "--topic", "x", "--num-records", "1", "--record-size", "1"],
            "topic \"x\" does not exist",
        ),
        (
            1,
            &["produce", "--topic", "t", "--num-records", "1", "--record-size", "9000000"],
            "but the limit is",
        ),
        (2, &["consume", "--topic", "t"], "--num-records"),
        (1, &["consume", "--topic", "x", "--num-records", "1"], "topic \"x\" does not exist"),
        (2, &["end-to-end", "--topic", "t", "--num-records", "0"], "0 is not in"),
    ] {
        let reported = program.fails(code, &[&["perf"], arguments].concat(), "");
        assert!(reported.contains(reason), "{arguments:?}: {reported}");
    }
}
