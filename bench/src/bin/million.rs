//! `million PATH RECORDS`: so many records on one path. `bench/system_calls` counts what it asks of the system.

use std::process::ExitCode;

use stratalog_bench::Path;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let path = arguments.first().and_then(|name| Path::ALL.into_iter().find(|path| path.name() == name));
    let (Some(path), Some(Ok(records))) = (path, arguments.get(1).map(|records| records.parse())) else {
        eprintln!("million enqueue|send|replay RECORDS");
        return ExitCode::from(2);
    };
    match path.metered(records, || 0) {
        Ok(_) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("million: {failure}");
            ExitCode::FAILURE
        }
    }
}
