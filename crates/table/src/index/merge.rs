//! Putting runs together, without what is dead.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::sync::Arc;

use super::RowsOf;
use super::entry::Entry;
use super::memory::Memory;
use super::run::{Block, Run, RunError, RunWriter};
use crate::order::Order;

/// A run is put together with the one before it unless that is so many times larger: so each entry is written a number of times that
/// grows with the logarithm of the table, and there are as few runs.
const GROWTH: u64 = 4;

/// How many of the last runs should become one.
pub(super) fn to_merge(runs: &[Arc<Run>]) -> usize {
    let mut count = 1;
    let mut entries = runs.last().map_or(0, |run| run.entries());
    for run in runs.iter().rev().skip(1) {
        if run.entries() > entries.saturating_mul(GROWTH) {
            break;
        }
        entries += run.entries();
        count += 1;
    }
    count
}

/// Writes what is in memory to a run.
pub(super) fn write(memory: &Memory, path: PathBuf, rows_of: &RowsOf) -> Result<Run, RunError> {
    let base = memory.sorted().next().map_or(Order::LEAST, |entry| entry.order);
    let mut writer = RunWriter::create(path, base, memory.len() as u64)?;
    for entry in memory.sorted().filter(|entry| !rows_of.is_obsolete(entry)) {
        writer.push(&entry)?;
    }
    writer.finish()
}

/// Puts runs into one.
pub(super) fn merge(runs: &[Arc<Run>], path: PathBuf, rows_of: &RowsOf) -> Result<Run, RunError> {
    let mut cursors = Vec::with_capacity(runs.len());
    let mut heads = BinaryHeap::new();
    for (number, run) in runs.iter().enumerate() {
        let mut cursor = Cursor { blocks: Box::new(run.blocks()), block: None, at: 0 };
        cursor.next_block()?;
        if let Some((entry, _)) = cursor.head() {
            heads.push(Reverse((entry.hash, number)));
        }
        cursors.push(cursor);
    }
    let base = heads.peek().and_then(|Reverse((_, number))| Some(cursors.get(*number)?.head()?.0.order));
    let mut writer = RunWriter::create(path, base.unwrap_or(Order::LEAST), runs.iter().map(|run| run.entries()).sum())?;
    while let Some(Reverse((_, number))) = heads.pop() {
        let Some(cursor) = cursors.get_mut(number) else { continue };
        let Some((entry, next)) = cursor.head() else { continue };
        if !rows_of.is_obsolete(&entry) {
            writer.push(&entry)?;
        }
        cursor.at = next;
        if cursor.head().is_none() {
            cursor.next_block()?;
        }
        if let Some((entry, _)) = cursor.head() {
            heads.push(Reverse((entry.hash, number)));
        }
    }
    writer.finish()
}

struct Cursor<'a> {
    blocks: Box<dyn Iterator<Item = Result<Block, RunError>> + 'a>,
    block: Option<Block>,
    at: usize,
}

impl Cursor<'_> {
    fn head(&self) -> Option<(Entry<'_>, usize)> {
        self.block.as_ref()?.entry(self.at)
    }

    fn next_block(&mut self) -> Result<(), RunError> {
        self.block = self.blocks.next().transpose()?;
        self.at = 0;
        Ok(())
    }
}
