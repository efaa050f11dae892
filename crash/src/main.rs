//! Crash tests of stratalog from below its public face: one oracle, and drivers that end a log badly. See README.md.

mod arguments;
mod backups;
mod calls;
mod comparison;
mod crowd;
mod disk;
mod drivers;
mod faults;
mod groups;
mod hear;
mod interpose;
mod keep;
mod left;
mod libc_names;
mod life;
mod live;
mod load;
mod looks;
mod operations;
mod oracle;
mod random;
mod scripts;
mod served;
mod session;
mod snapshots;
mod tail;
mod tree;

use std::process::ExitCode;

use arguments::Arguments;

#[global_allocator]
static ALLOCATOR: drivers::soak::Counting = drivers::soak::Counting;

const USAGE: &str = "crash power|broker|faults|kill|full|media|salvage|snapshot|soak|stress|check [--seed S] [--states N|--runs N|--kills N] [--dir D]";

fn main() -> ExitCode {
    if !cfg!(debug_assertions) {
        eprintln!("crash: the library asserts nothing of itself in this build; run with --profile crash");
        return ExitCode::from(2);
    }
    let outcome =
        Arguments::parse(std::env::args().skip(1)).and_then(|arguments| match arguments.driver.as_str() {
            "power" => drivers::power::run(&arguments),
            "broker" => drivers::broker::run(&arguments),
            "faults" => drivers::faults::run(&arguments),
            "kill" => drivers::kill::run(&arguments),
            "load" => drivers::kill::load(&arguments),
            "tail" => drivers::kill::tail_until_stopped(&arguments),
            "full" => drivers::full::run(&arguments),
            "media" => drivers::media::run(&arguments),
            "salvage" => drivers::salvage::run(&arguments),
            "snapshot" => drivers::snapshot::run(&arguments),
            "soak" => drivers::soak::run(&arguments),
            "stress" => drivers::stress::run(&arguments),
            "check" => drivers::check::run(&arguments),
            other => Err(format!("there is no driver {other}")),
        });
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("crash: {reason}\nusage: {USAGE}");
            ExitCode::from(2)
        }
    }
}
