//! Random deliveries of random records: everything that a queue and its consumers may do to a table.

use std::collections::BTreeMap;
use std::ops::Range;

use freshet_table::{Merge, Slice, TableKind};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::model::{Given, Row};
use crate::support::slice;

/// The log of one topic, and how far it has been delivered.
pub(crate) struct Schedule {
    random: StdRng,
    /// The rows of each record by partition and offset.
    log: BTreeMap<u32, Vec<Vec<Row>>>,
    delivered: BTreeMap<u32, u64>,
}

/// Some slices, and the rows in them.
pub(crate) struct Delivery {
    pub(crate) slices: Vec<Slice>,
    pub(crate) rows: Vec<Row>,
}

impl Schedule {
    pub(crate) fn new(seed: u64, kind: &TableKind) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let partitions = random.random_range(1..=3);
        let log = (0..partitions).map(|partition| (partition, records(&mut random, partition, kind))).collect();
        Self { random, log, delivered: BTreeMap::new() }
    }

    pub(crate) fn chance(&mut self, of_a_hundred: u32) -> bool {
        self.random.random_range(0..100) < of_a_hundred
    }

    pub(crate) fn seed(&mut self) -> u64 {
        self.random.random()
    }

    /// What comes next on some partitions, often with some of what came before, cut anywhere, in any order.
    pub(crate) fn next(&mut self) -> Delivery {
        let mut ranges: Vec<(u32, Range<u64>)> = Vec::new();
        for (partition, records) in &self.log {
            let end = records.len() as u64;
            let delivered = self.delivered.get(partition).copied().unwrap_or(0);
            if self.random.random_range(0..100) < 25 {
                continue;
            }
            let start =
                if self.random.random_range(0..100) < 40 { self.random.random_range(0..=delivered) } else { delivered };
            let to = self.random.random_range(delivered..=end.min(delivered + 25)).max(start);
            self.delivered.insert(*partition, delivered.max(to));
            let cut = self.random.random_range(start..=to);
            // Often the two parts overlap.
            let overlap = if self.random.random_range(0..2) == 0 { cut.saturating_sub(3).max(start) } else { cut };
            ranges.push((*partition, start..cut));
            ranges.push((*partition, overlap..to));
        }
        ranges.shuffle(&mut self.random);
        self.deliver(&ranges)
    }

    /// Something that was delivered before.
    pub(crate) fn again(&mut self) -> Delivery {
        let mut ranges = Vec::new();
        for (partition, delivered) in &self.delivered {
            let start = self.random.random_range(0..=*delivered);
            ranges.push((*partition, start..self.random.random_range(start..=*delivered)));
        }
        self.deliver(&ranges)
    }

    fn deliver(&self, ranges: &[(u32, Range<u64>)]) -> Delivery {
        let mut delivery = Delivery { slices: Vec::new(), rows: Vec::new() };
        for (partition, offsets) in ranges {
            let records =
                &self.log[partition][usize::try_from(offsets.start).unwrap()..usize::try_from(offsets.end).unwrap()];
            let rows: Vec<Row> = records.iter().flatten().cloned().collect();
            delivery.slices.push(slice(*partition, offsets.clone(), &rows));
            delivery.rows.extend(rows);
        }
        delivery
    }
}

/// Few keys, orders that are missing, equal or out of order, and times that now and then fall. Most records make one row,
/// some none, some several, of which some are of one key.
fn records(random: &mut StdRng, partition: u32, kind: &TableKind) -> Vec<Vec<Row>> {
    let deletes = matches!(kind, TableKind::Upsert { .. });
    let lacks = matches!(kind, TableKind::Upsert { merge: Merge::Patch, .. });
    let keys = random.random_range(1..=12);
    let mut time = 1_700_000_000_000_000;
    (0..random.random_range(20..120))
        .map(|offset| {
            time += random.random_range(-2..=5);
            let rows = match random.random_range(0..12) {
                0 => 0,
                1..=8 => 1,
                _ => random.random_range(2..=4),
            };
            let mut row = |place| Row {
                key: (format!("o-{}", random.random_range(0..keys)), Some(random.random_range(0..2))),
                order: (random.random_range(0..4) > 0).then(|| random.random_range(-5..5)),
                value: format!("{partition}/{offset}/{place}/{}", random.random_range(0..1_000)),
                received_at: time,
                partition,
                offset,
                note: match random.random_range(0..4) {
                    0 => Given::Null,
                    1 if lacks => Given::Absent,
                    _ => Given::Text(format!("note {}", random.random_range(0..1_000))),
                },
                deletes: deletes && random.random_range(0..100) < 12,
            };
            (0..rows).map(&mut row).collect()
        })
        .collect()
}
