//! What the program says about itself.

use crate::program::{Program, ended};

const COMMANDS: [&str; 20] = [
    "groups",
    "transactions",
    "topics",
    "produce",
    "consume",
    "configs",
    "offsets",
    "delete-records",
    "log-dirs",
    "handover",
    "stats",
    "perf",
    "dump",
    "verify",
    "export",
    "import",
    "mirror",
    "snapshot",
    "completions",
    "man",
];

#[test]
fn every_command_has_a_help_with_examples_and_a_manual_page() {
    let program = Program::new();
    let overview = program.ok(&["--help"], "");
    for command in COMMANDS {
        assert!(overview.contains(&format!("  {command} ")), "{command} is missing in {overview}");
        let help = program.ok(&[command, "--help"], "");
        assert!(help.contains("Examples:\n  "), "{help}");
        assert!(help.contains(&format!("stratalog {command}")), "{help}");
        let page = program.ok(&["man", command], "");
        assert!(page.contains(&format!(".TH stratalog-{command} 1")), "{page}");
    }
    assert!(program.ok(&["man"], "").contains(".SH SUBCOMMANDS"));
    assert!(program.ok(&["man", "perf", "end-to-end"], "").contains(".TH stratalog-perf-end-to-end 1"));
}

#[test]
fn shells_get_their_completions() {
    let program = Program::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let completions = program.ok(&["completions", shell], "");
        assert!(completions.contains("delete-records"), "{shell}");
    }
    assert!(program.fails(2, &["completions", "tcl"], "").contains("possible values: bash"));
}

#[test]
fn wrong_usage_is_distinguished_from_failure() {
    let program = Program::new();
    for (arguments, reason) in [
        (&["topik"][..], "unrecognized subcommand 'topik'"),
        (&["topics"], "required arguments were not provided"),
        (&["topics", "--create", "--delete", "--topic", "t"], "cannot be used with"),
        (&["topics", "--lst"], "similar argument exists: '--list'"),
        (&["topics", "--create"], "--topic"),
        (&["man", "woman"], "there is no command \"woman\""),
        (&["consume"], "required arguments were not provided"),
        (&["perf"], "Usage: stratalog perf"),
    ] {
        let reported = program.fails(2, arguments, "");
        assert!(reported.contains(reason), "{arguments:?}: {reported}");
    }
    for arguments in [&["topics", "--list"][..], &["consume", "--topic", "t"], &["produce", "--topic", "t"]] {
        let reported = program.fails(1, arguments, "");
        assert!(reported.contains("does not exist; `stratalog topics --create` makes it"), "{reported}");
        assert!(!program.log().exists(), "{arguments:?} made a directory");
    }
}

#[test]
fn the_directory_is_named_before_or_after_the_command_or_in_the_environment() {
    let program = Program::with_topic("t", 1);
    let dir = program.log().display().to_string();
    for arguments in [&["--dir", &dir, "topics", "--list"][..], &["topics", "--list", "--dir", &dir]] {
        let mut command = program.command(arguments);
        ended(command.env_remove("STRATALOG_DIR")).success().stdout("t\n");
        // What is named with the command counts.
        ended(command.env("STRATALOG_DIR", "/nowhere")).success().stdout("t\n");
    }
    let mut command = program.command(&["topics", "--list"]);
    let assert = ended(command.env_remove("STRATALOG_DIR")).code(2);
    let reported = crate::program::text(&assert.get_output().stderr);
    assert!(reported.contains("which directory? name it with --dir DIR, or in STRATALOG_DIR"), "{reported}");
}

#[test]
fn what_is_no_log_directory_is_left_alone() {
    let program = Program::new();
    std::fs::create_dir(program.log()).unwrap();
    let reported = program.fails(1, &["topics", "--list"], "");
    assert!(reported.contains("is no log directory: there is no meta.properties in it"), "{reported}");
    let reported = program.fails(1, &["produce", "--topic", "t"], "x\n");
    assert!(reported.contains("is no log directory"), "{reported}");
    assert_eq!(std::fs::read_dir(program.log()).unwrap().count(), 0);
    std::fs::remove_dir(program.log()).unwrap();
    std::fs::write(program.log(), "a file").unwrap();
    assert!(program.fails(1, &["topics", "--list"], "").contains("is no directory"));
}

#[test]
fn a_directory_of_a_newer_kafka_is_refused_with_a_reason() {
    let program = Program::with_topic("t", 1);
    let identity = program.log().join("meta.properties");
    let text = std::fs::read_to_string(&identity).unwrap();
    std::fs::write(&identity, text.replace("version=1", "version=9")).unwrap();
    for arguments in [&["topics", "--list"][..], &["produce", "--topic", "t"]] {
        let reported = program.fails(1, arguments, "x\n");
        assert!(
            reported.contains("meta.properties has a version above 1, which only a newer version reads"),
            "{reported}"
        );
    }
}

#[test]
fn a_command_for_kafka_can_be_pasted() {
    let program = Program::new();
    let words =
        "--create --topic orders --partitions 3 --replication-factor 1 --bootstrap-server localhost:9092";
    let mut arguments = vec!["topics"];
    arguments.extend(words.split(' '));
    let assert = program.run(&arguments, "").success().stdout("Created topic orders.\n");
    let reported = crate::program::text(&assert.get_output().stderr);
    assert!(reported.contains("there is no server"), "{reported}");
}
