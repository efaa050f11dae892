//! The command line program: see the library beside it.

fn main() -> std::process::ExitCode {
    stratalog_cli::main()
}
