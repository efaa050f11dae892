//! Input in whole lines, read in advance by a thread of its own.
//!
//! The thread reads large pieces and passes them on as blocks that end at the end of a line, so that lines are cut
//! without being copied, and so that waiting for input does not keep the command from seeing Ctrl-C. Blocks go round:
//! nothing is allocated once all are under way.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::ends::Ends;
use crate::Stop;
use crate::failure::{Failure, Outcome};

const BLOCK_BYTES: usize = 1 << 20;
/// Blocks under way: one is read, one is worked on, and one evens out.
const BLOCKS: usize = 3;
/// How long until Ctrl-C is noticed while no input comes.
const LOOK_FOR_STOP: Duration = Duration::from_millis(50);

/// Whole lines of input.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Memory that was touched once stays as it is: clearing a mebibyte takes longer than reading from a pipe.
    memory: Vec<u8>,
    end: usize,
}

/// Blocks of whole lines.
#[derive(Debug)]
pub(super) struct Input {
    full: Receiver<io::Result<Block>>,
    empty: SyncSender<Block>,
    name: String,
}

impl Block {
    pub(super) fn lines(&self) -> &[u8] {
        self.memory.get(..self.end).unwrap_or_default()
    }

    /// Room past the end, at least half a block.
    fn room(&mut self) -> &mut [u8] {
        if self.memory.len() - self.end < BLOCK_BYTES / 2 {
            self.memory.resize(self.end.max(BLOCK_BYTES / 2) + BLOCK_BYTES / 2, 0);
        }
        self.memory.get_mut(self.end..).unwrap_or_default()
    }

    fn append(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        if self.memory.len() < end {
            self.memory.resize(end, 0);
        }
        if let Some(room) = self.memory.get_mut(self.end..end) {
            room.copy_from_slice(bytes);
        }
        self.end = end;
    }
}

impl Input {
    /// Reads on and on until the end or an error. A line that is longer than `longest` is an error.
    pub(super) fn start(
        from: impl Read + Send + 'static,
        name: String,
        ends: Ends,
        longest: usize,
    ) -> Outcome<Self> {
        let (to_full, full) = sync_channel(BLOCKS);
        let (empty, from_empty) = sync_channel(BLOCKS);
        for _ in 0..BLOCKS {
            // There is room for all of them.
            let _ = empty.try_send(Block::default());
        }
        let reading = move || read_all(from, ends, longest, &to_full, &from_empty);
        let started = thread::Builder::new().name("input".into()).spawn(reading);
        // The thread ends with the input, or with the process if that never ends.
        started.map(drop).map_err(|source| Failure::input(&name, &source))?;
        Ok(Self { full, empty, name })
    }

    /// The next block. `None`: the end, or the command is to stop.
    pub(super) fn next(&mut self, stop: &Stop) -> Outcome<Option<Block>> {
        loop {
            if stop.is_asked() {
                return Ok(None);
            }
            match self.full.recv_timeout(LOOK_FOR_STOP) {
                Ok(Ok(block)) => return Ok(Some(block)),
                Ok(Err(source)) => return Err(Failure::input(&self.name, &source)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    /// Takes back a block that is done with.
    pub(super) fn reuse(&self, block: Block) {
        let _ = self.empty.try_send(block);
    }
}

fn read_all(
    mut from: impl Read,
    ends: Ends,
    longest: usize,
    full: &SyncSender<io::Result<Block>>,
    empty: &Receiver<Block>,
) {
    // The beginning of a line whose end has not come yet.
    let mut rest: Vec<u8> = Vec::new();
    while let Ok(mut block) = empty.recv() {
        block.end = 0;
        block.append(&rest);
        match fill(&mut from, &mut block, ends, longest) {
            Ok(Some(end)) => {
                rest.clear();
                rest.extend_from_slice(block.lines().get(end..).unwrap_or_default());
                block.end = end;
                if full.send(Ok(block)).is_err() {
                    return;
                }
            }
            Ok(None) => {
                if block.end > 0 {
                    let _ = full.send(Ok(block));
                }
                return;
            }
            Err(source) => {
                let _ = full.send(Err(source));
                return;
            }
        }
    }
}

/// Reads until there is the end of a line, and says where the last one is. `None`: this is all there is.
fn fill(from: &mut impl Read, block: &mut Block, ends: Ends, longest: usize) -> io::Result<Option<usize>> {
    let mut searched = 0;
    loop {
        if block.end > longest {
            return Err(io::Error::other(format!("a line is longer than {longest} bytes")));
        }
        match from.read(block.room()) {
            Err(failure) if failure.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) => return Ok(None),
            read => block.end += read?,
        }
        if let Some(at) = ends.last(block.lines().get(searched..).unwrap_or_default()) {
            return Ok(Some(searched + at + 1));
        }
        searched = block.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a few bytes at a time.
    struct Dribble(Vec<u8>, usize);

    impl Read for Dribble {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }

    fn blocks(text: &[u8], step: usize) -> Vec<Vec<u8>> {
        let never = Stop::manual();
        let mut input =
            Input::start(Dribble(text.to_vec(), step), "test".into(), Ends::Binary, 1 << 20).unwrap();
        let mut found = Vec::new();
        while let Some(block) = input.next(&never).unwrap() {
            found.push(block.lines().to_vec());
            input.reuse(block);
        }
        found
    }

    #[test]
    fn blocks_end_where_lines_end_and_nothing_is_lost() {
        for text in [&b""[..], b"a", b"a\n", b"\n\n", b"one\ntwo\r\nthree", b"\0\xff\n\n x\n"] {
            for step in 1..6 {
                let found = blocks(text, step);
                assert_eq!(found.concat(), text);
                let all_but_last = found.len().saturating_sub(1);
                assert!(found[..all_but_last].iter().all(|block| block.ends_with(b"\n")), "{found:?}");
            }
        }
    }

    #[test]
    fn long_input_in_large_steps() {
        let text: Vec<u8> = (0..700_000_u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        assert_eq!(blocks(&text, 1 << 16).concat(), text);
        assert_eq!(blocks(&text, usize::MAX).concat(), text);
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let stop = Stop::manual();
        let mut input = Input::start(io::repeat(b'x'), "test".into(), Ends::Text, 4 << 20).unwrap();
        let Err(Failure::Failed(text)) = input.next(&stop) else { panic!("it should be refused") };
        assert!(text.contains("a line is longer than 4194304 bytes"), "{text}");
    }
}
