//! The part of the index that is on disk: entries sorted by hash, in a file that is written once.
//!
//! A run is blocks of about 2 KiB, each ended by its checksum, then the table of blocks (for each its first hash and where it
//! starts), then a bloom filter of its hashes (as Parquet has them), then the footer. The table is held in memory (16 bytes a block: 40 MB
//! for 100 million keys), and so is the filter, which the largest runs do without (some 10 bits an entry); a look-up of a hash that the
//! filter doesn't rule out reads the one block that can hold it, from the system's page cache or the disk. So what is in one of
//! several runs, or in none, costs about one read. Numbers are little endian.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parquet::bloom_filter::Sbbf;

use super::entry::Entry;
use crate::order::Order;

/// A block is closed once it has so many bytes: a look-up reads and checks all of it.
const BLOCK_BYTES: usize = 2_048;
/// The largest block that is read: one entry makes a block exceed its size, and a key is part of a record of a megabyte.
const MAX_BLOCK_BYTES: u64 = 16 << 20;
/// What a footer starts with: the format and its version.
const MAGIC: [u8; 8] = *b"frshrun2";
/// Magic, entries, blocks, the table's start, the filter's bytes, the base order (4 numbers), checksum of the table, of the filter and of
/// what comes before it here.
const FOOTER_BYTES: usize = 9 * 8 + 4;
/// Entries above which a run has no filter: it would take up more than 32 MB.
const MAX_ENTRIES_IN_FILTER: u64 = 25_000_000;
/// How often the filter says "maybe" of a hash that is not there.
const FALSE_POSITIVES: f64 = 0.01;
const CHECKSUM_BYTES: usize = 4;
/// Only the user that runs Freshet reads the keys.
const MODE: u32 = 0o600;

/// Entries on disk.
#[derive(Debug)]
pub(crate) struct Run {
    path: PathBuf,
    file: File,
    entries: u64,
    base: Order,
    /// For each block its first hash and where it starts; at the end, where the last one ends.
    blocks: Vec<(u64, u64)>,
    end: u64,
    filter: Option<Sbbf>,
}

/// A run that can't be read: the index is thrown away and made anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("{0} can't be read or written")]
    Io(PathBuf, #[source] std::io::Error),
    #[error("{0} is damaged")]
    Damaged(PathBuf),
}

/// A run that is being written.
pub(crate) struct RunWriter {
    path: PathBuf,
    out: BufWriter<File>,
    base: Order,
    block: Vec<u8>,
    written: u64,
    entries: u64,
    blocks: Vec<(u64, u64)>,
    filter: Option<Sbbf>,
}

impl RunWriter {
    /// Starts a run of at most so many entries. The numbers of its orders are written by their distance from `base`'s: the nearer, the
    /// shorter.
    pub(crate) fn create(path: PathBuf, base: Order, most_entries: u64) -> Result<Self, RunError> {
        let file = File::options().write(true).create_new(true).mode(MODE).open(&path);
        let file = file.map_err(|error| RunError::Io(path.clone(), error))?;
        let out = BufWriter::with_capacity(1 << 20, file);
        let has_filter = (1..=MAX_ENTRIES_IN_FILTER).contains(&most_entries);
        let filter = has_filter.then(|| Sbbf::new_with_ndv_fpp(most_entries, FALSE_POSITIVES).ok()).flatten();
        Ok(Self { path, out, base, block: Vec::new(), written: 0, entries: 0, blocks: Vec::new(), filter })
    }

    /// Adds an entry, whose hash is not less than the last one's.
    pub(crate) fn push(&mut self, entry: &Entry<'_>) -> Result<(), RunError> {
        if self.block.is_empty() {
            self.blocks.push((entry.hash, self.written));
        }
        entry.write(&self.base, &mut self.block);
        if let Some(filter) = &mut self.filter {
            filter.insert(&entry.hash.cast_signed());
        }
        self.entries += 1;
        if self.block.len() >= BLOCK_BYTES { self.close_block() } else { Ok(()) }
    }

    /// Ends the run, on the disk, and opens it.
    pub(crate) fn finish(mut self) -> Result<Run, RunError> {
        if !self.block.is_empty() {
            self.close_block()?;
        }
        let end = self.written;
        let mut table = Vec::with_capacity(self.blocks.len() * 16);
        for (hash, start) in &self.blocks {
            table.extend_from_slice(&hash.to_le_bytes());
            table.extend_from_slice(&start.to_le_bytes());
        }
        let mut filter = Vec::new();
        if let Some(written) = self.filter.take() {
            let written = written.write_bitset(&mut filter);
            written.map_err(|error| RunError::Io(self.path.clone(), std::io::Error::other(error)))?;
        }
        let mut footer = Vec::with_capacity(FOOTER_BYTES);
        footer.extend_from_slice(&MAGIC);
        for number in [self.entries, self.blocks.len() as u64, end, filter.len() as u64] {
            footer.extend_from_slice(&number.to_le_bytes());
        }
        let Order { order_by, received_at, partition, offset } = self.base;
        for number in [order_by.unwrap_or(0), received_at, partition, offset] {
            footer.extend_from_slice(&number.to_le_bytes());
        }
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&table);
        checksum.update(&filter);
        checksum.update(&footer);
        footer.extend_from_slice(&checksum.finalize().to_le_bytes());
        self.write(&table)?;
        self.write(&filter)?;
        self.write(&footer)?;
        let path = self.path.clone();
        let file = self.out.into_inner().map_err(|error| RunError::Io(path.clone(), error.into_error()))?;
        file.sync_all().map_err(|error| RunError::Io(path.clone(), error))?;
        Run::open(path)
    }

    fn close_block(&mut self) -> Result<(), RunError> {
        let checksum = crc32fast::hash(&self.block);
        self.block.extend_from_slice(&checksum.to_le_bytes());
        let block = std::mem::take(&mut self.block);
        self.write(&block)?;
        self.block = block;
        self.block.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), RunError> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|error| RunError::Io(self.path.clone(), error))
    }
}

impl Run {
    pub(crate) fn open(path: PathBuf) -> Result<Self, RunError> {
        let io = |error| RunError::Io(path.clone(), error);
        let damaged = || RunError::Damaged(path.clone());
        let file = File::open(&path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let footer_start = length.checked_sub(FOOTER_BYTES as u64).ok_or_else(damaged)?;
        let mut footer = [0; FOOTER_BYTES];
        file.read_exact_at(&mut footer, footer_start).map_err(io)?;
        let (said, checksum) = footer.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(damaged)?;
        let numbers = said.strip_prefix(&MAGIC).ok_or_else(damaged)?;
        let numbers: Vec<u64> = numbers.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number)).collect();
        let [entries, blocks, end, filter_bytes, order_by, received_at, partition, offset] = numbers.as_slice() else {
            return Err(damaged());
        };
        let table_bytes = blocks.checked_mul(16).ok_or_else(damaged)?;
        let filter_start = end.checked_add(table_bytes).ok_or_else(damaged)?;
        if filter_start.checked_add(*filter_bytes) != Some(footer_start) {
            return Err(damaged());
        }
        let read = |start: u64, length: u64| {
            let mut bytes = vec![0; usize::try_from(length).map_err(|_| damaged())?];
            file.read_exact_at(&mut bytes, start).map_err(io)?;
            Ok(bytes)
        };
        let (table, filter) = (read(*end, table_bytes)?, read(filter_start, *filter_bytes)?);
        let mut actual = crc32fast::Hasher::new();
        actual.update(&table);
        actual.update(&filter);
        actual.update(said);
        if actual.finalize() != u32::from_le_bytes(*checksum) {
            return Err(damaged());
        }
        let numbers = table.as_chunks::<8>().0.as_chunks::<2>().0;
        let blocks =
            numbers.iter().map(|[hash, start]| (u64::from_le_bytes(*hash), u64::from_le_bytes(*start))).collect();
        let base = Order {
            order_by: Some(order_by.cast_signed()),
            received_at: received_at.cast_signed(),
            partition: partition.cast_signed(),
            offset: offset.cast_signed(),
        };
        let (entries, end) = (*entries, *end);
        let filter = (!filter.is_empty()).then(|| Sbbf::new(&filter));
        Ok(Self { path, file, entries, base, blocks, end, filter })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Reads the entries of some hashes, which are sorted.
    pub(crate) fn find(&self, hashes: &[u64], mut take: impl FnMut(Entry<'_>)) -> Result<(), RunError> {
        let mut block = Vec::new();
        let mut held = None;
        let may_be_here = |hash: &&u64| self.filter.as_ref().is_none_or(|filter| filter.check(&hash.cast_signed()));
        for hash in hashes.iter().filter(may_be_here) {
            // Equal hashes may go over several blocks: from the one before the first that starts with it.
            let first = self.blocks.partition_point(|(start, _)| start < hash).saturating_sub(1);
            for (index, (start, _)) in self.blocks.iter().enumerate().skip(first) {
                if start > hash {
                    break;
                }
                if held != Some(index) {
                    self.read_block(index, &mut block)?;
                    held = Some(index);
                }
                let mut rest = block.as_slice();
                let damaged = || RunError::Damaged(self.path.clone());
                while !rest.is_empty() {
                    let (of_entry, entry) = Entry::split(&mut rest).ok_or_else(damaged)?;
                    if of_entry == *hash {
                        take(Entry::read_rest(&self.base, of_entry, entry).ok_or_else(damaged)?);
                    } else if of_entry > *hash {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads all entries, block by block.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Result<Block, RunError>> + '_ {
        (0..self.blocks.len()).map(|index| {
            let mut bytes = Vec::new();
            self.read_block(index, &mut bytes)?;
            Ok(Block { bytes, base: self.base })
        })
    }

    fn read_block(&self, index: usize, block: &mut Vec<u8>) -> Result<(), RunError> {
        let damaged = || RunError::Damaged(self.path.clone());
        let (_, start) = *self.blocks.get(index).ok_or_else(damaged)?;
        let end = self.blocks.get(index + 1).map_or(self.end, |(_, start)| *start);
        let length = end.checked_sub(start).filter(|length| *length <= MAX_BLOCK_BYTES).ok_or_else(damaged)?;
        block.resize(usize::try_from(length).map_err(|_| damaged())?, 0);
        self.file.read_exact_at(block, start).map_err(|error| RunError::Io(self.path.clone(), error))?;
        let (entries, checksum) = block.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(damaged)?;
        if crc32fast::hash(entries) != u32::from_le_bytes(*checksum) {
            return Err(damaged());
        }
        block.truncate(block.len() - CHECKSUM_BYTES);
        Ok(())
    }
}

/// Some entries of a run.
pub(crate) struct Block {
    bytes: Vec<u8>,
    base: Order,
}

impl Block {
    /// Reads the entry that starts at a byte, and says where the next one starts. None: there are no more.
    pub(crate) fn entry(&self, start: usize) -> Option<(Entry<'_>, usize)> {
        let mut rest = self.bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let entry = Entry::read(&self.base, &mut rest)?;
        Some((entry, self.bytes.len() - rest.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::entry::Place;

    fn write(directory: &Path, hashes: &[u64]) -> Run {
        let mut writer = RunWriter::create(directory.join("a.run"), Order::LEAST, hashes.len() as u64).unwrap();
        for (row, hash) in hashes.iter().enumerate() {
            let key = format!("key-{row}");
            let place = Place { file: 1, row: u32::try_from(row).unwrap() };
            let order = Order { order_by: Some(5), received_at: 7, partition: 0, offset: row.try_into().unwrap() };
            writer.push(&Entry { hash: *hash, key: key.as_bytes(), place, order, is_tombstone: false }).unwrap();
        }
        writer.finish().unwrap()
    }

    fn found(run: &Run, hash: u64) -> Vec<u32> {
        let mut found = Vec::new();
        run.find(&[hash], |entry| found.push(entry.place.row)).unwrap();
        found
    }

    #[test]
    fn hashes_are_found_in_all_blocks_that_have_them() {
        let directory = tempfile::tempdir().unwrap();
        // Of one hash there are several blocks.
        let mut hashes: Vec<u64> = (0..1_000).collect();
        hashes.extend([1_000; 2_000]);
        hashes.extend(1_001..2_000);
        let run = write(directory.path(), &hashes);
        assert!(run.blocks.len() > 10);
        assert_eq!(found(&run, 0), [0]);
        assert_eq!(found(&run, 999), [999]);
        assert_eq!(found(&run, 1_000), (1_000..3_000).collect::<Vec<_>>());
        assert_eq!(found(&run, 1_001), [3_000]);
        assert_eq!(found(&run, 1_999), [3_998]);
        assert!(found(&run, 5_000).is_empty());
        let mut count = 0;
        run.find(&(0..3_000).collect::<Vec<_>>(), |_| count += 1).unwrap();
        assert_eq!(count, hashes.len());
    }

    #[test]
    fn a_run_that_is_torn_or_altered_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let run = write(directory.path(), &(0..5_000).collect::<Vec<_>>());
        let bytes = std::fs::read(run.path()).unwrap();
        let path = directory.path().join("b.run");
        for cut in [0, 10, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(matches!(Run::open(path.clone()), Err(RunError::Damaged(_))), "cut at {cut}");
        }
        let mut altered = bytes.clone();
        altered[100] ^= 1;
        std::fs::write(&path, &altered).unwrap();
        let altered = Run::open(path.clone()).unwrap();
        assert!(matches!(altered.find(&[1], |_| ()), Err(RunError::Damaged(_))));
        let mut altered = bytes.clone();
        let in_filter = altered.len() - FOOTER_BYTES - 1;
        altered[in_filter] ^= 1;
        std::fs::write(&path, &altered).unwrap();
        assert!(matches!(Run::open(path), Err(RunError::Damaged(_))));
    }

    #[test]
    fn only_its_owner_reads_a_run() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let run = write(directory.path(), &[1]);
        assert_eq!(std::fs::metadata(run.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
