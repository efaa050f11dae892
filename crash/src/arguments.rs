//! The command line: `crash DRIVER [--NAME VALUE]...`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub struct Arguments {
    pub driver: String,
    values: BTreeMap<String, String>,
}

impl Arguments {
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut words = words.into_iter();
        let driver = words.next().ok_or("no driver is given")?;
        let mut values = BTreeMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or(format!("{word} is no option"))?;
            let value = words.next().ok_or(format!("--{name} needs a value"))?;
            values.insert(name.to_owned(), value);
        }
        Ok(Self { driver, values })
    }

    /// The value of an option, or another one if it is not given.
    pub fn get<T: FromStr>(&self, name: &str, otherwise: T) -> Result<T, String> {
        match self.values.get(name) {
            None => Ok(otherwise),
            Some(value) => value.parse().map_err(|_| format!("--{name} cannot be {value:?}")),
        }
    }

    pub fn only(&self, allowed: &[&str]) -> Result<(), String> {
        match self.values.keys().find(|name| !allowed.contains(&name.as_str())) {
            Some(name) => {
                Err(format!("{} has no option --{name}; it has --{}", self.driver, allowed.join(", --")))
            }
            None => Ok(()),
        }
    }

    /// Where the logs are made: in memory if there is such a place, since most of the time goes into making directories.
    pub fn directory(&self) -> Result<PathBuf, String> {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let directory = self.get("dir", base.join(format!("stratalog-crash-{}", std::process::id())))?;
        let made = std::fs::create_dir_all(&directory).and_then(|()| directory.canonicalize());
        made.map_err(|failure| format!("{}: {failure}", directory.display()))
    }
}
