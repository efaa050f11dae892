//! What we do not understand in a directory is kept as it is: after reading, writing, changing topics and closing.

use std::fs;
use std::path::Path;

use crate::common::{self, expected::Expected};
use crate::common::{crafted, names, recorded, tree};
use stratalog::{HandoverOptions, Record, TopicConfig};

/// Uses a directory in every way that changes something.
fn use_it(root: &Path) {
    let log = recorded().open(root).unwrap();
    let codecs = log.topic("codecs").unwrap();
    for partition in codecs.partitions() {
        log.producer().unwrap().send_batch(&partition, [Record::new("ours")]).unwrap();
    }
    log.create_topic("new", TopicConfig::new()).unwrap();
    log.topic("empty").unwrap().alter_config(|now| now.set("flush.ms", "5")).unwrap();
    codecs.add_partitions(5).unwrap();
    log.delete_topic("rolled").unwrap();
    log.run_maintenance().unwrap();
    log.handover(&HandoverOptions::new()).unwrap();
}

/// The content of every file below a directory.
fn content(root: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    tree(root).into_iter().map(|(path, (_, content))| (path, content)).collect()
}

fn log_of(root: &Path, partition: &str) -> Vec<u8> {
    crafted::segments(root, partition).iter().flat_map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn records_that_are_not_known_stay_in_their_logs() {
    for vector in ["clean-4.1", "killed-4.1"] {
        let dir = Expected::of_broker(vector).copy();
        let root = dir.path();
        // A metadata record of a kind, and a version, that is not known; a key of groups yet to be invented; the state of
        // a transaction in a version to come.
        crafted::append(root, "__cluster_metadata-0", None, Some(&[1, 99, 7, 1, 2, 3]));
        let in_use = |topic: &str| {
            let mut partitions = (0..9).map(|number| format!("{topic}-{number}"));
            partitions
                .find(|name| root.join(name).exists() && !crafted::segments(root, name).is_empty())
                .unwrap()
        };
        crafted::append(root, &in_use("__consumer_offsets"), Some(&[0, 77, 0, 1, b'g']), Some(&[0, 9, 1, 2]));
        crafted::append(root, &in_use("__transaction_state"), Some(&[0, 9, 1]), Some(&[9; 40]));
        crafted::crash(root);
        let internal: Vec<_> = names(root).into_iter().filter(|name| name.starts_with("__")).collect();
        // Only metadata is recovered by cutting: all of these end in complete batches.
        let before: Vec<_> = internal.iter().map(|name| log_of(root, name)).collect();
        use_it(root);
        use_it_again(root);
        for (name, before) in internal.iter().zip(&before) {
            let after = log_of(root, name);
            assert!(after.starts_with(before), "{vector}: {name}");
        }
        let metadata = log_of(root, "__cluster_metadata-0");
        let record = [1_u8, 99, 7, 1, 2, 3];
        assert!(metadata.windows(record.len()).any(|bytes| bytes == record));
    }
}

fn use_it_again(root: &Path) {
    let log = recorded().open(root).unwrap();
    assert!(log.recovery().clean);
    log.delete_topic("new").unwrap();
    log.close().unwrap();
}

/// Topics of Kafka's own of which we know nothing but that they are topics.
#[test]
fn internal_topics_of_other_kinds_are_topics() {
    let dir = Expected::of_broker("clean-4.1").copy();
    let root = dir.path();
    let log = recorded().open(root).unwrap();
    let made = log.create_topic("__thare_group_state", TopicConfig::new().partitions(2)).unwrap();
    log.producer().unwrap().send(&made, Record::new("of share groups").partition(1)).unwrap();
    log.close().unwrap();
    crafted::in_metadata(root, b"__thare_group_state", b"__share_group_state");
    for partition in [0, 1] {
        let to = root.join(format!("__share_group_state-{partition}"));
        let _ = fs::rename(root.join(format!("__thare_group_state-{partition}")), to);
    }
    let before = content(&root.join("__share_group_state-1"));
    use_it(root);
    use_it_again(root);
    assert_eq!(content(&root.join("__share_group_state-1")), before);
    let log = recorded().open(root).unwrap();
    let state = log.topic("__share_group_state").unwrap();
    assert_eq!(common::texts(&log, &state), ["of share groups"]);
    assert!(log.delete_topic("__share_group_state").is_err());
}

#[test]
fn directories_and_files_of_others_are_left_alone() {
    let dir = Expected::of_broker("clean-4.1").copy();
    let root = dir.path();
    let aside = "0123456789abcdef0123456789abcdef";
    let folders = [
        format!("codecs-0.{aside}-stray"),
        format!("unheard-of-0.{aside}-delete"),
        format!("tx-0.{aside}-future"),
        "unheard-of-3".to_owned(),
        "remote-log-index-cache".to_owned(),
    ];
    for folder in &folders {
        let folder = root.join(folder);
        fs::create_dir(&folder).unwrap();
        let metadata = "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAfAAQ";
        fs::write(folder.join("partition.metadata"), metadata).unwrap();
        fs::write(folder.join("00000000000000000000.log"), "the user's only copy").unwrap();
        fs::write(folder.join("note"), "keep me").unwrap();
    }
    let files = ["server.properties", "bootstrap.checkpoint", "codecs-0/note", "__cluster_metadata-0/note"];
    for file in files.iter().filter(|file| !root.join(file).exists()) {
        fs::write(root.join(file), "keep me too").unwrap();
    }
    fs::create_dir(root.join("codecs-0/folder")).unwrap();
    fs::write(root.join("codecs-0/folder/file"), "and me").unwrap();
    let kept = || {
        let folders = folders.iter().map(|folder| content(&root.join(folder)));
        let files = files.iter().map(|file| fs::read(root.join(file)).unwrap());
        (folders.collect::<Vec<_>>(), files.collect::<Vec<_>>(), content(&root.join("codecs-0/folder")))
    };
    let before = kept();
    use_it(root);
    use_it_again(root);
    assert_eq!(kept(), before);
}
