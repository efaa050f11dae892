//! Nothing opens a socket: neither the library, nor what it and its program are built from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::source::{files, holds, shipped};

/// Types and calls of which a program needs one to open a socket.
const SOCKETS: [&str; 8] = [
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "libc :: socket",
    "WSASocketW",
];

/// Packages whose source names sockets, and the feature of theirs without which none is opened. `libc` declares what the system
/// has and calls nothing.
const NAMES_THEM: [(&str, Option<&str>); 3] =
    [("libc", None), ("nix", Some("socket")), ("rustix", Some("net"))];

/// What users build. The crash tests are a member of the workspace too.
const OWN: [&str; 2] = ["stratalog", "stratalog-cli"];

struct Dependency {
    folder: PathBuf,
    features: BTreeSet<String>,
}

/// A command with the clock of the system: cargo does not end where `.ci/run` has moved it.
fn at_home(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_remove("LD_PRELOAD");
    command
}

/// What is built for the library and its program with all features on this system, by the name of the package.
fn dependencies() -> BTreeMap<String, Dependency> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    // What other systems need may not have been downloaded here.
    let host = at_home("rustc").args(["--print", "host-tuple"]).output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let reported = at_home(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--all-features", "--offline"])
        .args(["--filter-platform", host.trim(), "--manifest-path"])
        .arg(manifest)
        .output()
        .unwrap();
    assert!(reported.status.success(), "{}", String::from_utf8_lossy(&reported.stderr));
    let reported: Value = serde_json::from_slice(&reported.stdout).unwrap();
    let nodes = reported["resolve"]["nodes"].as_array().unwrap();
    let nodes: BTreeMap<_, _> = nodes.iter().map(|node| (node["id"].as_str().unwrap(), node)).collect();
    let packages = reported["packages"].as_array().unwrap();
    let own = packages.iter().filter(|package| OWN.iter().any(|own| package["name"] == *own));
    let mut wanted: Vec<_> = own.map(|package| package["id"].as_str().unwrap()).collect();
    assert_eq!(wanted.len(), OWN.len());
    let mut built = BTreeSet::new();
    while let Some(id) = wanted.pop() {
        for dependency in nodes[id]["deps"].as_array().unwrap() {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            let id = dependency["pkg"].as_str().unwrap();
            if kinds.iter().any(|kind| kind["kind"] != "dev") && built.insert(id) {
                wanted.push(id);
            }
        }
    }
    packages
        .iter()
        .filter(|package| built.contains(package["id"].as_str().unwrap()))
        .map(|package| {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap());
            let features = nodes[package["id"].as_str().unwrap()]["features"].as_array().unwrap();
            let features = features.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
            let dependency = Dependency { folder: manifest.parent().unwrap().to_owned(), features };
            (package["name"].as_str().unwrap().to_owned(), dependency)
        })
        .collect()
}

/// The first that a package's source names, in whichever file.
fn names_sockets(folder: &Path) -> Option<(&'static str, PathBuf)> {
    let mut folders = vec![folder.join("src")];
    while let Some(folder) = folders.pop() {
        // Not each package has its source there; those that do not have no code of Rust for the library.
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(text) = fs::read_to_string(&path) else { continue };
            // Most files name none, so the lexer is spared. Comments may.
            let mut named = SOCKETS.into_iter().filter(|name| text.contains(&name.replace(' ', "")));
            if let Some(name) = named.find(|name| holds(&shipped(&text), name)) {
                return Some((name, path));
            }
        }
    }
    None
}

#[test]
fn no_dependency_opens_a_socket() {
    let dependencies = dependencies();
    for own in ["bytes", "crc32fast", "memmap2", "parking_lot", "thiserror", "crossbeam-channel", "clap"] {
        assert!(dependencies.contains_key(own), "{own} is not among the dependencies that were found");
    }
    assert!(!dependencies.contains_key("tokio"), "what only tests use is not what is built for users");
    for (name, dependency) in &dependencies {
        if let Some((socket, file)) = names_sockets(&dependency.folder) {
            let known = NAMES_THEM.iter().find(|(known, _)| known == name);
            let is_off =
                known.is_some_and(|(_, without)| without.is_none_or(|it| !dependency.features.contains(it)));
            assert!(is_off, "{name} names {socket} in {}", file.display());
        }
    }
}

#[test]
fn the_source_opens_no_socket() {
    for (path, text) in files("src").into_iter().chain(files("cli/src")) {
        let code = shipped(&text);
        for socket in SOCKETS.into_iter().chain(["std :: net"]) {
            assert!(!holds(&code, socket), "{} names {socket}", path.display());
        }
    }
}

#[test]
fn a_planted_socket_is_found() {
    let package = tempfile::tempdir().unwrap();
    fs::create_dir_all(package.path().join("src/deep")).unwrap();
    fs::write(package.path().join("src/lib.rs"), "mod deep;").unwrap();
    assert!(names_sockets(package.path()).is_none());
    fs::write(package.path().join("src/deep/mod.rs"), "use std::{net::{self, TcpStream}, io};").unwrap();
    assert_eq!(names_sockets(package.path()).unwrap().0, "TcpStream");
    assert!(holds(&shipped("fn f() { std::net::lookup() }"), "std :: net"));
}
