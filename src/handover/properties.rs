//! The `server.properties` to start a broker with on a directory.

use std::path::Path;
use std::sync::Arc;

use super::options::HandoverOptions;
use crate::config::topic_name::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use crate::directory::OpenDirectory;
use crate::error::Result;

/// One line of the file.
type Line = (&'static str, String);

pub(super) fn of(directory: &Arc<OpenDirectory>, options: &HandoverOptions) -> Result<String> {
    let catalog = directory.catalog()?;
    let node = catalog.identity().node_id;
    let (host, port) = &options.listener;
    let noted = catalog.voters().into_iter().find(|voter| voter.node_id == node);
    let noted = noted.and_then(|voter| voter.endpoints.into_iter().next());
    // A quorum that is noted in the directory has its address there; else the address is the file's to say.
    let (name, controller_host, controller_port, quorum) = if let Some((name, host, port)) = noted {
        let quorum = ("controller.quorum.bootstrap.servers", address(&host, port));
        (name, host, port, quorum)
    } else {
        let (host, port) = options.controller.clone();
        let quorum = ("controller.quorum.voters", format!("{node}@{}", address(&host, port)));
        ("CONTROLLER".to_owned(), host, port, quorum)
    };
    let controller = address(&controller_host, controller_port);
    let client = address(host, *port);
    let mut lines: Vec<Line> = vec![
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", node.to_string()),
        quorum,
        ("listeners", format!("PLAINTEXT://{client},{name}://{controller}")),
        ("advertised.listeners", format!("PLAINTEXT://{client}")),
        ("controller.listener.names", name.clone()),
        ("listener.security.protocol.map", format!("PLAINTEXT:PLAINTEXT,{name}:PLAINTEXT")),
        ("log.dirs", escaped(&plain(directory.root()))),
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("transaction.state.log.min.isr", "1".to_owned()),
    ];
    // A broker that makes them itself must find the number by which groups and transactions were placed.
    let internal = [
        (CONSUMER_OFFSETS, "offsets.topic.num.partitions"),
        (TRANSACTION_STATE, "transaction.state.log.num.partitions"),
    ];
    for (topic, setting) in internal {
        let count = catalog.topic(topic).map(|topic| topic.partitions().len());
        lines.extend(count.map(|count| (setting, count.to_string())));
    }
    if options.kafka.has_share_groups() {
        lines.push(("share.coordinator.state.topic.replication.factor", "1".to_owned()));
        lines.push(("share.coordinator.state.topic.min.isr", "1".to_owned()));
    }
    let mut text = format!("# Kafka {}, on a directory that stratalog has handed over\n", options.kafka);
    push(&mut text, lines);
    text.push_str("# What topics keep that do not say: as here. Kafka's own default is 7 days.\n");
    let kept = catalog.default_retention();
    let kept = vec![("log.retention.ms", kept.ms_text()), ("log.retention.bytes", kept.bytes_text())];
    push(&mut text, kept);
    Ok(text)
}

fn push(text: &mut String, lines: Vec<Line>) {
    for (name, value) in lines {
        text.push_str(name);
        text.push('=');
        text.push_str(&value);
        text.push('\n');
    }
}

/// Host and port, an IPv6 address in brackets.
fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A path as programs other than this one take it: Windows' own form of absolute paths begins with `\\?\`, which the JVM
/// does not read.
fn plain(path: &Path) -> String {
    let text = path.display().to_string();
    match (text.strip_prefix(r"\\?\UNC\"), text.strip_prefix(r"\\?\")) {
        (Some(share), _) => format!(r"\\{share}"),
        (None, Some(plain)) => plain.to_owned(),
        (None, None) => text,
    }
}

/// As the JVM reads a value: a backslash is doubled. A comma would begin another directory, and cannot be escaped.
fn escaped(path: &str) -> String {
    path.replace('\\', "\\\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_paths_are_written_as_the_jvm_reads_them() {
        assert_eq!(address("::1", 9092), "[::1]:9092");
        assert_eq!(address("localhost", 9092), "localhost:9092");
        assert_eq!(escaped(r"C:\data"), r"C:\\data");
        assert_eq!(plain(Path::new(r"\\?\C:\data")), r"C:\data");
        assert_eq!(plain(Path::new(r"\\?\UNC\host\data")), r"\\host\data");
        assert_eq!(plain(Path::new("/var/data")), "/var/data");
    }
}
