//! `docs/tutorial.md` says what happens: every command in it is run, and what it prints is compared.
//!
//! Blocks marked `console` are one terminal, from the first to the last; what comes after `$ ` is run, what is
//! after `> ` continues it, the rest is what it prints. A block marked `console second` is another terminal, in which one
//! command continues while the next block of the first terminal is run; `^C` is where it is interrupted.
//!
//! What differs from run to run is masked before it is compared: ids, times, rates, process ids. With
//! `STRATALOG_TUTORIAL=write` the page is rewritten with what was printed now.
#![cfg(unix)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::root;

#[test]
fn the_tutorial_says_what_happens() {
    let page = root().join("docs/tutorial.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let now = replay(&text, dir.path());
    if std::env::var_os("STRATALOG_TUTORIAL").is_some_and(|what| what == "write") {
        std::fs::write(&page, now).unwrap();
        return;
    }
    for (number, (said, happens)) in text.lines().zip(now.lines()).enumerate() {
        assert_eq!(masked(said), masked(happens), "docs/tutorial.md, line {}:\n{now}", number + 1);
    }
    assert_eq!(text.lines().count(), now.lines().count(), "{now}");
}

/// The page with what its commands print now.
fn replay(page: &str, dir: &Path) -> String {
    let mut now = String::new();
    let mut first = Terminal::open(dir);
    let mut second: Option<(Second, usize)> = None;
    let mut lines = page.lines();
    let mut blocks = 0;
    while let Some(line) = lines.next() {
        writeln!(now, "{line}").unwrap();
        let is_second = match line {
            "```console" => false,
            "```console second" => true,
            _ => continue,
        };
        blocks += 1;
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if is_second {
            assert!(second.is_none(), "the second terminal is in use");
            second = Some((Second::start(dir, &block), now.len()));
        } else {
            now.push_str(&first.run(&block));
            if let Some((running, at)) = second.take() {
                now.insert_str(at, &running.end());
            }
        }
        now.push_str("```\n");
    }
    assert!(blocks > 8, "only {blocks} blocks found");
    now
}

/// The commands of a block, with the lines that continue them.
fn commands<'p>(block: &[&'p str]) -> Vec<(String, Vec<&'p str>)> {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for line in block {
        if let Some(command) = line.strip_prefix("$ ") {
            found.push((command.to_owned(), vec![line]));
        } else if let Some((command, shown)) = found.last_mut()
            && let Some(more) = line.strip_prefix("> ")
        {
            let _ = write!(command, "\n{more}");
            shown.push(line);
        }
    }
    assert!(!found.is_empty(), "a block without a command: {block:?}");
    found
}

fn shell(dir: &Path) -> Command {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_stratalog"));
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("bash");
    shell.current_dir(dir).env("PATH", format!("{}:{path}", program.parent().unwrap().display()));
    // As the reader's terminal, whatever the tests are run with.
    shell.env_remove("STRATALOG_DIR").env("LC_ALL", "C.UTF-8").env("TZ", "UTC").env("PWD", dir);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped());
    shell
}

/// A shell that continues.
struct Terminal {
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Terminal {
    const END: &str = "[the command has ended]";

    fn open(dir: &Path) -> Self {
        let mut shell = shell(dir).spawn().unwrap();
        let mut input = shell.stdin.take().unwrap();
        writeln!(input, "exec 2>&1").unwrap();
        let output = BufReader::new(shell.stdout.take().unwrap());
        Self { shell, input, output }
    }

    fn run(&mut self, block: &[&str]) -> String {
        let mut now = String::new();
        for (command, shown) in commands(block) {
            writeln!(self.input, "{command}\nstatus=$?; echo \"{}\"; (exit $status)", Self::END).unwrap();
            now.extend(shown.iter().map(|line| format!("{line}\n")));
            loop {
                let mut line = String::new();
                assert!(self.output.read_line(&mut line).unwrap() > 0, "the shell has ended in {command}");
                if line.trim_end() == Self::END {
                    break;
                }
                now.push_str(&line);
            }
        }
        now
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// One command that continues while others are run.
struct Second {
    process: Child,
    output: BufReader<ChildStdout>,
    /// What it has printed, after its commands.
    now: String,
    /// How many lines are expected before it is interrupted. None: it ends by itself.
    until_interrupted: Option<usize>,
}

impl Second {
    fn start(dir: &Path, block: &[&str]) -> Self {
        let commands = commands(block);
        let shown: Vec<String> =
            commands.iter().flat_map(|(_, shown)| shown).map(|line| (*line).to_owned()).collect();
        let (last, before) = commands.split_last().unwrap();
        let before: Vec<&str> = before.iter().map(|(command, _)| command.as_str()).collect();
        let script = format!("exec 2>&1\n{}\nexec {}", before.join("\n"), last.0);
        let interrupted = block.iter().position(|line| *line == "^C");
        let until_interrupted = interrupted.map(|at| at - shown.len());
        let mut process = shell(dir).arg("-c").arg(script).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut second = Self { process, output, now: shown.join("\n") + "\n", until_interrupted };
        if last.0.contains(" produce ") {
            wait_until_held(&dir.join("data"), second.process.id());
        } else if until_interrupted.is_none() {
            // All but the last line is there before the others continue; that one is about what they do.
            second.read((block.len() - shown.len()).saturating_sub(1));
        }
        second
    }

    fn read(&mut self, lines: usize) {
        for _ in 0..lines {
            assert!(self.output.read_line(&mut self.now).unwrap() > 0, "{}", self.now);
        }
    }

    fn end(mut self) -> String {
        if let Some(expected) = self.until_interrupted {
            self.read(expected);
            let id = self.process.id().to_string();
            assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
            self.now.push_str("^C\n");
        }
        self.output.read_to_string(&mut self.now).unwrap();
        self.process.wait().unwrap();
        self.now
    }
}

/// A directory that is open for writing is not clean; and when the program waits for input, it heeds Ctrl-C as well.
fn wait_until_held(log: &Path, process: u32) {
    let is_named =
        |thread: PathBuf| std::fs::read_to_string(thread.join("comm")).is_ok_and(|name| name == "input\n");
    let waits = || match std::fs::read_dir(format!("/proc/{process}/task")) {
        Ok(threads) => threads.flatten().any(|thread| is_named(thread.path())),
        // There is no such directory on this system.
        Err(_) => true,
    };
    let begun = Instant::now();
    while log.join(".kafka_cleanshutdown").exists() || !waits() {
        assert!(begun.elapsed() < Duration::from_secs(30), "no process holds {}", log.display());
        std::thread::yield_now();
    }
}

/// Without what differs from run to run.
fn masked(line: &str) -> String {
    let line = after(line, "TopicId: ", |c| c != '\t');
    let line = after(&line, "CreateTime:", |c| c.is_ascii_digit());
    let line = after(&line, "\"timestamp\":", |c| c.is_ascii_digit());
    let line = line.split("process ").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
    let line = line.collect::<Vec<_>>().join("process ");
    let line = match line.split_once("/data is held by") {
        Some((_, held)) => format!("/data is held by{held}"),
        None => line,
    };
    let line = after(&line, "consumer-", |c| !c.is_whitespace());
    // Rates and times of `produce` and `perf`.
    if line.contains(" records/s") || line.contains(" records sent") || line.contains("latency") {
        let (count, rates) = line.split_once(' ').unwrap_or((&line, ""));
        let digits = rates.replace(|c: char| c.is_ascii_digit() || c == '.', "");
        return format!("{count} {digits}");
    }
    line
}

/// What follows a word is replaced, as far as it goes.
fn after(line: &str, word: &str, what: impl Fn(char) -> bool) -> String {
    match line.split_once(word) {
        None => line.to_owned(),
        Some((before, rest)) => {
            let rest = rest.trim_start_matches(&what);
            format!("{before}{word}…{rest}")
        }
    }
}
