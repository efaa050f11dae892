//! The storage core against a model, against crashes, against failing disks and against threads.

mod begun;
mod compaction;
mod copies;
mod cut;
mod damage;
mod decisions;
mod derived;
mod directory;
mod encoded;
mod faults;
mod fixture;
mod front;
#[cfg(target_os = "linux")]
mod held;
// Where maps hold no files fast.
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(held_files)))]
mod kept;
mod lookups;
mod missing;
mod model;
// Holds every file open.
mod idle;
#[cfg(all(target_os = "linux", not(held_files)))]
mod power;
mod prepared;
mod producers;
mod recovery;
mod rolled;
mod swapped;
mod synced;
mod threads;
mod times;
mod together;
mod transactions;
mod unreadable;
