//! One participant in one workload, once: what a process of its own does.

use crate::peer::Peer;
use crate::peers::commitlog::Commitlog;
use crate::peers::crossbeam::Crossbeam;
use crate::peers::disruptor::Disruptor;
use crate::peers::khata::Khata;
use crate::peers::mrecordlog::Mrecordlog;
use crate::peers::okaywal::Okaywal;
use crate::peers::raft_engine::RaftEngine;
use crate::peers::stratalog::{Enqueue, SendBatch, Stratalog};
use crate::peers::yaque::Yaque;
use crate::plan::{EMPTY_LOOP, Workload};
use crate::results::Figure;
use crate::work::{Task, append, latency, limits, open, pipe, replay, send, synced};
use crate::{Failure, Result, curves};

pub(crate) fn run(participant: &str, workload: Workload, task: &Task) -> Result<Vec<Figure>> {
    match (participant, workload) {
        (_, Workload::Sizes) => curves::sizes::run(task),
        (_, Workload::Partitions) => curves::partitions::run(task),
        (_, Workload::Consumers) => curves::consumers::run(task),
        (_, Workload::Segments) => curves::segments::run(task),
        ("limit: pwrite", _) => limits::pwrite(task),
        ("limit: memcpy", _) => Ok(limits::memcpy(task)),
        ("limit: sum of a mapping", _) => limits::mapping(task),
        ("limit: fdatasync", _) => limits::fdatasync(task),
        (EMPTY_LOOP, _) => Ok(limits::empty_loop_of(task)),
        ("stratalog send_batch", _) => of_peer::<Stratalog<SendBatch>>(workload, task),
        ("stratalog" | "stratalog enqueue", _) => of_peer::<Stratalog<Enqueue>>(workload, task),
        ("commitlog", _) => of_peer::<Commitlog>(workload, task),
        ("yaque", _) => of_peer::<Yaque>(workload, task),
        ("khata-rs", _) => of_peer::<Khata>(workload, task),
        ("mrecordlog", _) => of_peer::<Mrecordlog>(workload, task),
        ("okaywal", _) => of_peer::<Okaywal>(workload, task),
        ("raft-engine", _) => of_peer::<RaftEngine>(workload, task),
        ("crossbeam-channel", _) => of_peer::<Crossbeam>(workload, task),
        ("disruptor", Workload::Pipe(1024)) => of_peer::<Disruptor<1032>>(workload, task),
        ("disruptor", _) => of_peer::<Disruptor<108>>(workload, task),
        _ => Err(Failure::from(format!("{participant} is not known here"))),
    }
}

fn of_peer<P: Peer>(workload: Workload, task: &Task) -> Result<Vec<Figure>> {
    match workload {
        Workload::Append(bytes) => append::run::<P>(task, bytes),
        Workload::Send => send::run::<P>(task),
        Workload::Pipe(bytes) => pipe::run::<P>(task, bytes),
        Workload::Latency => latency::run::<P>(task),
        Workload::Replay(bytes) => replay::run::<P>(task, bytes),
        Workload::Synced(threads) => synced::run::<P>(task, threads),
        Workload::Open => open::run::<P>(task),
        _ => Err(Failure::from("a curve has no peers")),
    }
}
