//! `handover`: a directory is made ready for a Kafka broker. Kafka has no counterpart.

use clap::Args;
use serde_json::{Value, json};
use stratalog::{HandoverOptions, HandoverReport, KafkaVersion};

use super::{Failure, Outcome, Output, Session, output};

const EXAMPLES: &str = "\
Examples:
  stratalog handover --dir data --kafka 4.1 --dry-run
  stratalog handover --dir data --kafka 4.1 > server.properties
  kafka-server-start.sh server.properties";

/// Make the directory ready for a Kafka broker, and print the server.properties to start it with.
///
/// Standard error reports what was done: transactions aborted that no coordinator would end, producer ids reserved, committed
/// offsets written again. What would keep the broker from starting is an error, and then nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Handover {
    /// The broker's version, such as 4.1.
    #[arg(long, value_name = "VERSION", default_value = "4.4", value_parser = version)]
    kafka: KafkaVersion,
    /// Where the broker listens for clients.
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9092", value_parser = address)]
    listener: Address,
    /// Where the controller listens, which is part of the broker.
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9093", value_parser = address)]
    controller: Address,
    /// The node.id that the broker is to have, if not the directory's.
    #[arg(long, value_name = "NUMBER")]
    node_id: Option<i32>,
    /// The cluster.id that the broker is to have, if not the directory's.
    #[arg(long, value_name = "ID")]
    cluster_id: Option<String>,
    /// Tell what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Host and port.
type Address = (String, u16);

fn version(text: &str) -> Result<KafkaVersion, String> {
    text.parse().map_err(|failure: stratalog::Error| failure.to_string())
}

fn address(text: &str) -> Result<Address, String> {
    let parsed = text.rsplit_once(':').and_then(|(host, port)| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some((host.to_owned(), port.parse().ok()?)).filter(|(host, _)| !host.is_empty())
    });
    parsed.ok_or_else(|| "give a host and a port, such as localhost:9092".to_owned())
}

pub(super) fn run(options: &Handover, session: &Session) -> Outcome {
    let ((host, port), (controller, controller_port)) = (&options.listener, &options.controller);
    let mut wanted = HandoverOptions::new()
        .kafka(options.kafka)
        .listener(host, *port)
        .controller(controller, *controller_port)
        .dry_run(options.dry_run);
    if let Some(id) = options.node_id {
        wanted = wanted.node_id(id);
    }
    if let Some(id) = &options.cluster_id {
        wanted = wanted.cluster_id(id.as_str());
    }
    let log = session.write()?;
    let report = log.handover(&wanted)?;
    if options.dry_run {
        log.close()?;
    }
    let mut out = Output::new();
    if session.json() {
        out.json(&as_json(&report))?;
        out.end()?;
    } else {
        let text = report.to_string();
        let reported = text.strip_suffix(&report.server_properties).unwrap_or(&text);
        reported.lines().filter(|line| !line.is_empty()).for_each(output::remark);
        out.whole(report.server_properties.as_bytes())?;
    }
    match report.obstacles.len() {
        0 => Ok(()),
        1 => Err(Failure::failed(format!("an obstacle keeps Kafka {} from starting", report.kafka))),
        count => Err(Failure::failed(format!("{count} obstacles keep Kafka {} from starting", report.kafka))),
    }
}

fn as_json(report: &HandoverReport) -> Value {
    let transactions = |of: &[stratalog::OngoingTransaction]| -> Vec<Value> {
        let each = of.iter().map(|one| {
            json!({
                "topic": one.partition.topic(), "partition": one.partition.partition(),
                "producerId": one.producer_id, "firstOffset": one.first_offset,
            })
        });
        each.collect()
    };
    let recommitted = report.recommitted.iter().map(|one| {
        let of = &one.partition;
        json!({ "group": one.group, "topic": of.topic(), "partition": of.partition() })
    });
    json!({
        "kafka": report.kafka.to_string(), "dryRun": report.dry_run,
        "aborted": transactions(&report.aborted), "leftToTheBroker": transactions(&report.left_to_the_broker),
        "nextProducerId": report.next_producer_id, "recommitted": recommitted.collect::<Vec<_>>(),
        "obstacles": report.obstacles.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "warnings": report.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "serverProperties": report.server_properties,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_and_ports() {
        assert_eq!(address("localhost:9092"), Ok(("localhost".to_owned(), 9092)));
        assert_eq!(address("[::1]:9092"), Ok(("::1".to_owned(), 9092)));
        for wrong in ["localhost", ":9092", "localhost:", "localhost:70000", ""] {
            assert!(address(wrong).unwrap_err().contains("give a host and a port"), "{wrong}");
        }
    }
}
