//! What Kafka's own tools print about a directory, and what the program prints about it.
//!
//! A broker takes over a copy of the directory, and Kafka's tools ask the broker.

use std::process::{Command, Stdio};

use crate::common;
use crate::cutting;
use serde_json::Value;
use stratalog::{Compression, EventLog, Position, ProducerConfig, Record, Timestamp, TopicConfig};

use crate::program::Program;
use crate::reference::{self, kafka_is_not_asked};

/// What Kafka's tools print for the same arguments.
fn kafka(program: &Program, commands: &[String]) -> Vec<String> {
    let out = program.dir.path().join("out");
    let script = common::root().join("tests/kafka/kafka-tools");
    let mut tools = Command::new(script);
    if std::env::var_os("KAFKA_TIMEOUT").is_none() {
        // Kafka may have to be fetched first.
        tools.env("KAFKA_TIMEOUT", "300");
    }
    let mut tools = tools.arg(program.log()).arg(&out).stdin(Stdio::piped()).spawn().unwrap();
    let input = commands.join("\n") + "\n";
    std::io::Write::write_all(&mut tools.stdin.take().unwrap(), input.as_bytes()).unwrap();
    assert!(tools.wait().unwrap().success());
    let read = |n: usize, what: &str| std::fs::read_to_string(out.join(format!("{n}.{what}"))).unwrap();
    let check = |n: usize| {
        assert_eq!(read(n, "exit"), "0\n", "{}: {}", commands[n - 1], read(n, "err"));
        read(n, "out")
    };
    (1..=commands.len()).map(check).collect()
}

fn fill(log: &EventLog) {
    let config =
        TopicConfig::new().partitions(3).set("retention.ms", "60000").set("cleanup.policy", "compact,delete");
    let orders = log.create_topic("orders", config).unwrap();
    log.create_topic("bills-of_all.kinds", TopicConfig::new().retention(None)).unwrap();
    let producer = log.producer_with(ProducerConfig::new().compression(Compression::Zstd)).unwrap();
    for n in 0..10_u32 {
        let (key, value) = (format!("key {n}"), format!("value\t{n} ü"));
        let at = Timestamp::from_millis(1_700_000_000_000 + i64::from(n) * 1000);
        let record = Record::new(&value).key(&key).partition(1).timestamp(at);
        let record = if n % 3 == 0 { record.header("n", &key).header("empty", "") } else { record };
        producer.send(&orders, record).unwrap();
    }
    let gone = Record::tombstone("key 0").partition(1).timestamp(Timestamp::from_millis(1_700_000_020_000));
    producer.send(&orders, gone).unwrap();
    orders.partition(1).unwrap().delete_records(2).unwrap();
    let mut billing = log.consumer("billing").unwrap();
    billing.subscribe(["orders"]).unwrap();
    let records = billing.poll(std::time::Duration::from_secs(10)).unwrap();
    billing.commit_to(records.iter().take(4).map(|record| record.next_position())).unwrap();
    billing.close().unwrap();
    // A group whose name has to be quoted in lines.
    log.group("a,\"b\"").unwrap().set_committed([Position::new(("orders", 1), 5)]).unwrap();
}

const ALL_COLUMNS: &str = "--property print.key=true --property print.timestamp=true --property print.offset=true \
                           --property print.partition=true --property print.headers=true";

#[test]
fn the_program_prints_what_kafkas_tools_print() {
    if kafka_is_not_asked() {
        return;
    }
    let program = Program::new();
    let log = EventLog::open(program.log()).unwrap();
    fill(&log);
    log.close().unwrap();
    let consume = "consume --topic orders --from-beginning --max-messages 9";
    let commands = [
        "topics --list --exclude-internal".to_owned(),
        "topics --describe --exclude-internal".to_owned(),
        "topics --describe --topic orders".to_owned(),
        "topics --describe --under-replicated-partitions".to_owned(),
        "topics --describe --unavailable-partitions".to_owned(),
        "topics --describe --topic orders --at-min-isr-partitions".to_owned(),
        consume.to_owned(),
        format!("{consume} {ALL_COLUMNS}"),
        format!(
            "{consume} --property print.key=TRUE --formatter \
             org.apache.kafka.tools.consumer.DefaultMessageFormatter"
        ),
        format!("{consume} --formatter org.apache.kafka.tools.consumer.NoOpMessageFormatter"),
        format!("{consume} --formatter org.apache.kafka.tools.consumer.LoggingMessageFormatter"),
        format!(
            "{consume} --property print.key=true --key-deserializer \
             org.apache.kafka.common.serialization.StringDeserializer --value-deserializer \
             org.apache.kafka.common.serialization.StringDeserializer"
        ),
        "consume --topic orders --partition 1 --offset 5 --max-messages 2 --property print.offset=true"
            .to_owned(),
        "offsets --exclude-internal-topics".to_owned(),
        "offsets --exclude-internal-topics --time earliest".to_owned(),
        "offsets --topic orders --time 1700000003500".to_owned(),
        "offsets --topic orders --time -3".to_owned(),
        "offsets --topic orders --time -4".to_owned(),
        "offsets --topic orders --time -5".to_owned(),
        "configs --entity-type topics --entity-name orders --describe".to_owned(),
        "configs --entity-type topics --entity-name orders --describe --all".to_owned(),
        "log-dirs --describe --topic-list orders".to_owned(),
        "groups --describe --group billing".to_owned(),
        "groups --describe --group billing --state".to_owned(),
        "groups --describe --group billing --members --verbose".to_owned(),
        "groups --describe --group billing --offsets --verbose".to_owned(),
        "groups --reset-offsets --group billing --topic orders:1 --to-datetime 2023-11-14T22:13:23.500 --dry-run".to_owned(),
        "groups --reset-offsets --group billing --all-topics --shift-by -2 --dry-run".to_owned(),
        "groups --reset-offsets --group billing --all-topics --to-current --export".to_owned(),
        "groups --reset-offsets --group a,\"b\" --all-topics --to-current --export".to_owned(),
        "groups --reset-offsets --group billing --group a,\"b\" --all-topics --to-current --export".to_owned(),
        "groups --list".to_owned(),
    ];
    let theirs = kafka(&program, &commands);
    for (command, theirs) in commands.iter().zip(theirs) {
        let ours = program.ok(&command.split_whitespace().collect::<Vec<_>>(), "");
        match command.split(' ').next().unwrap() {
            "configs" => assert_eq!(settings(&ours), settings(&theirs), "{command}"),
            "log-dirs" => assert_eq!(sizes(&ours), sizes(&theirs), "{command}"),
            // Consumers of theirs come and go while they are asked.
            "groups" if command.contains("--list") => {
                assert!(ours.lines().all(|line| theirs.lines().any(|other| other == line)), "{command}");
            }
            // Theirs come in no order.
            "groups" if command.contains("--export") => {
                assert_eq!(sorted(&ours), sorted(&theirs), "{command}");
            }
            "groups" => assert_eq!(fields(&ours), fields(&theirs), "{command}"),
            _ => assert_eq!(ours, theirs, "{command}"),
        }
        let nothing = ["--under-replicated", "--unavailable", "NoOp", "--time -5"];
        let is_nothing = nothing.iter().any(|option| command.contains(option));
        assert_eq!(ours.trim().is_empty(), is_nothing, "{command} prints {ours:?}");
    }
}

#[test]
fn lines_are_cut_as_kafkas_own_reader_cuts_them() {
    if kafka_is_not_asked() {
        return;
    }
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap();
    let hex =
        |text: &str| text.bytes().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect::<String>();
    let question = |(properties, input, _): &(&[&str], &str, &str)| {
        let words: Vec<_> = [input].into_iter().chain(properties.iter()).map(|word| hex(word)).collect();
        words.join(" ") + "\n"
    };
    let answers =
        reference::compute_with_tools("Lines.java", &cutting::CASES.iter().map(question).collect::<String>());
    let digits = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    let text = |line: &str| {
        let bytes: Vec<u8> = line.as_bytes().chunks(2).map(digits).collect();
        String::from_utf8(bytes).unwrap()
    };
    cutting::assert_all("Kafka", &answers.lines().map(text).collect::<Vec<_>>());
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.trim_end().lines().collect();
    lines.sort_unstable();
    lines
}

/// Cell by cell. There is no coordinator here: the columns that name a server are empty.
fn fields(table: &str) -> Vec<Vec<&str>> {
    fn cells(line: &str) -> Vec<&str> {
        let cells = line.split_whitespace().filter(|cell| *cell != "(1)");
        cells.map(|cell| if cell.starts_with("127.0.0.1:") { "-" } else { cell }).collect()
    }
    table.trim_end().lines().map(cells).collect()
}

/// The values. A broker also reports its own settings, and has some that are about copies elsewhere.
fn settings(text: &str) -> Vec<&str> {
    let elsewhere = ["replication.throttled", "remote.", "local.retention"];
    let ours = |line: &&str| !elsewhere.iter().any(|word| line.contains(word));
    text.lines().map(|line| line.split(" synonyms=").next().unwrap()).filter(ours).collect()
}

/// The partitions; the directory of the broker is another one.
fn sizes(text: &str) -> Value {
    let object: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let dirs = &object["brokers"][0]["logDirs"][0];
    assert!(dirs["error"].is_null() && object["version"] == 1);
    dirs["partitions"].clone()
}
