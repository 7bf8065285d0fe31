//! What a table's definition means to the table, and to what is kept of it.

use std::ops::Range;

use freshet_decode::{Decoded, table_schema};
use freshet_model::{DeleteWhen, TableDefinition, TableMerge, TableMode};
use freshet_queue::fnv1a;
use freshet_table::{Merge, Slice, TableKind, TableSpec};

/// How a definition's table is made.
pub(crate) fn spec_of(definition: &TableDefinition) -> TableSpec {
    let kind = match definition.mode {
        TableMode::Append => TableKind::Append,
        TableMode::Upsert => TableKind::Upsert {
            key: definition.key.iter().map(ToString::to_string).collect(),
            order_by: definition.order_by.as_ref().map(ToString::to_string),
            merge: match definition.merge {
                TableMerge::Replace => Merge::Replace,
                TableMerge::Patch => Merge::Patch,
            },
        },
    };
    TableSpec { schema: table_schema(definition), kind }
}

/// Decoded records of a stretch of a partition as the table takes them.
pub(crate) fn slice_of(partition: u32, offsets: Range<u64>, decoded: Decoded) -> Slice {
    let Decoded { rows, row_offsets, deletes, absent, .. } = decoded;
    Slice { partition, offsets, rows, row_offsets, deletes, absent }
}

/// A number that changes with what decides which records fail.
pub(crate) fn fingerprint(definition: &TableDefinition) -> u64 {
    let TableDefinition { mode, key, order_by, columns, row_tag, merge, delete_when, .. } = definition;
    let delete_when = delete_when.as_ref().map(DeleteWhen::as_str);
    fnv1a(format!("{:?}", (mode, key, order_by, columns, row_tag, merge, delete_when)).bytes())
}

#[cfg(test)]
mod tests {
    use arrow::array::BooleanArray;
    use bytes::Bytes;
    use freshet_decode::Decoder;
    use freshet_model::{PayloadFormat, Position, QueuedRecord, Record, RecordHeaders, RequestId, StreamId, TenantId};
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn definition(more: &Value) -> TableDefinition {
        let mut document = json!({
            "stream": "orders", "key": ["id"], "order_by": "version",
            "columns": [{"name": "id", "type": "string"}, {"name": "version", "type": "integer"}, {"name": "note", "type": "string"}],
        });
        for (field, value) in more.as_object().unwrap() {
            document[field] = value.clone();
        }
        TableDefinition::read("", &document).unwrap()
    }

    fn queued(offset: u64, payload: &Value) -> QueuedRecord {
        let headers = RecordHeaders {
            tenant: TenantId::parse("acme").unwrap(),
            stream: StreamId::parse("is-000000001").unwrap(),
            received_at: Timestamp::UNIX_EPOCH,
            request_id: RequestId::parse("r-1").unwrap(),
            index: 0,
            format: PayloadFormat::Json,
        };
        let record = Record { headers, payload: Bytes::from(payload.to_string()) };
        QueuedRecord { position: Position { partition: 2, offset }, record }
    }

    #[test]
    fn a_table_is_made_as_its_definition_merges() {
        let merge = |more: &Value| match spec_of(&definition(more)).kind {
            TableKind::Upsert { key, order_by, merge } => {
                assert_eq!((key, order_by), (vec!["id".to_owned()], Some("version".to_owned())));
                Some(merge)
            }
            TableKind::Append | TableKind::Replaced => None,
        };
        assert_eq!(merge(&json!({})), Some(Merge::Replace));
        assert_eq!(merge(&json!({"merge": "patch"})), Some(Merge::Patch));
        assert_eq!(merge(&json!({"mode": "append", "key": [], "order_by": null})), None);
    }

    #[test]
    fn the_table_is_told_what_deletes_and_what_was_lacking() {
        let definition = definition(&json!({"merge": "patch", "delete_when": "op = 'D'"}));
        let records = [
            queued(5, &json!({"id": "a", "version": 1, "note": null})),
            queued(6, &json!({"id": "b"})),
            queued(7, &json!({"version": 1, "op": "D"})),
            queued(8, &json!({"id": "a", "version": 2, "op": "D"})),
        ];
        let decoded = Decoder::new(&definition).decode(&records, Timestamp::UNIX_EPOCH).unwrap();
        let slice = slice_of(2, 5..9, decoded);
        assert_eq!((slice.partition, &slice.offsets, &slice.row_offsets[..]), (2, &(5..9), &[5, 6, 8][..]));
        assert_eq!(slice.deletes, Some(BooleanArray::from(vec![false, false, true])));
        let lacking = |name: &str| slice.absent.get(name).cloned();
        assert_eq!(lacking("note"), Some(BooleanArray::from(vec![false, true, true])));
        assert_eq!(lacking("version"), Some(BooleanArray::from(vec![false, true, false])));
        assert_eq!(slice.absent.len(), 2);
    }

    #[test]
    fn what_decides_which_records_fail_has_a_number_of_its_own() {
        let changes = [
            json!({}),
            json!({"merge": "patch"}),
            json!({"delete_when": "op = 'D'"}),
            json!({"delete_when": "op = 'X'"}),
            json!({"order_by": null}),
        ];
        let numbers: std::collections::BTreeSet<u64> =
            changes.iter().map(|change| fingerprint(&definition(change))).collect();
        assert_eq!(numbers.len(), changes.len());
        assert_eq!(fingerprint(&definition(&json!({"databases": ["retail"]}))), fingerprint(&definition(&json!({}))));
    }
}
