//! The program `stratalog`: Kafka's command line tools for a directory instead of a broker.
//!
//! One file per command. A command is a variant of `Command`, an arm in `Command::run`, and a file with its options
//! (a struct for clap) and a function `run`. It gets a `Session`, which knows the directory and how to open it, prints
//! to an `Output`, and answers with a `Failure` when something went wrong; nothing here exits, panics or prints by
//! itself. Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 done but for damaged parts.

#![forbid(unsafe_code)]
#![allow(
    clippy::struct_excessive_bools,
    clippy::struct_field_names,
    reason = "an option that is given or not is a bool, and fields have the names of options"
)]

mod completions;
mod configs;
mod consume;
mod copying;
mod csv;
mod delete_records;
mod dump;
mod export;
mod failure;
mod files;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod groups;
mod handover;
mod import;
mod lines;
mod log_dirs;
mod man;
mod mirror;
mod offsets;
mod output;
mod pattern;
mod perf;
mod produce;
mod progress;
mod properties;
mod salvage;
mod session;
mod snapshot;
mod stats;
mod stop;
mod table;
mod time;
mod topics;
mod transactions;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::{Failure, Outcome};
use output::Output;
use session::Session;
use stop::Stop;

const EXAMPLES: &str = "\
Examples:
  stratalog topics --create --topic orders --partitions 3 --dir data
  export STRATALOG_DIR=data
  stratalog topics --describe

A program that keeps the directory open does not be in the way of commands that only read.
Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 done but for damaged parts (--skip-damage).";

/// Kafka's log, inside your process: inspect and work on a log directory.
///
/// The directory is a Kafka log directory, byte for byte. Options have the names that they have with Kafka's own tools.
#[derive(Debug, Parser)]
// The file is called `stratalog.exe` on Windows, the program is not.
#[command(name = "stratalog", bin_name = "stratalog", version, propagate_version = true)]
#[command(after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    /// The log directory.
    #[arg(long, global = true, env = "STRATALOG_DIR", value_name = "DIR", display_order = 900)]
    dir: Option<PathBuf>,
    /// Print one JSON object per line instead of text.
    #[arg(long, global = true, display_order = 901)]
    json: bool,
    /// Write to the directory of one node of a cluster although the others do not get it: see docs/kafka.md.
    #[arg(long, global = true, display_order = 902)]
    accept_data_loss: bool,
    /// Read compressed batches whose records take up to this many bytes when they are decompressed; 67108864 without it.
    #[arg(long, global = true, value_name = "BYTES", display_order = 903)]
    max_decompressed_batch_bytes: Option<u32>,
    /// Taken, so that commands for Kafka can be pasted: there is no server to connect to.
    #[arg(long, global = true, hide = true, value_name = "HOST:PORT")]
    bootstrap_server: Option<String>,
    /// Taken for the same reason: the file would say how to connect.
    #[arg(
        long,
        alias = "consumer.config",
        alias = "producer.config",
        global = true,
        hide = true,
        value_name = "FILE"
    )]
    command_config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Topics(topics::Topics),
    Produce(produce::Produce),
    Consume(consume::Consume),
    Groups(groups::Groups),
    Transactions(transactions::Transactions),
    Configs(configs::Configs),
    #[command(alias = "get-offsets")]
    Offsets(offsets::Offsets),
    DeleteRecords(delete_records::DeleteRecords),
    LogDirs(log_dirs::LogDirs),
    Handover(handover::Handover),
    Stats(stats::StatsOptions),
    Perf(perf::Perf),
    Dump(dump::Dump),
    Verify(verify::Verify),
    Export(export::Export),
    Import(import::Import),
    Mirror(mirror::Mirror),
    Snapshot(snapshot::Snapshot),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    fn run(self, session: &Session) -> Outcome {
        match self {
            Self::Topics(options) => topics::run(&options, session),
            Self::Produce(options) => produce::run(&options, session),
            Self::Consume(options) => consume::run(&options, session),
            Self::Groups(options) => groups::run(&options, session),
            Self::Transactions(options) => transactions::run(&options, session),
            Self::Configs(options) => configs::run(&options, session),
            Self::Offsets(options) => offsets::run(&options, session),
            Self::DeleteRecords(options) => delete_records::run(&options, session),
            Self::LogDirs(options) => log_dirs::run(&options, session),
            Self::Handover(options) => handover::run(&options, session),
            Self::Stats(options) => stats::run(&options, session),
            Self::Perf(options) => perf::run(&options, session),
            Self::Dump(options) => dump::run(&options, session),
            Self::Verify(options) => verify::run(&options, session),
            Self::Export(options) => export::run(&options, session),
            Self::Import(options) => import::run(&options, session),
            Self::Mirror(options) => mirror::run(&options, session),
            Self::Snapshot(options) => snapshot::run(&options, session),
            Self::Completions(options) => completions::run(&options),
            Self::Man(options) => man::run(&options),
        }
    }
}

/// Runs the program with the arguments that it was started with.
pub fn main() -> ExitCode {
    // A file that becomes too long is reported like any other failure.
    stratalog::ignore_file_size_signal();
    // A mistake of ours is reported like any other failure: in a sentence, and with the exit code 1.
    std::panic::set_hook(Box::new(|mistake| {
        output::complain(format_args!("this is a mistake in stratalog, please report it: {mistake}"));
    }));
    std::panic::catch_unwind(run).unwrap_or(ExitCode::from(1))
}

fn run() -> ExitCode {
    // Clap ends the program for wrong usage with 2, for --help and --version with 0.
    let arguments = Arguments::parse();
    if arguments.bootstrap_server.is_some() {
        output::print_note("--bootstrap-server is not needed: there is no server, only the directory");
    }
    if arguments.command_config.is_some() {
        output::print_note(
            "--command-config is not needed and was not read: there is no server to connect to",
        );
    }
    let decompressed = arguments.max_decompressed_batch_bytes;
    let session = Session::new(arguments.dir, arguments.json, arguments.accept_data_loss, decompressed);
    match arguments.command.run(&session) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
