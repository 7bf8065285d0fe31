//! Values of a profile's attributes as filters compare them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The values of some attributes of a JSON object, in the order of `fields`: a string's characters, any other value's JSON text,
/// none for null and for what isn't there. Reads the whole object, and so says whether it is one.
///
/// # Errors
/// The text is not one JSON object.
pub(crate) fn values_of(
    attributes: &str,
    fields: &[impl AsRef<str>],
) -> Result<Vec<Option<String>>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(attributes);
    let values = Fields(fields).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(values)
}

struct Fields<'a, F>(&'a [F]);

impl<'de, F: AsRef<str>> DeserializeSeed<'de> for Fields<'_, F> {
    type Value = Vec<Option<String>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: AsRef<str>> Visitor<'de> for Fields<'_, F> {
    type Value = Vec<Option<String>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of a profile's attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![None; self.0.len()];
        while let Some(name) = map.next_key_seed(Name)? {
            let mut wanted = values.iter_mut().zip(self.0).filter(|(_, field)| field.as_ref() == name).peekable();
            if wanted.peek().is_none() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = text_of(map.next_value::<&RawValue>()?.get()).map_err(A::Error::custom)?;
            // The same field may be asked for twice.
            wanted.for_each(|(place, _)| place.clone_from(&value));
        }
        Ok(values)
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of an attribute")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

fn text_of(json: &str) -> Result<Option<String>, serde_json::Error> {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).map(Some),
        Some(b'n') => Ok(None),
        _ => Ok(Some(json.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::text(r#"{"a":"x"}"#, Some("x"))]
    #[case::empty_text(r#"{"a":""}"#, Some(""))]
    #[case::escapes(r#"{"a":"\u00e9\n\"{"}"#, Some("é\n\"{"))]
    #[case::escaped_name(r#"{"\u0061":"x"}"#, Some("x"))]
    #[case::integer(r#"{"b":1,"a":-12}"#, Some("-12"))]
    #[case::decimal_as_written(r#"{"a":12.50}"#, Some("12.50"))]
    #[case::boolean(r#"{"a":true}"#, Some("true"))]
    #[case::null(r#"{"a":null}"#, None)]
    #[case::text_null(r#"{"a":"null"}"#, Some("null"))]
    #[case::missing(r#"{"A":"x","b":{"a":"y"}}"#, None)]
    #[case::nested(r#"{"a":[1, 2]}"#, Some("[1, 2]"))]
    #[case::blanks(r#" { "a" : 7 , "b" : [ {} ] } "#, Some("7"))]
    fn values_are_texts(#[case] attributes: &str, #[case] value: Option<&str>) {
        let expected = value.map(str::to_owned);
        assert_eq!(values_of(attributes, &["a", "z", "a"]).unwrap(), [expected.clone(), None, expected]);
    }

    #[rstest]
    #[case::array("[]")]
    #[case::text("\"a\"")]
    #[case::nothing("")]
    #[case::cut_off(r#"{"a":1"#)]
    #[case::two(r#"{"a":1}{"a":2}"#)]
    #[case::not_json(r#"{"a":x}"#)]
    fn what_is_no_object_is_refused(#[case] attributes: &str) {
        assert!(values_of(attributes, &["a"]).is_err());
    }
}
