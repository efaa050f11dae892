//! The command line program. Everything it does stands in `src/cli`, on the public face of the crate alone.

#[path = "../cli/mod.rs"]
mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
