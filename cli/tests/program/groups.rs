use serde_json::{Value, json};
use stratalog::EventLog;

use crate::program::{Program, text};

/// Ten records in one partition, three of which a group has read.
fn filled() -> Program {
    let program = Program::with_topic("orders", 1);
    program.ok(&["produce", "--topic", "orders"], "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    let first =
        ["consume", "--topic", "orders", "--group", "billing", "--from-beginning", "--max-messages", "3"];
    assert_eq!(program.ok(&first, ""), "0\n1\n2\n");
    program
}

fn committed(program: &Program, group: &str) -> Value {
    let described = program.ok(&["groups", "--describe", "--group", group, "--json"], "");
    let described: Value = serde_json::from_str(&described).unwrap();
    described["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| json!([it["partition"], it["committed"], it["lag"]]))
        .collect()
}

#[test]
fn a_group_continues_where_it_has_left_off() {
    let program = filled();
    assert_eq!(committed(&program, "billing"), json!([[0, 3, 7]]));
    let rest = ["consume", "--topic", "orders", "--group", "billing", "--until-end"];
    assert_eq!(program.ok(&rest, ""), "3\n4\n5\n6\n7\n8\n9\n");
    assert_eq!(program.ok(&rest, ""), "");
    assert_eq!(committed(&program, "billing"), json!([[0, 10, 0]]));
    // A group that begins without --from-beginning begins at the end.
    let new = ["consume", "--include", "ord.*", "--group", "audit", "--until-end"];
    assert_eq!(program.ok(&new, ""), "");
    program.ok(&["produce", "--topic", "orders"], "new\n");
    assert_eq!(program.ok(&new, ""), "new\n");
    assert_eq!(program.ok(&["groups", "--list"], ""), "audit\nbilling\n");
}

#[test]
fn groups_are_described_in_kafkas_columns() {
    let program = filled();
    let assert = program.run(&["groups", "--describe", "--group", "billing"], "").success();
    let expected = "\n\
        GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID     HOST            CLIENT-ID\n\
        billing         orders          0          3               10              7               -               -               -\n";
    assert_eq!(text(&assert.get_output().stdout), expected);
    assert_eq!(text(&assert.get_output().stderr), "Consumer group 'billing' has no active members.\n");
    let state = program.ok(&["groups", "--describe", "--group", "billing", "--state"], "");
    let rows: Vec<Vec<&str>> = state.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["GROUP", "COORDINATOR", "(ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"]);
    assert_eq!(rows[2], ["billing", "-", "-", "Empty", "0"]);
    let members = program.ok(&["groups", "--describe", "--group", "billing", "--members"], "");
    assert_eq!(
        members.split_whitespace().collect::<Vec<_>>(),
        ["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS"]
    );
    let listed = program.ok(&["groups", "--list", "--state"], "");
    assert_eq!(listed.split_whitespace().collect::<Vec<_>>(), ["GROUP", "STATE", "billing", "Empty"]);
    let listed = program.ok(&["groups", "--list", "--json"], "");
    assert_eq!(listed, "{\"group\":\"billing\",\"state\":\"Empty\"}\n");
}

#[test]
fn offsets_are_reset_when_that_is_asked_for() {
    let program = filled();
    let reset = ["groups", "--reset-offsets", "--group", "billing"];
    for (to, expected) in [
        (&["--topic", "orders", "--to-earliest"][..], 0),
        (&["--topic", "orders:0", "--to-latest"], 10),
        (&["--all-topics", "--to-offset", "5"], 5),
        (&["--all-topics", "--to-offset", "50"], 10),
        (&["--all-topics", "--shift-by", "-4"], 6),
        (&["--all-topics", "--shift-by", "-40"], 0),
        (&["--all-topics", "--to-datetime", "2000-01-01T00:00:00.000"], 0),
        (&["--all-topics", "--to-datetime", "2200-01-01T00:00:00.000"], 10),
        (&["--all-topics", "--by-duration", "P1D"], 0),
        (&["--all-topics", "--to-current"], 0),
    ] {
        let before = committed(&program, "billing");
        let arguments = [&reset[..], to].concat();
        let table = format!(
            "\nGROUP           TOPIC           PARTITION  NEW-OFFSET\n{:<15} {:<15} {:<10} {expected}\n",
            "billing", "orders", 0
        );
        assert_eq!(program.ok(&[&arguments[..], &["--dry-run"]].concat(), ""), table, "{to:?}");
        let assert = program.run(&arguments, "").success();
        assert!(text(&assert.get_output().stderr).contains("nothing was done: without --execute"));
        assert_eq!(committed(&program, "billing"), before, "nothing is done by a dry run");
        assert_eq!(program.ok(&[&arguments[..], &["--execute"]].concat(), ""), table, "{to:?}");
        assert_eq!(committed(&program, "billing"), json!([[0, expected, 10 - expected]]));
    }
}

#[test]
fn offsets_go_out_and_in_as_lines() {
    let program = filled();
    let export =
        ["groups", "--reset-offsets", "--group", "billing", "--all-topics", "--to-current", "--export"];
    let lines = program.ok(&export, "");
    assert_eq!(lines, "orders,0,3\n");
    let import = ["groups", "--reset-offsets", "--group", "new", "--from-file", "-", "--execute"];
    program.ok(&import, &lines);
    assert_eq!(committed(&program, "new"), json!([[0, 3, 7]]));
    program.ok(&import, "\"new\",\"orders\",0,4\nother,orders,0,9\n");
    assert_eq!(committed(&program, "new"), json!([[0, 4, 6]]));
    let all = ["groups", "--reset-offsets", "--all-groups", "--all-topics", "--to-current", "--export"];
    assert_eq!(program.ok(&all, ""), "billing,orders,0,3\nnew,orders,0,4\n");
    for (lines, reason) in [
        ("orders,0\n", "line 1: \"orders,0\" is not topic,partition,offset"),
        ("orders,0,1\norders,x,1\n", "line 2: "),
        ("orders,0,-1\n", "line 1: "),
        ("orders,0,1\norders,0,2\n", "orders-0 is named twice"),
        ("bills,0,1\n", "topic \"bills\" does not exist"),
        ("orders,7,1\n", "partition \"orders-7\" does not exist"),
    ] {
        let reported = program.fails(1, &import, lines);
        assert!(reported.contains(reason), "{lines}: {reported}");
    }
    assert_eq!(committed(&program, "new"), json!([[0, 4, 6]]));
}

#[test]
fn a_file_that_fits_no_group_says_so_and_changes_nothing() {
    let program = filled();
    let reset = ["groups", "--reset-offsets", "--from-file", "-"];
    let of = |more: &[&'static str]| [&reset[..], more].concat();
    for (more, lines, reason) in [
        (
            &["--group", "billing"][..],
            "",
            "no line of the file is for group \"billing\"; nothing was changed",
        ),
        (&["--group", "billing"], "\n\n", "no line of the file is for group \"billing\""),
        (&["--group", "billing"], "audit,orders,0,1\n", "no line of the file is for group \"billing\""),
        (&["--all-groups"], "audit,orders,0,1\n", "no line of the file is for any group that exists"),
        (&["--all-groups"], "orders,0,1\n", "line 1 names no group"),
        (
            &["--group", "billing", "--group", "audit"],
            "billing,orders,0,1\n",
            "no line of the file is for group \"audit\"",
        ),
        (
            &["--group", "billing", "--group", "audit"],
            "billing,orders,0,1\norders,0,1\n",
            "line 2 names no group",
        ),
        (&["--group", "billing"], "\"billing,orders,0,1\n", "line 1: a quoted field has no end"),
        (
            &["--group", "billing", "--group", "audit"],
            "billing,orders,0,1\naudit,orders,7,1\n",
            "partition \"orders-7\" does not exist",
        ),
    ] {
        for run in ["--execute", "--dry-run", "--export"] {
            let reported = program.fails(1, &of(&[more, &[run]].concat()), lines);
            assert!(reported.contains(reason), "{more:?} {lines:?}: {reported}");
        }
        assert_eq!(committed(&program, "billing"), json!([[0, 3, 7]]), "{lines:?}");
    }
    let lines = "audit,orders,0,1\nbilling,orders,0,2\naudit,orders,0,9\n";
    let run = program.run(&of(&["--group", "billing", "--execute"]), lines).success();
    let reported = text(&run.get_output().stderr);
    assert!(
        reported.contains("2 lines are for groups that were not chosen and left out, the first is line 1"),
        "{reported}"
    );
    assert_eq!(committed(&program, "billing"), json!([[0, 2, 8]]));
}

#[test]
fn names_of_groups_go_out_and_in_quoted_as_in_rfc_4180() {
    let program = filled();
    let names = ["a,b", "say \"no\"", " blank ", "two\nlines"];
    let reset = ["groups", "--reset-offsets"];
    for (at, name) in names.iter().enumerate() {
        let to = at.to_string();
        let more = ["--group", name, "--topic", "orders", "--to-offset", &to, "--execute"];
        program.ok(&[&reset[..], &more].concat(), "");
    }
    let all = [&reset[..], &["--all-groups", "--all-topics", "--to-current", "--export"]].concat();
    let lines = program.ok(&all, "");
    let mut expected = [
        "\"a,b\",orders,0,0\n",
        "\"say \"\"no\"\"\",orders,0,1\n",
        "\" blank \",orders,0,2\n",
        "\"two\nlines\",orders,0,3\n",
        "billing,orders,0,3\n",
    ];
    expected.sort_by_key(|line| line.trim_start_matches('"'));
    assert_eq!(lines, expected.concat());
    let shift = ["--all-groups", "--all-topics", "--to-latest", "--execute"];
    program.ok(&[&reset[..], &shift].concat(), "");
    program.ok(&[&reset[..], &["--all-groups", "--from-file", "-", "--execute"]].concat(), &lines);
    assert_eq!(program.ok(&all, ""), lines);
    for name in &names {
        program.ok(&["groups", "--delete", "--group", name], "");
    }
    // The only group there is, but not the only one that was named: as with Kafka's tool it is in the line.
    assert_eq!(program.ok(&all, ""), "billing,orders,0,3\n");
}

#[test]
fn no_reset_puts_a_group_past_the_end() {
    let program = filled();
    let import = ["groups", "--reset-offsets", "--group", "new", "--from-file", "-", "--execute"];
    let assert = program.run(&import, "orders,0,50\n").success();
    let reported = text(&assert.get_output().stderr);
    assert!(
        reported.contains("offset 50 is outside orders-0, which holds 0 to 10: it becomes 10"),
        "{reported}"
    );
    assert_eq!(committed(&program, "new"), json!([[0, 10, 0]]));
}

#[test]
fn records_that_were_deleted_are_no_lag() {
    let program = filled();
    program.ok(&["delete-records", "--topic", "orders", "--partition", "0", "--before", "8"], "");
    assert_eq!(committed(&program, "billing"), json!([[0, 3, 2]]));
    let described = program.ok(&["groups", "--describe", "--group", "billing"], "");
    let row: Vec<&str> = described.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(row[..6], ["billing", "orders", "0", "3", "10", "2"]);
    let stats = program.ok(&["stats", "--once", "--interval", "0.01", "--json"], "");
    let stats: Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats["groups"], json!([{ "group": "billing", "lag": 2 }]));
}

#[test]
fn groups_and_their_offsets_are_deleted() {
    let program = filled();
    program.ok(&["consume", "--topic", "orders", "--group", "audit", "--until-end"], "");
    let offsets = ["groups", "--delete-offsets", "--group", "audit", "--topic", "orders"];
    assert_eq!(program.ok(&offsets, ""), "Deleted the committed offset of audit in orders-0.\n");
    assert_eq!(committed(&program, "audit"), json!([]));
    assert_eq!(committed(&program, "billing"), json!([[0, 3, 7]]));
    let delete = ["groups", "--delete", "--group", "billing", "--group"];
    let reported = program.fails(1, &[&delete[..], &["absent"]].concat(), "");
    assert!(reported.contains("group \"absent\" does not exist"), "{reported}");
    assert_eq!(
        program.ok(&["groups", "--list"], ""),
        "audit\nbilling\n",
        "nothing is deleted before all are found"
    );
    let deleted = program.ok(&[&delete[..], &["audit", "--group", "billing"]].concat(), "");
    let expected = ["billing", "audit"]
        .map(|name| format!("Deletion of requested consumer groups ('{name}') was successful.\n"));
    assert_eq!(deleted, expected.concat());
    assert_eq!(program.ok(&["groups", "--list"], ""), "");
    assert!(program.fails(1, &["groups", "--delete", "--group", "billing"], "").contains("does not exist"));
}

#[test]
fn wrong_values_are_named() {
    let program = filled();
    for (code, arguments, reason) in [
        (2, &["--describe"][..], "which group? give --group or --all-groups"),
        (1, &["--describe", "--group", "x"], "group \"x\" does not exist"),
        (2, &["--describe", "--group", "x", "--all-groups"], "cannot be used with"),
        (2, &["--list", "--describe"], "cannot be used with"),
        (2, &["--list", "--group", "x"], "cannot be used with"),
        (2, &["--reset-offsets", "--group", "x", "--topic", "orders"], "--to-earliest"),
        (
            2,
            &["--reset-offsets", "--group", "x", "--to-latest"],
            "which topics? give --topic or --all-topics",
        ),
        (
            2,
            &["--reset-offsets", "--group", "x", "--topic", "orders", "--to-latest", "--to-earliest"],
            "cannot be used with",
        ),
        (
            2,
            &[
                "--reset-offsets",
                "--group",
                "x",
                "--topic",
                "orders",
                "--to-latest",
                "--dry-run",
                "--execute",
            ],
            "cannot be used with",
        ),
        (
            2,
            &["--reset-offsets", "--group", "x", "--topic", "orders", "--to-datetime", "noon"],
            "give YYYY-MM-DDTHH:mm:ss.sss",
        ),
        (
            2,
            &["--reset-offsets", "--group", "x", "--topic", "orders", "--by-duration", "1h"],
            "give PnDTnHnMnS",
        ),
        (
            2,
            &["--reset-offsets", "--group", "x", "--topic", "orders:a", "--to-latest"],
            "names no partitions",
        ),
        (
            1,
            &["--reset-offsets", "--group", "x", "--topic", "bills", "--to-latest"],
            "topic \"bills\" does not exist",
        ),
        (
            1,
            &["--reset-offsets", "--group", "x", "--topic", "orders", "--shift-by", "1"],
            "nothing is committed of orders-0",
        ),
        (2, &["--describe", "--group", "billing", "--to-latest"], "belong to --reset-offsets"),
        (2, &["--list", "--members"], "belong to --describe"),
    ] {
        let reported = program.fails(code, &[&["groups"], arguments].concat(), "");
        assert!(reported.contains(reason), "{arguments:?}: {reported}");
    }
}

#[test]
fn a_group_is_not_joined_while_another_process_holds_the_directory() {
    let program = filled();
    let log = EventLog::open(program.log()).unwrap();
    let mut member = log.consumer("billing").unwrap();
    member.subscribe(["orders"]).unwrap();
    let assert =
        program.run(&["consume", "--topic", "orders", "--group", "billing", "--until-end"], "").success();
    assert_eq!(
        text(&assert.get_output().stdout),
        "3\n4\n5\n6\n7\n8\n9\n",
        "from where the group has left off"
    );
    let reported = text(&assert.get_output().stderr);
    assert!(
        reported.contains("holds the directory: group billing is not joined and nothing is committed"),
        "{reported}"
    );
    let assert = program.run(&["groups", "--describe", "--group", "billing"], "").success();
    assert!(text(&assert.get_output().stdout).contains(" 3               10              7 "));
    let reported = text(&assert.get_output().stderr);
    assert!(reported.contains("are known to the process that holds the directory"), "{reported}");
    let reported = program.fails(1, &["groups", "--delete", "--group", "billing"], "");
    assert!(reported.contains("is held by "), "{reported}");
    member.close().unwrap();
    log.close().unwrap();
}
