//! An audit trail: who did what, on whose behalf, kept for ever and safe from power loss.
//!
//! ```sh
//! cargo run --release --example audit_log
//! ```
//!
//! What is to be found again without parsing goes into headers; the body is whatever the program has.

use std::time::Duration;

use stratalog::{
    Durability, EventLog, Header, Producer, ProducerConfig, Record, RecordView, Topic, TopicConfig,
};

struct Action<'a> {
    who: &'a str,
    what: &'a str,
    on: &'a str,
    request: u64,
    detail: &'a str,
}

/// Returns when the action is on disk: only then is it carried out.
fn record(producer: &Producer, audit: &Topic, action: &Action<'_>) -> stratalog::Result<u64> {
    let request = action.request.to_be_bytes();
    let headers = [
        Header::new("who", action.who),
        Header::new("what", action.what),
        Header::new("request-id", &request),
        Header::new("content-type", "text/plain"),
    ];
    let sent = producer.send(audit, Record::new(action.detail).key(action.on).headers(&headers))?;
    Ok(sent.offset)
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "-".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn show(record: RecordView<'_>) {
    let request = record.header("request-id").and_then(|id| id.try_into().ok()).map_or(0, u64::from_be_bytes);
    let (who, what) = (text(record.header("who")), text(record.header("what")));
    println!(
        "  {}  {who:<6} {what:<8} {:<12} request {request:>4}  {}",
        record.offset(),
        text(record.key()),
        text(record.value())
    );
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let log = EventLog::open(dir.path())?;
    // For ever, and by the time the log took it in, not by the caller's clock.
    let config = TopicConfig::new().retention(None).set("message.timestamp.type", "LogAppendTime");
    let audit = log.ensure_topic("audit", config)?;
    let producer = log.producer_with(ProducerConfig::new().durability(Durability::Synced))?;

    let users = ["anna", "boris", "root"];
    for number in 0..60_u64 {
        let what = if number % 7 == 0 { "delete" } else { "read" };
        let on = format!("document-{}", number % 9);
        let who = users[usize::try_from(number % 3)?];
        let action = Action { who, what, on: &on, request: 1000 + number, detail: "through the web form" };
        record(&producer, &audit, &action)?;
    }
    let durable = audit.partition(0)?.offsets()?.durable;
    println!("60 actions recorded, {durable} of them on disk");
    assert_eq!(durable, 60);
    // The process ends without a word: nothing is flushed, nothing is closed.
    std::mem::forget((log, producer));

    println!("what was deleted, read from the files as they are:");
    let log = EventLog::open_read_only(dir.path())?;
    let mut reader = log.standalone_consumer()?;
    reader.assign(log.topic("audit")?.partitions())?;
    let (mut all, mut deleted) = (0, 0);
    loop {
        let records = reader.poll(Duration::ZERO)?;
        if records.is_empty() {
            break;
        }
        all += records.len();
        for record in records.iter().filter(|record| record.header("what") == Some(b"delete")) {
            show(record);
            deleted += 1;
        }
    }
    println!("{deleted} of {all} actions");
    assert_eq!((all, deleted), (60, 9));
    Ok(())
}
