//! Whatever the records are, what is proposed decodes them, and can be applied.

use freshet_catalog::ResourceFile;
use freshet_infer::propose;
use freshet_model::PayloadFormat;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::proposals::sampled;

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1_000_i64..1_000, 0_u32..9).prop_map(|(number, digits)| json!(format!("{number}.{digits}"))),
        (0_i64..2_000).prop_map(|number| json!(format!("{number:05}"))),
        any::<f64>().prop_map(Value::from),
        Just(json!("2026-06-14")),
        Just(json!("2026-02-30T25:00:00Z")),
        Just(json!("2026-06-14T09:30:00+02:00")),
        Just(json!("20260614")),
        Just(json!(1_781_429_580)),
        "[a-z0-9 é\"\\\\#-]{0,8}".prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..3).prop_map(object),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("id".to_owned()),
        Just("order_id".to_owned()),
        Just("updated_at".to_owned()),
        Just("received_at".to_owned()),
        Just("A".to_owned()),
        Just("a".to_owned()),
        "[a-zA-Z0-9_ .\\[\\]é\"]{1,6}",
    ]
}

fn object(fields: std::collections::BTreeMap<String, Value>) -> Value {
    Value::Object(fields.into_iter().collect::<Map<_, _>>())
}

fn record() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(name(), value(), 1..6).prop_map(object)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// `propose` itself refuses a definition that a sampled record fails.
    #[test]
    fn a_proposal_decodes_its_records_and_can_be_applied(records in prop::collection::vec(record(), 1..12)) {
        match propose(&sampled(PayloadFormat::Json, records.iter().map(Value::to_string))) {
            Ok(proposal) => {
                let file = ResourceFile::from_toml(&proposal.table);
                prop_assert!(file.is_ok(), "{:?}\n{}", file.err(), proposal.table);
                prop_assert!(!proposal.feed.is_empty());
            }
            Err(error) => prop_assert_eq!(error.to_string(), "the records have no fields"),
        }
    }
}
