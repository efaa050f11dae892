//! `man`: the manual pages.

use clap::{Args, CommandFactory};
use clap_mangen::Man as Page;

use super::{Arguments, Failure, Outcome, Output};

const EXAMPLES: &str = "\
Examples:
  stratalog man | man -l -
  stratalog man perf produce | man -l -
  stratalog man topics > ~/.local/share/man/man1/stratalog-topics.1";

/// Print a manual page.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Man {
    /// The command that the page is about; without one, the page of the program.
    command: Vec<String>,
}

pub(super) fn run(options: &Man) -> Outcome {
    let mut about = Arguments::command();
    about.build();
    for name in &options.command {
        let found = about.find_subcommand(name).cloned();
        about = found.ok_or_else(|| Failure::usage(format!("there is no command {name:?}")))?;
    }
    let title = [&["stratalog".to_owned()], options.command.as_slice()].concat().join("-");
    let page = Page::new(about).title(title);
    let mut text = Vec::new();
    page.render(&mut text)?;
    Output::new().whole(&text)
}
