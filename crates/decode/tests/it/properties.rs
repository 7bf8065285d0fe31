//! Properties of all inputs. A failure prints the seed; `FRESHET_SEED` runs it again.

use bytes::Bytes;
use freshet_decode::{
    BodyForm, ContentEncoding, Decoded, Decoder, SplitLimits, decompress, failed_rows, split_records,
};
use freshet_model::{QueuedRecord, TableDefinition};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Value, json};

use crate::support::{Cell, decode_value, queued, table, written_at};

/// Runs a property over many inputs.
pub(crate) fn check<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>)
where
    S::Value: std::fmt::Debug,
{
    let seed = freshet_testkit::seed();
    let config = Config { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() };
    if let Err(failure) = TestRunner::new(config).run(strategy, property) {
        panic!("{failure}");
    }
}

/// A text as it may come: as it is, or with blanks around it.
fn quoted(text: &str) -> [String; 2] {
    [format!("\"{text}\""), format!("\" {text}\\t \"")]
}

fn all_become(column_type: &str, forms: &[String], expected: &Cell) -> Result<(), TestCaseError> {
    for form in forms {
        prop_assert_eq!(decode_value(column_type, form), Ok(expected.clone()), "{} from {}", column_type, form);
    }
    Ok(())
}

#[test]
fn every_form_of_an_integer_is_that_integer() {
    check(500, &any::<i64>(), |integer| {
        let mut forms = vec![integer.to_string(), format!("{integer}.00"), format!("{integer}0e-1")];
        forms.extend(quoted(&integer.to_string()));
        all_become("integer", &forms, &Cell::Integer(integer))?;
        all_become("string", &forms[..1], &Cell::Text(integer.to_string()))
    });
}

#[test]
fn every_form_of_a_double_is_that_double() {
    check(500, &prop::num::f64::ANY.prop_filter("finite", |double| double.is_finite()), |double| {
        let mut forms =
            vec![format!("{double:e}"), format!("{double:?}"), double.to_string(), json!(double).to_string()];
        forms.extend(quoted(&double.to_string()));
        all_become("double", &forms, &Cell::Double(double))
    });
}

/// A precision, a scale, and an unscaled value that fits.
fn decimals() -> impl Strategy<Value = (u8, u8, i128)> {
    (1_u8..=38).prop_flat_map(|precision| (Just(precision), 0..=precision)).prop_flat_map(|(precision, scale)| {
        let most = 10_i128.pow(u32::from(precision)) - 1;
        (Just(precision), Just(scale), -most..=most)
    })
}

fn decimal_text(unscaled: i128, scale: u8) -> String {
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    let sign = if unscaled < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[test]
fn every_form_of_a_decimal_is_that_decimal() {
    check(500, &decimals(), |(precision, scale, unscaled)| {
        let plain = decimal_text(unscaled, scale);
        let point = if plain.contains('.') { "" } else { "." };
        let mut forms =
            vec![plain.clone(), format!("{plain}{point}000"), format!("{unscaled}e-{scale}"), format!("{plain}E+0")];
        forms.extend(quoted(&plain));
        forms.extend(quoted(&format!("00{plain}").replace("00-", "-00")));
        all_become(&format!("decimal({precision},{scale})"), &forms, &Cell::Decimal(unscaled))
    });
}

#[test]
fn a_digit_too_many_fails_on_either_side() {
    check(500, &(decimals(), 1_u8..=9), |((precision, scale, unscaled), digit)| {
        let column_type = format!("decimal({precision},{scale})");
        let plain = decimal_text(unscaled, scale);
        let point = if plain.contains('.') { "" } else { "." };
        let too_fine = format!("{plain}{point}{digit}");
        prop_assert!(decode_value(&column_type, &too_fine).is_err(), "{}", too_fine);
        let too_large = decimal_text(10_i128.pow(u32::from(precision)) + unscaled.abs() / 10, scale);
        prop_assert!(decode_value(&column_type, &too_large).is_err(), "{}", too_large);
        Ok(())
    });
}

#[test]
fn every_form_of_a_time_is_that_time() {
    let years_1000_to_9998 = -30_610_224_000_000_000_i64..253_370_764_800_000_000;
    check(500, &(years_1000_to_9998, -23 * 60..=23 * 60_i32), |(microseconds, offset_minutes)| {
        let timestamp = Timestamp::from_microsecond(microseconds).unwrap();
        let expected = Cell::Micros(microseconds);
        let offset = Offset::from_seconds(offset_minutes * 60).unwrap();
        let there: Zoned = timestamp.to_zoned(TimeZone::fixed(offset));
        let here = timestamp.to_zoned(TimeZone::UTC);
        let mut forms = Vec::new();
        forms.extend(quoted(&timestamp.to_string()));
        for (time, zones) in [(&there, &["%:z", "%z", " %:z"][..]), (&here, &["", "Z", " UTC"][..])] {
            for separator in ["T", " "] {
                for zone in zones {
                    forms.extend(quoted(&time.strftime(&format!("%Y-%m-%d{separator}%H:%M:%S.%6f{zone}")).to_string()));
                }
            }
        }
        all_become("timestamp", &forms, &expected)?;
        let day = microseconds.div_euclid(86_400_000_000);
        all_become("date", &forms, &Cell::Days(i32::try_from(day).unwrap()))?;
        all_become("date", &quoted(&here.strftime("%Y-%m-%d").to_string()), &Cell::Days(i32::try_from(day).unwrap()))
    });
}

#[test]
fn epochs_from_1974_to_5138_are_told_apart_by_size() {
    check(500, &(126_230_400_000_000_i64..99_999_999_999_000_000), |microseconds| {
        for unit in [1, 1_000, 1_000_000] {
            let count = microseconds / unit;
            let expected = Cell::Micros(count * unit);
            all_become("timestamp", &[count.to_string(), format!("{count}.0")], &expected)?;
            if count.to_string().len() != 14 {
                all_become("timestamp", &quoted(&count.to_string()), &expected)?;
            }
        }
        Ok(())
    });
}

#[test]
fn every_text_is_that_text() {
    check(500, &any::<String>(), |text| {
        let escaped = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat();
        let plain = serde_json::to_string(&text).unwrap();
        all_become("string", &[plain.clone(), format!("\"{escaped}\"")], &Cell::Text(text.clone()))?;
        if !text.is_empty() {
            all_become("json", std::slice::from_ref(&plain), &Cell::Text(plain.clone()))?;
        }
        Ok(())
    });
}

fn every_type() -> TableDefinition {
    table(&json!([
        {"name": "s", "type": "string"},
        {"name": "b", "type": "boolean"},
        {"name": "i", "type": "integer", "required": true},
        {"name": "f", "type": "double"},
        {"name": "d", "type": "decimal(9,2)"},
        {"name": "day", "type": "date"},
        {"name": "t", "type": "timestamp"},
        {"name": "j", "type": "json"},
        {"name": "p", "type": "string", "path": "j.s"},
        {"name": "q", "type": "integer", "path": "j[1].i"},
    ]))
}

/// Any JSON value, with the names and the texts that the columns look at.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        "[0-9+\\-:TZ.e ]{0,12}".prop_map(Value::from),
        "[0-9]{4}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-5][0-9](:[0-6][0-9])?(Z|[+-][01][0-9]:?[0-9]{2})?)?"
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any_name(), inner), 0..4).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof!["[sbifdtjxSBIFDTJX]", "day|DAY|s|i", ".{0,3}"]
}

/// An object, written field by field so that names may come twice; mostly with what the required column needs.
fn any_object() -> impl Strategy<Value = String> {
    (vec((any_name(), any_json()), 0..8), prop::bool::weighted(0.8)).prop_map(|(fields, has_required)| {
        let required = has_required.then(|| "\"i\": 1".to_owned());
        let fields = fields.iter().map(|(name, value)| format!("{}: {value}", json!(name)));
        format!("{{{}}}", fields.chain(required).collect::<Vec<_>>().join(", "))
    })
}

/// Objects, other JSON, objects with one byte changed, and any bytes.
fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    let changed = (any_object(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(object, at, byte)| {
        let mut bytes = object.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes
    });
    prop_oneof![
        6 => any_object().prop_map(String::into_bytes),
        1 => any_json().prop_map(|value| value.to_string().into_bytes()),
        2 => changed,
        1 => vec(any::<u8>(), 0..32),
    ]
}

fn as_records(payloads: &[Vec<u8>]) -> Vec<QueuedRecord> {
    (0..).zip(payloads).map(|(offset, payload)| queued(offset, payload)).collect()
}

#[test]
fn each_record_becomes_one_row_or_one_failed_row() {
    let decoder = Decoder::new(&every_type());
    check(2_000, &vec(any_payload(), 0..12), |payloads| {
        let records = as_records(&payloads);
        let Decoded { rows, row_offsets, failed, .. } = decoder.decode(&records, written_at()).unwrap();
        prop_assert_eq!(rows.num_rows(), row_offsets.len());
        let mut offsets: Vec<u64> =
            row_offsets.into_iter().chain(failed.iter().map(|row| row.position.offset)).collect();
        offsets.sort_unstable();
        prop_assert_eq!(offsets, records.iter().map(|queued| queued.position.offset).collect::<Vec<_>>());
        prop_assert_eq!(failed_rows("records", &failed, written_at()).unwrap().num_rows(), failed.len());
        prop_assert!(failed.iter().all(|row| row.reason.len() < 1_000 && row.raw == payloads[row.index as usize]));
        Ok(())
    });
}

#[test]
fn a_batch_decodes_as_each_of_its_records_alone() {
    let decoder = Decoder::new(&every_type());
    check(1_000, &vec(any_payload(), 0..12), |payloads| {
        let records = as_records(&payloads);
        let together = decoder.decode(&records, written_at()).unwrap();
        let (mut rows, mut failed, mut ignored_fields) = (0, Vec::new(), 0);
        for record in &records {
            let alone = decoder.decode(std::slice::from_ref(record), written_at()).unwrap();
            if alone.rows.num_rows() == 1 {
                prop_assert_eq!(&alone.rows, &together.rows.slice(rows, 1));
                rows += 1;
            }
            failed.extend(alone.failed);
            ignored_fields += alone.ignored_fields;
        }
        prop_assert_eq!(rows, together.rows.num_rows());
        prop_assert_eq!(failed, together.failed);
        prop_assert_eq!(ignored_fields, together.ignored_fields);
        Ok(())
    });
}

#[test]
fn objects_are_split_as_they_are_parsed() {
    check(1_000, &(vec(any_object(), 1..12), "[ \\n\\t\\r]{0,3}"), |(objects, blanks)| {
        let array = format!("{blanks}[{blanks}{}{blanks}]{blanks}", objects.join(&format!("{blanks},{blanks}")));
        let lines = objects.join(&format!("{blanks}\n{blanks}"));
        for (form, body) in [(BodyForm::Json, array), (BodyForm::NdJson, lines)] {
            let records = split_records(&Bytes::from(body), form, SplitLimits::default()).unwrap();
            prop_assert_eq!(&records, &objects);
        }
        Ok(())
    });
}

#[test]
fn what_is_split_is_what_a_parser_takes() {
    let any_body = prop_oneof![
        any_payload(),
        vec(any_payload(), 0..4).prop_map(|parts| { [&b"["[..], &parts.join(&b","[..]), b"]"].concat() })
    ];
    check(3_000, &any_body, |body| {
        let split = split_records(&Bytes::from(body.clone()), BodyForm::Json, SplitLimits::default());
        match serde_json::from_slice::<Value>(&body) {
            Ok(Value::Object(object)) => {
                let [record] = &split.unwrap()[..] else { panic!("one object is one record") };
                prop_assert_eq!(serde_json::from_slice::<Value>(record).unwrap(), Value::Object(object));
            }
            Ok(Value::Array(elements)) if !elements.is_empty() && elements.iter().all(Value::is_object) => {
                let parsed: Vec<Value> =
                    split.unwrap().iter().map(|record| serde_json::from_slice(record).unwrap()).collect();
                prop_assert_eq!(parsed, elements);
            }
            Ok(_) => prop_assert!(split.is_err()),
            // A number too great for a double and half a surrogate pair are JSON, though this parser refuses them.
            Err(error)
                if ["number out of range", "hex escape", "surrogate"]
                    .iter()
                    .any(|why| error.to_string().contains(why)) => {}
            Err(_) => prop_assert!(split.is_err()),
        }
        let _ = split_records(&Bytes::from(body), BodyForm::NdJson, SplitLimits::default());
        Ok(())
    });
}

#[test]
fn decompressing_any_bytes_ends_within_the_limit() {
    let any_bytes = prop_oneof![
        vec(any::<u8>(), 0..64),
        vec(any::<u8>(), 0..64).prop_map(|rest| [&b"\x1f\x8b\x08\x00"[..], &rest].concat()),
        vec(any::<u8>(), 0..64).prop_map(|rest| [&b"\x28\xb5\x2f\xfd"[..], &rest].concat()),
    ];
    check(2_000, &any_bytes, |bytes| {
        let body = Bytes::from(bytes);
        for encoding in [ContentEncoding::Identity, ContentEncoding::Gzip, ContentEncoding::Zstd] {
            if let Ok(decompressed) = decompress(encoding, &body, 100) {
                prop_assert!(decompressed.len() <= 100);
            }
        }
        Ok(())
    });
}
