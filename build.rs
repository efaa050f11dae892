//! Reports the library that its own tests are here. The published package has neither them nor this file: see `src/lib.rs`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=unit_tests");
}
