//! The type of a leaf.

use freshet_model::ColumnType;

use crate::leaves::Leaf;

/// Longest example of a value, in characters: enough to recognize it by.
const EXAMPLE: usize = 24;
/// Digits that a proposed decimal has at least: amounts grow.
const LEAST_PRECISION: u8 = 18;
/// Most digits after the point of a decimal: numbers with more are measured, not counted.
const MOST_SCALE: usize = 6;
/// Most digits of a decimal.
const MOST_PRECISION: usize = 38;
/// Words in names of times.
const TIMES: [&str; 6] = ["time", "date", "_at", "_on", "timestamp", "_ts"];
/// Words in names of what is written with digits and is no number.
const LABELS: [&str; 9] = ["id", "zip", "postcode", "postal", "phone", "code", "number", "sku", "ean"];

/// A type and what was ambiguous about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Typed {
    pub(crate) column_type: ColumnType,
    pub(crate) notes: Vec<String>,
}

/// One value, as far as its text tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looks {
    Nested,
    Boolean,
    /// A number of the JSON, or one in a text.
    Whole {
        in_text: bool,
    },
    Fraction {
        in_text: bool,
    },
    Exponent,
    Day,
    Time {
        has_zone: bool,
    },
    Text,
    Empty,
}

/// The type that fits all of a leaf's values and loses nothing of them.
pub(crate) fn type_of(leaf: &Leaf) -> Typed {
    let values: Vec<&str> = leaf.present().map(|(_, value)| value).collect();
    let looks: Vec<(Looks, &str)> =
        values.iter().map(|value| (looks(value), *value)).filter(|(looks, _)| *looks != Looks::Empty).collect();
    let plain = |column_type| Typed { column_type, notes: Vec::new() };
    if looks.is_empty() {
        let notes = vec!["every value is null or empty; a string takes whatever comes".to_owned()];
        return Typed { column_type: ColumnType::String, notes };
    }
    let all = |is: fn(Looks) -> bool| looks.iter().all(|(looks, _)| is(*looks));
    let any = |is: fn(Looks) -> bool| looks.iter().any(|(looks, _)| is(*looks));
    if any(|looks| looks == Looks::Nested) {
        let mut typed = plain(ColumnType::Json);
        if !all(|looks| looks == Looks::Nested) {
            typed.notes.push("nested in some records, plain in others".to_owned());
        }
        return typed;
    }
    if all(|looks| looks == Looks::Boolean) {
        return plain(ColumnType::Boolean);
    }
    let name = leaf.path.last().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
    if all(is_number) {
        return number(&name, &looks);
    }
    if all(|looks| looks == Looks::Day) {
        return plain(ColumnType::Date);
    }
    if all(|looks| matches!(looks, Looks::Day | Looks::Time { .. })) {
        let mut typed = plain(ColumnType::Timestamp);
        if any(|looks| matches!(looks, Looks::Time { has_zone: false })) {
            typed.notes.push("times without a zone are taken as UTC".to_owned());
        }
        if any(|looks| looks == Looks::Day) {
            typed.notes.push("some values are days: their midnight in UTC".to_owned());
        }
        return typed;
    }
    let mut typed = plain(ColumnType::String);
    let others = |is: fn(Looks) -> bool, what: &str| {
        let odd: Vec<&str> = looks.iter().filter(|(looks, _)| !is(*looks)).map(|(_, value)| *value).collect();
        (odd.len() * 10 < looks.len()).then(|| {
            let example = odd.first().map(|value| shown(value)).unwrap_or_default();
            format!("{} of {} values are not {what}, e.g. {example}", odd.len(), looks.len())
        })
    };
    typed.notes.extend(others(is_number, "numbers"));
    typed.notes.extend(others(|looks| matches!(looks, Looks::Day | Looks::Time { .. }), "times"));
    typed.notes.extend(others(|looks| looks == Looks::Boolean, "true or false"));
    typed
}

fn is_number(looks: Looks) -> bool {
    matches!(looks, Looks::Whole { .. } | Looks::Fraction { .. } | Looks::Exponent)
}

fn number(name: &str, looks: &[(Looks, &str)]) -> Typed {
    let texts: Vec<&str> = looks.iter().map(|(_, value)| unquoted(value)).collect();
    let is_in_text = looks
        .iter()
        .any(|(looks, _)| matches!(looks, Looks::Whole { in_text: true } | Looks::Fraction { in_text: true }));
    let is_label =
        LABELS.iter().any(|label| name == *label || name.ends_with(&format!("_{label}")) || name.ends_with(label));
    let has_leading_zero = texts.iter().any(|text| {
        let digits = text.trim_start_matches('-');
        digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.")
    });
    if is_in_text && (has_leading_zero || is_label) {
        let why = if has_leading_zero {
            "digits with leading zeros: a number would lose them"
        } else {
            "digits in texts, kept as they are"
        };
        return Typed { column_type: ColumnType::String, notes: vec![why.to_owned()] };
    }
    let mut notes = Vec::new();
    if is_in_text {
        notes.push("numbers in texts".to_owned());
    }
    let is_whole = looks.iter().all(|(looks, _)| matches!(looks, Looks::Whole { .. }));
    if is_whole {
        if texts.iter().any(|text| text.parse::<i64>().is_err()) {
            let why = "whole numbers beyond 64 bits".to_owned();
            return Typed { column_type: ColumnType::String, notes: vec![why] };
        }
        if TIMES.iter().any(|word| name.contains(word)) && texts.iter().all(|text| is_recent_epoch(text)) {
            notes.push(
                "whole numbers that count from 1970, by the column's name; integer would keep the counts".to_owned(),
            );
            return Typed { column_type: ColumnType::Timestamp, notes };
        }
        if texts.iter().all(|text| matches!(*text, "0" | "1")) {
            notes.push("only 0 and 1 were seen: boolean would do".to_owned());
        }
        return Typed { column_type: ColumnType::Integer, notes };
    }
    let parts = texts
        .iter()
        .map(|text| text.trim_start_matches('-').split_once('.').unwrap_or((text.trim_start_matches('-'), "")));
    let (whole, scale) =
        parts.fold((1, 0), |(whole, scale), (before, after)| (whole.max(before.len()), scale.max(after.len())));
    let has_exponent = looks.iter().any(|(looks, _)| *looks == Looks::Exponent);
    if has_exponent || scale > MOST_SCALE || whole + scale > MOST_PRECISION {
        notes.push("numbers of many digits: a double rounds what a decimal would keep".to_owned());
        return Typed { column_type: ColumnType::Double, notes };
    }
    let scale = scale.max(2);
    let precision = (whole + scale + 2).clamp(usize::from(LEAST_PRECISION), MOST_PRECISION);
    notes.push(format!("at most {scale} digits after the point; a value with more would fail its row"));
    let (precision, scale) = (u8::try_from(precision).unwrap_or(38), u8::try_from(scale).unwrap_or(6));
    Typed { column_type: ColumnType::Decimal { precision, scale }, notes }
}

/// From 2001 to 2100, in seconds, milliseconds or microseconds.
fn is_recent_epoch(text: &str) -> bool {
    let Ok(count) = text.parse::<i64>() else { return false };
    [1, 1_000, 1_000_000].iter().any(|unit| (1_000_000_000 * unit..4_102_444_800 * unit).contains(&count))
}

fn looks(value: &str) -> Looks {
    match value.as_bytes().first() {
        Some(b'{' | b'[') => Looks::Nested,
        Some(b't' | b'f') => Looks::Boolean,
        Some(b'"') => looks_of_text(&text(value)),
        _ => looks_of_number(value, false),
    }
}

fn looks_of_text(text: &str) -> Looks {
    let text = text.trim();
    if text.is_empty() {
        return Looks::Empty;
    }
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return Looks::Boolean;
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_numeric = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.matches('.').count() <= 1
        && !digits.ends_with('.');
    if is_numeric {
        return looks_of_number(text, true);
    }
    looks_of_time(text)
}

fn looks_of_number(text: &str, in_text: bool) -> Looks {
    if text.contains(['e', 'E']) {
        Looks::Exponent
    } else if text.contains('.') {
        Looks::Fraction { in_text }
    } else {
        Looks::Whole { in_text }
    }
}

/// Near to what the decoder takes; the proposal is tried on the records in the end.
fn looks_of_time(text: &str) -> Looks {
    let bytes = text.as_bytes();
    let is_day = bytes.len() >= 10
        && bytes.iter().take(10).enumerate().all(|(place, byte)| match place {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    match (is_day, bytes.get(10)) {
        (true, None) => Looks::Day,
        (true, Some(b'T' | b't' | b' ')) => {
            let clock = text.get(11..).unwrap_or_default();
            Looks::Time { has_zone: clock.ends_with(['Z', 'z', 'C']) || clock.contains(['+', '-']) }
        }
        _ => Looks::Text,
    }
}

/// A JSON string's characters; of anything else its text.
pub(crate) fn text(value: &str) -> String {
    serde_json::from_str(value).unwrap_or_else(|_| value.to_owned())
}

fn unquoted(value: &str) -> &str {
    value.trim_matches('"').trim()
}

/// A value in a comment: shortened, on one line.
pub(crate) fn shown(value: &str) -> String {
    let short: String =
        value.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(EXAMPLE).collect();
    if short.len() < value.len() { format!("{short}…") } else { short }
}
