//! What a person sees: progress, a picture that is drawn over itself, colours; and nothing of it in a pipe.

use std::process::Command;

use rexpect::session::{PtySession, spawn_command};

use crate::program::Program;

const PATIENCE_MS: u64 = 30_000;

fn start(program: &Program, arguments: &[&str]) -> PtySession {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stratalog"));
    command.env("STRATALOG_DIR", program.log()).env("TERM", "xterm-256color").env_remove("NO_COLOR");
    spawn_command(
        {
            command.args(arguments);
            command
        },
        Some(PATIENCE_MS),
    )
    .unwrap()
}

fn ends_with(session: &mut PtySession, code: i32) -> String {
    let rest = session.exp_eof().unwrap();
    let status = session.process().wait().unwrap();
    let status = format!("{status:?}");
    assert!(status.starts_with("Exited") && status.ends_with(&format!(", {code})")), "{status}: {rest}");
    rest
}

#[test]
fn the_table_of_stats_is_drawn_over_itself_until_ctrl_c() {
    let program = Program::with_topic("orders", 2);
    let mut session = start(&program, &["stats", "--interval", "0.05"]);
    session.exp_string("RECORDS/S").unwrap();
    session.exp_string("orders").unwrap();
    // The way back to the first line, and the same table again.
    session.exp_string("\u{1b}[3A\r").unwrap();
    program.ok(&["produce", "--topic", "orders"], &"x\n".repeat(1234));
    session.exp_regex("orders +2 +1234 ").unwrap();
    // A full bar: it reads each byte as a character.
    session.exp_string("\u{e2}\u{96}\u{88}").unwrap();
    session.send_control('c').unwrap();
    let rest = ends_with(&mut session, 0);
    assert!(rest.contains("\u{1b}[?25h"), "the cursor is back: {rest:?}");
}

#[test]
fn what_lasts_shows_its_progress() {
    let program = Program::with_topic("t", 1);
    let slowly = [
        "perf",
        "produce",
        "--topic",
        "t",
        "--num-records",
        "1000",
        "--record-size",
        "10",
        "--throughput",
        "20",
    ];
    let mut session = start(&program, &slowly);
    session.exp_string("writing").unwrap();
    session.exp_regex("of 1,000.*/s").unwrap();
    session.send_control('c').unwrap();
    let rest = ends_with(&mut session, 0);
    assert!(rest.contains(" records sent, "), "{rest}");
}

#[test]
fn lines_are_typed_behind_a_prompt() {
    let program = Program::with_topic("t", 1);
    let mut session = start(&program, &["produce", "--topic", "t"]);
    session.exp_string(">").unwrap();
    session.send_line("typed").unwrap();
    session.exp_string(">").unwrap();
    let read = ["consume", "--topic", "t", "--from-beginning", "--max-messages", "1"];
    assert_eq!(program.ok(&read, ""), "typed\n", "it is there before the next line");
    session.send_control('c').unwrap();
    ends_with(&mut session, 0);
}

#[test]
fn errors_are_red_only_on_a_terminal() {
    let program = Program::with_topic("t", 1);
    let mut session = start(&program, &["consume", "--topic", "x"]);
    let told = ends_with(&mut session, 1);
    assert!(told.contains("\u{1b}[31m\u{1b}[1merror\u{1b}[0m: topic \"x\" does not exist"), "{told:?}");
    assert_eq!(program.fails(1, &["consume", "--topic", "x"], ""), "error: topic \"x\" does not exist\n");
}
