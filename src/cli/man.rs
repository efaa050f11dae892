//! `man`: the manual pages.

use clap::{Args, CommandFactory};
use clap_mangen::Man as Page;

use super::{Arguments, Failure, Outcome, Output};

const EXAMPLES: &str = "\
Examples:
  stratalog man | man -l -
  stratalog man topics > ~/.local/share/man/man1/stratalog-topics.1";

/// Print a manual page.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Man {
    /// The command that the page is about; without one, the page of the program.
    command: Option<String>,
}

pub(super) fn run(options: &Man) -> Outcome {
    let mut program = Arguments::command();
    program.build();
    let page = match &options.command {
        None => Page::new(program),
        Some(name) => {
            let found = program.find_subcommand(name).cloned();
            let found = found.ok_or_else(|| Failure::usage(format!("there is no command {name:?}")))?;
            Page::new(found).title(format!("stratalog-{name}"))
        }
    };
    let mut text = Vec::new();
    page.render(&mut text)?;
    Output::new().whole(&text)
}
