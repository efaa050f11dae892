//! The figures in README: what the log does on this machine.
//!
//! ```sh
//! cargo run --release --example figures
//! ```
//!
//! Takes a minute or two, 4 GiB of memory and 3 GiB of disk where `TMPDIR` is. Memory is touched before anything is
//! measured: in a virtual machine the first touch of a page costs some ten microseconds. Nothing else should run
//! meanwhile; a load above 0.5 on the first line makes the rest worthless.

mod durability;
mod latency;
mod machine;
#[path = "../../benches/support/mod.rs"]
mod support;
mod throughput;

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("figures: a debug build has no figures to show; add --release");
        std::process::exit(2);
    }
    let load = machine::load();
    let touched = support::touch_memory();
    println!("{}", machine::describe());
    println!("load before: {load}; {} MiB of memory touched first\n", touched >> 20);
    throughput::print();
    println!();
    latency::print();
    println!();
    throughput::print_open();
    println!();
    durability::print();
}

/// The figure in the middle, the smallest and the largest.
fn spread(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    [figures[figures.len() / 2], figures[0], figures[figures.len() - 1]]
}
