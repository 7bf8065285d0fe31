//! The small parts of XML 1.0 that `quick_xml` leaves to its callers: characters, names, attributes, references.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Malformed;

/// So many attributes are compared with each other; more are put into a set.
const FEW_ATTRIBUTES: usize = 8;

/// One attribute of a start tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    /// Its name, perhaps with a prefix.
    pub(crate) name: &'a str,
    /// Its value as it is written, without the quotes. Its references are known to be right.
    pub(crate) raw: &'a str,
}

impl<'a> Attribute<'a> {
    /// The value: references replaced; a tab or an end of line is a blank, as XML has it (3.3.3).
    pub(crate) fn value(&self) -> Cow<'a, str> {
        if !self.raw.bytes().any(|byte| matches!(byte, b'&' | b'\t' | b'\n' | b'\r')) {
            return Cow::Borrowed(self.raw);
        }
        let mut value = String::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
            let (before, marked) = rest.split_at(at);
            value.push_str(before);
            if let Some((character, after)) = leading_reference(marked) {
                value.push(character);
                rest = after;
            } else {
                value.push(' ');
                rest = marked.strip_prefix("\r\n").or_else(|| marked.get(1..)).unwrap_or_default();
            }
        }
        value.push_str(rest);
        Cow::Owned(value)
    }
}

/// Whether XML allows a character in a document (2.2).
pub(crate) fn is_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// Where in a text the first character stands that XML doesn't allow.
pub(crate) fn find_forbidden(text: &str) -> Option<(usize, char)> {
    // The forbidden ones are control characters, and U+FFFE and U+FFFF, which begin with 0xEF in UTF-8.
    let is_suspect = |byte: u8| (byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) || byte == 0xef;
    let mut from = 0;
    for chunk in text.as_bytes().chunks(4_096) {
        // Without an early end, so that many bytes are looked at in one step.
        if chunk.iter().fold(false, |found, byte| found | is_suspect(*byte)) {
            let start = text.floor_char_boundary(from);
            let end = text.ceil_char_boundary(from + chunk.len());
            let characters = text.get(start..end).unwrap_or_default().char_indices();
            let forbidden = characters.map(|(at, character)| (start + at, character));
            if let Some(found) = forbidden.into_iter().find(|(_, character)| !is_character(*character)) {
                return Some(found);
            }
        }
        from += chunk.len();
    }
    None
}

/// What XML calls white space.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Without the white space at its start.
pub(crate) fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

/// Without the white space at its end.
pub(crate) fn trim_end(text: &str) -> &str {
    text.trim_end_matches([' ', '\t', '\n', '\r'])
}

/// Whether a text is a name (2.3), prefix and colon included.
pub(crate) fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(starts_name) && characters.all(continues_name)
}

fn starts_name(character: char) -> bool {
    match character {
        'a'..='z' | 'A'..='Z' | '_' | ':' => true,
        '\0'..='\u{bf}' => false,
        _ => matches!(character,
            '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}'
            | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}'
            | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}'),
    }
}

fn continues_name(character: char) -> bool {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | ':' | '-' | '.' => true,
        '\0'..='\u{b6}' => false,
        _ => matches!(character, '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}') || starts_name(character),
    }
}

/// A name without its prefix.
pub(crate) fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// The character that a reference stands for, given what is between `&` and `;`: one of the five that XML knows, or a
/// number.
pub(crate) fn resolve(reference: &str) -> Option<char> {
    match reference {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => {}
    }
    let number = reference.strip_prefix('#')?;
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
    // `from_str_radix` takes a sign, and XML doesn't.
    if digits.starts_with('+') {
        return None;
    }
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).filter(|character| is_character(*character))
}

/// What is wrong with a reference that stands for nothing.
pub(crate) fn unresolved(reference: &str) -> String {
    let reference = shorten(reference);
    if reference.starts_with('#') {
        return format!("&{reference}; is not a character that XML allows");
    }
    format!("the entity &{reference}; is not known; known are &amp; &lt; &gt; &quot; &apos; and numbers as &#233;")
}

fn leading_reference(text: &str) -> Option<(char, &str)> {
    let (reference, rest) = text.strip_prefix('&')?.split_once(';')?;
    Some((resolve(reference)?, rest))
}

/// A text that a message repeats, of at most 50 characters.
pub(crate) fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(50) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// Reads what stands in a tag after its name into `attributes`, which is cleared first. `at` is where in the document that
/// begins.
pub(crate) fn read_attributes<'a>(
    text: &'a str,
    at: usize,
    attributes: &mut Vec<Attribute<'a>>,
) -> Result<(), Malformed> {
    attributes.clear();
    let place = |rest: &str| at + text.len() - rest.len();
    let mut rest = text;
    loop {
        let trimmed = trim_start(rest);
        if trimmed.is_empty() {
            break;
        }
        if trimmed.len() == rest.len() {
            return Err(Malformed::new(place(rest), "a blank is missing before the attribute"));
        }
        let name_length = trimmed.bytes().position(|byte| byte == b'=' || is_blank(byte)).unwrap_or(trimmed.len());
        let (name, after_name) = trimmed.split_at(name_length);
        if !is_name(name) {
            return Err(Malformed::new(place(trimmed), format!("{:?} is not an attribute's name", shorten(name))));
        }
        let Some(after_equals) = trim_start(after_name).strip_prefix('=') else {
            let reason = format!("attribute {} has no value; write {}=\"…\"", shorten(name), shorten(name));
            return Err(Malformed::new(place(trimmed), reason));
        };
        let quoted = trim_start(after_equals);
        let value = quoted.strip_prefix('"').map(|value| (value, '"'));
        let Some((opened, quote)) = value.or_else(|| quoted.strip_prefix('\'').map(|value| (value, '\''))) else {
            let reason = format!("the value of attribute {} is not in quotes", shorten(name));
            return Err(Malformed::new(place(quoted), reason));
        };
        let Some((raw, after_value)) = opened.split_once(quote) else {
            let reason = format!("the value of attribute {} is not closed", shorten(name));
            return Err(Malformed::new(place(quoted), reason));
        };
        check_value(raw, place(opened))?;
        attributes.push(Attribute { name, raw });
        rest = after_value;
    }
    match find_repeated(attributes) {
        None => Ok(()),
        Some(name) => Err(Malformed::new(at, format!("attribute {} is there twice", shorten(name)))),
    }
}

fn check_value(raw: &str, at: usize) -> Result<(), Malformed> {
    let mut rest = raw;
    while let Some(found) = rest.find(['&', '<']) {
        let marked = rest.get(found..).unwrap_or_default();
        let place = at + raw.len() - marked.len();
        if marked.starts_with('<') {
            return Err(Malformed::new(place, "a < stands in an attribute's value; write &lt;"));
        }
        let Some((reference, after)) = marked.get(1..).and_then(|reference| reference.split_once(';')) else {
            return Err(Malformed::new(place, "a & stands by itself; write &amp;"));
        };
        if resolve(reference).is_none() {
            return Err(Malformed::new(place, unresolved(reference)));
        }
        rest = after;
    }
    Ok(())
}

fn find_repeated<'a>(attributes: &[Attribute<'a>]) -> Option<&'a str> {
    if attributes.len() <= FEW_ATTRIBUTES {
        let is_repeated =
            |at: usize, name: &str| attributes.iter().take(at).any(|earlier: &Attribute<'_>| earlier.name == name);
        return attributes
            .iter()
            .enumerate()
            .find(|(at, attribute)| is_repeated(*at, attribute.name))
            .map(|(_, attribute)| attribute.name);
    }
    let mut seen = HashSet::with_capacity(attributes.len());
    attributes.iter().map(|attribute| attribute.name).find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("amp", Some('&'))]
    #[case("apos", Some('\''))]
    #[case("#233", Some('é'))]
    #[case("#xE9", Some('é'))]
    #[case("#x1F600", Some('😀'))]
    #[case("#9", Some('\t'))]
    #[case("#0", None)]
    #[case("#8", None)]
    #[case("#xFFFE", None)]
    #[case("#xD800", None)]
    #[case("#x110000", None)]
    #[case("#99999999999", None)]
    #[case("#+9", None)]
    #[case("#X9", None)]
    #[case("#", None)]
    #[case("AMP", None)]
    #[case("nbsp", None)]
    fn references(#[case] reference: &str, #[case] expected: Option<char>) {
        assert_eq!(resolve(reference), expected);
    }

    #[rstest]
    #[case("a", true)]
    #[case("ns:größe-1.x", true)]
    #[case("_x", true)]
    #[case("日本", true)]
    #[case("", false)]
    #[case("1a", false)]
    #[case("-a", false)]
    #[case("a b", false)]
    #[case("a/", false)]
    #[case("a<b", false)]
    #[case("×", false)]
    fn names(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_name(text), expected);
    }

    #[rstest]
    #[case("plain", "plain")]
    #[case("a &amp;&#x20;b&#10;c", "a & b\nc")]
    #[case("a\r\nb\tc\nd\re", "a b c d e")]
    fn values_of_attributes(#[case] raw: &str, #[case] expected: &str) {
        assert_eq!(Attribute { name: "a", raw }.value(), expected);
    }

    #[test]
    fn the_place_of_a_forbidden_character_is_found_across_chunks() {
        for before in [0, 1, 4_093, 4_094, 4_095, 4_096, 10_000] {
            let text = format!("{}\u{ffff}{}", "x".repeat(before), "\u{fffd}".repeat(3));
            assert_eq!(find_forbidden(&text), Some((before, '\u{ffff}')));
            assert_eq!(find_forbidden(&format!("{}\0", "é".repeat(before))), Some((2 * before, '\0')));
        }
        assert_eq!(find_forbidden(&format!("\t\r\n {}", "\u{fffd}\u{ff01}😀".repeat(3_000))), None);
    }
}
