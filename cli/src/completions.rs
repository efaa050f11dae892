//! `completions`: what a shell needs to complete the words of this program.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, Outcome, Output};

const EXAMPLES: &str = "\
Examples:
  source <(stratalog completions bash)
  stratalog completions zsh > ~/.zfunc/_stratalog
  stratalog completions fish > ~/.config/fish/completions/stratalog.fish";

/// Print the completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(options: &Completions) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "stratalog", &mut text);
    Output::new().whole(&text)
}
