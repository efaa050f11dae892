//! What can go wrong for a command, and what the user gets to see.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use stratalog::Error;

use super::output::complain;

/// A process whose number the system does not report.
const ANOTHER: &str = "another process";

/// How a command ends.
pub(super) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// The options are invalid together: exit code 2.
    Usage(String),
    /// Something was not as it should be: exit code 1.
    Failed(String),
    /// All was done but for what is damaged: exit code 3.
    LeftOut(String),
    /// Another process has the directory open: exit code 1.
    Locked { path: String, by: String },
    /// The output was closed by its reader. That ends a command, but is no failure: `consume | head`.
    ClosedPipe,
}

impl Failure {
    pub(super) fn usage(what: impl Into<String>) -> Self {
        Self::Usage(what.into())
    }

    pub(super) fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }

    /// An error of the operating system over an input that the user named.
    pub(super) fn input(what: impl Display, source: &io::Error) -> Self {
        Self::Failed(format!("cannot read {what}: {}", plain(source)))
    }

    /// What failed, in words.
    pub(super) fn words(&self) -> Option<&str> {
        match self {
            Self::Failed(what) => Some(what),
            _ => None,
        }
    }

    /// Reports the failure to the user, and returns the exit code.
    pub(super) fn report(self) -> ExitCode {
        match self {
            Self::Usage(what) => {
                complain(format_args!("{what}\n\nFor more information, try '--help'."));
                ExitCode::from(2)
            }
            Self::Failed(what) => {
                complain(what);
                ExitCode::from(1)
            }
            Self::LeftOut(what) => {
                complain(what);
                ExitCode::from(3)
            }
            Self::Locked { path, by } => {
                complain(format_args!(
                    "{path} is held by {by}, and one process at a time can write: stop {} or have it make the change; \
                     commands that only read work beside it",
                    if by == ANOTHER { "it" } else { &by }
                ));
                ExitCode::from(1)
            }
            Self::ClosedPipe => ExitCode::SUCCESS,
        }
    }
}

/// What the system says, without the number after it.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// What the library calls the values that options of commands become.
const OF_OPTIONS: [&str; 6] = [
    "consumer config",
    "partitions",
    "producer config",
    "replication factor",
    "topic configuration",
    "topic name",
];

impl From<Error> for Failure {
    /// In the words of the command line where the library speaks of its own calls.
    fn from(error: Error) -> Self {
        Self::Failed(match &error {
            // Values of options end alike, whether they are checked here or by the library. What is found in a file or
            // in a directory is no value of an option.
            Error::InvalidInput { what, .. } if OF_OPTIONS.contains(what) => {
                return Self::Usage(error.to_string());
            }
            Error::Locked { path, holder } => {
                let by = holder.map_or_else(|| ANOTHER.to_owned(), |process| format!("process {process}"));
                return Self::Locked { path: path.display().to_string(), by };
            }
            Error::PartOfCluster { path, node, others } => {
                let others: Vec<_> = others.iter().map(ToString::to_string).collect();
                format!(
                    "{} is the directory of node {node} of a cluster, and a part of its data is also that of node {}: \
                     what is written to it alone they do not get, and it or what they have is lost when brokers run on \
                     all of them again; commands that only read work, and --accept-data-loss writes all the same",
                    path.display(),
                    others.join(", ")
                )
            }
            Error::ReadOnly => "the directory was opened to read it only".to_owned(),
            Error::NotFound { what, name } => format!("{what} {name:?} does not exist"),
            _ => error.to_string(),
        })
    }
}

impl From<io::Error> for Failure {
    /// Of the output: what is read has [`Failure::input`].
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            // Not the output, but what was to be printed in it.
            io::ErrorKind::InvalidData => Self::Failed(plain(&error)),
            _ => Self::Failed(format!("cannot write the output: {}", plain(&error))),
        }
    }
}
