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

/// Changes the size of the terminal, as a window does.
fn resize(session: &PtySession, (rows, columns): (usize, usize)) {
    let terminal = session.process().get_file_handle().unwrap();
    let mut stty = Command::new("stty");
    stty.args(["rows", &rows.to_string(), "cols", &columns.to_string()]).stdin(terminal);
    assert!(stty.status().unwrap().success());
}

/// The next picture that fills the screen, line by line.
fn picture(session: &mut PtySession) -> Vec<String> {
    let drawn = session.exp_string("\u{1b}[J").unwrap();
    // It reads each byte as a character.
    let bytes: Vec<u8> = drawn.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let text = String::from_utf8(bytes).unwrap();
    let (_, lines) = text.rsplit_once("\u{1b}[H").expect("it begins at the first line");
    let plain = |line: &str| console::strip_ansi_codes(line).trim_end_matches('\r').to_owned();
    lines.split('\n').map(plain).collect()
}

#[test]
fn stats_fills_terminals_of_three_sizes_follows_a_resize_and_ends_with_q() {
    let program = Program::with_topic("orders", 3);
    program.ok(&["produce", "--topic", "orders", "--partition", "1"], &"x\n".repeat(1234));
    program.ok(&["consume", "--topic", "orders", "--group", "billing", "--until-end"], "");
    let exe = env!("CARGO_BIN_EXE_stratalog");
    // There is one look for all pictures: those that follow are drawn because of the size alone.
    let script = format!(
        "stty rows 24 cols 80; before=$(stty -g); '{exe}' stats --interval 600; echo \"ended $?\"
         [ \"$before\" = \"$(stty -g)\" ] && echo unchanged"
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).env("STRATALOG_DIR", program.log()).env("TERM", "xterm-256color");
    let mut session = spawn_command(shell, Some(PATIENCE_MS)).unwrap();
    let mut resized = false;
    for (rows, columns) in [(24, 80), (9, 40), (50, 160), (24, 80)] {
        // The first one is that of the script.
        if resized {
            resize(&session, (rows, columns));
        }
        resized = true;
        let lines = picture(&mut session);
        let size = format!("{rows} x {columns}:\n{}", lines.join("\n"));
        assert!(lines.iter().all(|line| console::measure_text_width(line) <= columns), "{size}");
        assert!(lines[0].contains("q ends") && lines[1].starts_with("1 topic, 3 partitions"), "{size}");
        let has = |wanted: &str| lines.iter().any(|line| line.contains(wanted));
        assert!(has("orders"), "{size}");
        if rows >= 24 {
            assert_eq!(lines.len(), rows, "the whole screen is used: {size}");
            let partition = |line: &String| line.split_whitespace().take(2).eq(["1", "1234"]);
            assert!(lines.iter().any(partition), "{size}");
            assert!(lines[1].contains("1234 records") && lines[1].contains("unsynced 0 B"), "{size}");
            assert!(has("billing") && has("0 now, 0 at most"), "{size}");
            assert!(has("0 ┤") && has(" └") && has(" ago ") && has(" now"), "the axes: {size}");
        }
    }
    session.send("q").unwrap();
    session.flush().unwrap();
    session.exp_string("\u{1b}[?25h\u{1b}[?1049l").unwrap();
    session.exp_string("ended 0").unwrap();
    let after = session.exp_eof().unwrap();
    assert!(after.contains("unchanged"), "the terminal is not as it was: {after}");
}

#[test]
fn stats_shows_what_comes_and_ends_with_ctrl_c() {
    let program = Program::with_topic("orders", 2);
    let mut session = start(&program, &["stats", "--interval", "0.05"]);
    session.exp_string("RECORDS/S").unwrap();
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
fn lines_are_typed_after_a_prompt() {
    let program = Program::with_topic("t", 1);
    let mut session = start(&program, &["produce", "--topic", "t"]);
    session.exp_string(">").unwrap();
    session.send_line("typed").unwrap();
    session.exp_string(">").unwrap();
    let read = ["consume", "--topic", "t", "--from-beginning", "--max-messages", "1"];
    assert_eq!(program.ok(&read, ""), "typed\n", "it is there before the next line");
    session.send_control('d').unwrap();
    let rest = ends_with(&mut session, 0);
    assert!(!rest.contains("record"), "a summary says nothing to whom types: {rest:?}");
}

#[test]
fn errors_are_red_only_on_a_terminal() {
    let program = Program::with_topic("t", 1);
    let mut session = start(&program, &["consume", "--topic", "x"]);
    let reported = ends_with(&mut session, 1);
    assert!(
        reported.contains("\u{1b}[31m\u{1b}[1merror\u{1b}[0m: topic \"x\" does not exist"),
        "{reported:?}"
    );
    assert_eq!(program.fails(1, &["consume", "--topic", "x"], ""), "error: topic \"x\" does not exist\n");
}
