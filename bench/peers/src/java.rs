//! The peers of the JVM, which `run` builds with Maven. They take the arguments of a piece and print figures as it does.

use std::path::Path;
use std::process::Command;

/// What Chronicle and Aeron reach for inside of the JDK.
const OPENED: [&str; 9] = [
    "java.base/java.lang",
    "java.base/java.lang.reflect",
    "java.base/java.io",
    "java.base/java.util",
    "java.base/java.nio",
    "java.base/sun.nio.ch",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.misc",
    "jdk.compiler/com.sun.tools.javac",
];
const EXPORTED: [&str; 4] = [
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "jdk.unsupported/sun.misc",
    "jdk.compiler/com.sun.tools.javac.file",
];
const OPTIONS: [&str; 7] = [
    "-Xms1g",
    "-Xmx1g",
    "-XX:+UseParallelGC",
    "-XX:+AlwaysPreTouch",
    "-Dchronicle.analytics.disable=true",
    "-Dchronicle.announcer.disable=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
];

/// Without the arguments of the piece.
pub(crate) fn command(built: &Path) -> Command {
    let mut java = Command::new("java");
    java.args(OPENED.map(|name| format!("--add-opens={name}=ALL-UNNAMED")))
        .args(EXPORTED.map(|name| format!("--add-exports={name}=ALL-UNNAMED")))
        .args(OPTIONS)
        .arg("-cp")
        .arg(format!("{0}/classes:{0}/lib/*", built.display()))
        .arg("peers.Main");
    java
}
