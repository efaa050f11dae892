//! Lines with the properties of Kafka's reader, and the records that it makes of them: a table that the program is held
//! to, and that `tests/kafka/tools.rs` asks Kafka's own class about.

#![allow(dead_code, reason = "each suite uses its part of it")]

use std::time::Duration;

use stratalog::{ConsumerConfig, EventLog, RecordView, StartFrom};

use crate::program::Program;

/// Properties, input, and what comes of it: `key=value` for each record, `~` for null, headers in brackets; a `!` at the
/// end where the next line cannot be cut, and nothing but `refused` where the properties are no good.
type Case = (&'static [&'static str], &'static str, &'static str);

const KEY: &str = "parse.key=true";
const HEADERS: &str = "parse.headers=true";
const IGNORE: &str = "ignore.error=true";
const NIL: &str = "null.marker=NIL";

pub(crate) const CASES: &[Case] = &[
    (&[], "", ""),
    (&[], "a\tb", "~=a\tb"),
    (&[], "a\n\nb\n", "~=a ~= ~=b"),
    (&[], "a\r\nb\rc\r\r\nd", "~=a ~=b ~=c ~= ~=d"),
    (&["parse.key=false", "parse.headers=FALSE"], "a\tb", "~=a\tb"),
    // Keys.
    (&[KEY], "k\tv", "k=v"),
    (&["parse.key=TRUE"], "k\tv", "k=v"),
    (&["parse.key= True "], "k\tv", "k=v"),
    (&[KEY], "k\tv\tw\nk\t\n\tv\n\t", "k=v\tw k= =v ="),
    (&[KEY], "k\tv\nw\nk\tx", "k=v !"),
    (&[KEY], "", ""),
    (&[KEY], "\n", "!"),
    (&[KEY, "key.separator=::"], "a:b::c::d", "a:b=c::d"),
    (&[KEY, "key.separator=é"], "äéö", "ä=ö"),
    (&[KEY, "key.separator=="], "a=b", "a=b"),
    (&[KEY, "key.separator= "], "a  b", "a= b"),
    (&[KEY, "key.separator="], "ab\n", "=ab"),
    (&["key.separator=:"], "a:b", "~=a:b"),
    (&[KEY, "key.separator=:", "key.separator=;"], "a:b;c", "a:b=c"),
    // What is null.
    (&[NIL], "NIL\nNIL \nnil\n", "~=~ ~=NIL  ~=nil"),
    (&[KEY, NIL], "k\tNIL\nNIL\tv\nNIL\tNIL\nNIL\t\nkNIL\tNILv", "k=~ ~=v ~=~ ~= kNIL=NILv"),
    (&[KEY, "null.marker="], "\tv\nk\t\n\t\n", "~=v k=~ ~=~"),
    (&["null.marker="], "\n", "~=~"),
    // Headers.
    (&[HEADERS], "a:1\tv", "~=v[a:1]"),
    (&[HEADERS, KEY], "a:1,b:2\tk\tv", "k=v[a:1,b:2]"),
    (&[HEADERS, KEY], "a:1,a:2,a:1\tk\tv", "k=v[a:1,a:2,a:1]"),
    (&[HEADERS], "a:1:2,:3,b:\tv", "~=v[a:1:2,:3,b:]"),
    (&[HEADERS], "v", "!"),
    (&[HEADERS], "\tv", "!"),
    (&[HEADERS], "a\tv", "!"),
    (&[HEADERS], "a:1,b\tv", "!"),
    (&[HEADERS], ",a:1\tv", "!"),
    (&[HEADERS], "a:1,,b:2\tv", "!"),
    (&[HEADERS], "a:1,\tv", "~=v[a:1]"),
    (&[HEADERS], "a:1,,,\tv", "~=v[a:1]"),
    (&[HEADERS], ",\tv", "~=v"),
    (&[HEADERS], ",,\tv", "~=v"),
    (&[HEADERS, KEY], "a:1\tv", "!"),
    (&[HEADERS, "headers.delimiter=|", "headers.key.separator=="], "a=1,b=2|v", "~=v[a:1,b:2]"),
    (&[HEADERS, "headers.separator=;;"], "a:1;;b:2;c\tv", "~=v[a:1,b:2;c]"),
    // Between headers is an expression.
    (&[HEADERS, "headers.separator=[,;]"], "a:1,b:2;c:3\tv", "~=v[a:1,b:2,c:3]"),
    (&[HEADERS, "headers.separator=\\|"], "a:1|b:2\tv", "~=v[a:1,b:2]"),
    (&[HEADERS, "headers.separator=,+"], "a:1,,,b:2\tv", "~=v[a:1,b:2]"),
    (&[HEADERS, "headers.separator=."], "a:1\tv", "~=v"),
    (&[HEADERS, "headers.separator=|"], "a:1|b:2\tv", "!"),
    (&[HEADERS, "headers.separator=|", IGNORE], "a:\tv", "~=v[a:~,:]"),
    (&[HEADERS, "headers.separator=", IGNORE], "ab\tv", "~=v[a:~,b:~]"),
    (&[HEADERS, "headers.separator=("], "a:1\tv", "refused"),
    // What is null among headers.
    (&[HEADERS, NIL], "NIL\tv", "~=v"),
    (&[HEADERS, NIL], "a:NIL,b:2\tNIL", "~=~[a:~,b:2]"),
    (&[HEADERS, NIL], "NIL:1\tv", "!"),
    (&[HEADERS, NIL, IGNORE], "NIL:1\tv", "!"),
    (&[HEADERS, NIL, IGNORE], "NIL,a:1\tv", "~=v[NIL:~,a:1]"),
    (&[HEADERS, "null.marker="], "\tv", "~=v"),
    (&[HEADERS, "null.marker="], "a:\tv", "~=v[a:~]"),
    (&[HEADERS, KEY, NIL], "NIL\tNIL\tNIL", "~=~"),
    // Errors that are ignored.
    (&[KEY, IGNORE], "alone\nk\tv", "~=alone k=v"),
    (&[KEY, IGNORE, NIL], "NIL", "~=~"),
    (&[HEADERS, IGNORE], "alone", "~=alone"),
    (&[HEADERS, IGNORE], "a\tv", "~=v[a:~]"),
    (&[HEADERS, IGNORE], "\tv", "~=v[:~]"),
    (&[HEADERS, IGNORE], "a,b:1,\tv", "~=v[a:~,b:1]"),
    (&[HEADERS, KEY, IGNORE], "a:1\tv", "~=v[a:1]"),
    (&[HEADERS, KEY, IGNORE, "key.separator=;"], "k;v", "k=v"),
    (&[HEADERS, KEY, IGNORE, "headers.delimiter=|"], "a:1|v", "~=v[a:1]"),
    (&[IGNORE], "a\tb", "~=a\tb"),
    // Properties that cannot be distinguished.
    (&["headers.delimiter=,"], "v", "refused"),
    (&["headers.delimiter=:"], "v", "refused"),
    (&["headers.separator=:"], "v", "refused"),
    (&["headers.key.separator=,"], "v", "refused"),
    (&["headers.separator=;", "headers.key.separator=;"], "v", "refused"),
    (&["null.marker=\t"], "v", "refused"),
    (&["null.marker=,"], "v", "refused"),
    (&["null.marker=:"], "v", "refused"),
    (&["null.marker=X", "key.separator=X"], "v", "refused"),
    (&["null.marker=X", "headers.delimiter=X"], "v", "refused"),
    (&[HEADERS, KEY, "key.separator=,"], "a:1\tk,v", "k=v[a:1]"),
    (&[HEADERS, KEY, "key.separator=:"], "a:1\tk:v", "k=v[a:1]"),
];

/// What the program makes of each case.
pub(crate) fn ours() -> Vec<String> {
    let program = Program::new();
    let log = EventLog::open(program.log()).unwrap();
    for at in 0..CASES.len() {
        log.create_topic(&format!("t{at}"), stratalog::TopicConfig::new()).unwrap();
    }
    log.close().unwrap();
    let mut endings = Vec::new();
    for (at, (properties, input, _)) in CASES.iter().enumerate() {
        let topic = format!("t{at}");
        let mut arguments = vec!["produce", "--topic", &topic];
        properties.iter().for_each(|property| arguments.extend(["--property", *property]));
        let run = program.run(&arguments, input);
        endings.push(run.get_output().status.code().unwrap());
    }
    let log = EventLog::options().read_only(true).open(program.log()).unwrap();
    let shown = |(at, ending)| shown(&records(&log, &format!("t{at}")), ending);
    endings.into_iter().enumerate().map(shown).collect()
}

fn shown(records: &[String], ending: i32) -> String {
    match ending {
        2 => "refused".to_owned(),
        0 => records.join(" "),
        _ => [records, &["!".to_owned()]].concat().join(" "),
    }
}

fn records(log: &EventLog, topic: &str) -> Vec<String> {
    let mut consumer = log.consumer_with(ConsumerConfig::new().start_from(StartFrom::Beginning)).unwrap();
    consumer.assign(log.topic(topic).unwrap().partitions()).unwrap();
    let mut found = Vec::new();
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return found;
        }
        found.extend(records.iter().map(|record| one(&record)));
    }
}

fn one(record: &RecordView<'_>) -> String {
    let text = |bytes: Option<&[u8]>| {
        bytes.map_or_else(|| "~".into(), |it| String::from_utf8_lossy(it).into_owned())
    };
    let header = |header: stratalog::Header<'_>| format!("{}:{}", header.name(), text(header.value()));
    let headers: Vec<_> = record.headers().map(header).collect();
    let headers = if headers.is_empty() { String::new() } else { format!("[{}]", headers.join(",")) };
    format!("{}={}{headers}", text(record.key()), text(record.value()))
}

/// Says which cases differ.
pub(crate) fn assert_all(what: &str, found: &[String]) {
    let differ = CASES.iter().zip(found).filter(|((.., expected), found)| expected != found);
    let differ: Vec<_> = differ.map(|(case, found)| format!("{case:?}: {what}: {found:?}")).collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert_eq!(found.len(), CASES.len());
}
