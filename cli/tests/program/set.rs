//! The directory of one node of a cluster: read by all commands, written only if that is said.

use std::fs;

use crate::program::Program;

#[test]
fn commands_that_write_want_a_word_where_others_have_a_part() {
    let program = Program::with_topic("t", 1);
    program.ok(&["produce", "--topic", "t"], "one\n");
    let state = r#"{"leaderId":-1,"leaderEpoch":3,"votedId":-1,"currentVoters":[{"voterId":1},{"voterId":2}],"data_version":0}"#;
    fs::write(program.log().join("__cluster_metadata-0").join("quorum-state"), state).unwrap();
    let source = Program::with_topic("t", 1);
    let (from, to) = (source.log().display().to_string(), program.log().display().to_string());
    for arguments in [
        &["produce", "--topic", "t"][..],
        &["topics", "--create", "--topic", "u"],
        &["consume", "--topic", "t", "--group", "g", "--timeout-ms", "0"],
        &["handover"],
        &["mirror", "--dir", &from, "--to", &to],
    ] {
        let reported = program.fails(1, arguments, "two\n");
        for word in
            ["the directory of node 1", "node 2", "--accept-data-loss", "commands that only read work"]
        {
            assert!(reported.contains(word), "{arguments:?}: {reported}");
        }
    }
    assert!(program.ok(&["topics", "--list"], "").contains("t\n"));
    assert_eq!(
        program.ok(&["consume", "--topic", "t", "--from-beginning", "--timeout-ms", "0"], ""),
        "one\n"
    );
    program.ok(&["produce", "--topic", "t", "--accept-data-loss"], "two\n");
    let read = ["consume", "--topic", "t", "--from-beginning", "--timeout-ms", "0"];
    assert_eq!(program.ok(&read, ""), "one\ntwo\n");
}
