//! Going through the members of a JSON object as fast as the bytes come.
//!
//! What is passed over is checked as strictly as `serde_json` checks what it ignores. Where something isn't as it should be, or isn't known
//! here, nothing is said of it: then `serde_json` reads the text, and has the last word.

/// Objects and arrays within each other that are gone through here; deeper ones are rare.
const MOST_LEVELS: u32 = 64;

/// Calls `member` with the name of each member of an object, in its quotes, and with the JSON text of its value. None: the text is no JSON
/// object, or none that is known here, and `member` may have been called with some of it.
pub(crate) fn members<'a>(json: &'a str, mut member: impl FnMut(&'a str, &'a str)) -> Option<()> {
    let mut scanner = Scanner { text: json, at: 0 };
    scanner.blanks();
    scanner.expect(b'{')?;
    scanner.blanks();
    if scanner.expect(b'}').is_none() {
        loop {
            let name_at = scanner.at;
            scanner.string()?;
            let name = scanner.since(name_at)?;
            scanner.colon()?;
            let value_at = scanner.at;
            scanner.value()?;
            member(name, scanner.since(value_at)?);
            scanner.blanks();
            match scanner.next()? {
                b',' => scanner.blanks(),
                b'}' => break,
                _ => return None,
            }
        }
    }
    scanner.blanks();
    (scanner.at == json.len()).then_some(())
}

/// A place in a text. Methods go past what they are named for, or find that it isn't there.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn since(&self, at: usize) -> Option<&'a str> {
        self.text.get(at..self.at)
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// With blanks on both sides.
    fn colon(&mut self) -> Option<()> {
        self.blanks();
        self.expect(b':')?;
        self.blanks();
        Some(())
    }

    /// The name of a member, and all up to its value.
    fn name(&mut self) -> Option<()> {
        self.string()?;
        self.colon()
    }

    /// With its quotes.
    fn string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            self.plain();
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
                        if !digits.iter().all(u8::is_ascii_hexdigit) {
                            return None;
                        }
                        self.at += 4;
                    }
                    _ => return None,
                },
                ..b' ' => return None,
                _ => {}
            }
        }
    }

    /// What of a string needs no look, eight bytes at a time: up to a quote, a backslash or a control character, or so near to the end of the
    /// text that bytes are looked at one by one.
    fn plain(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = ONES << 7;
        // The high bit of each byte that is zero; and of some above one that is.
        let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
        while let Some(word) = self.text.as_bytes().get(self.at..).and_then(<[u8]>::first_chunk) {
            let word = u64::from_le_bytes(*word);
            let quotes = zeros(word ^ (ONES * u64::from(b'"')));
            let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
            let controls = word.wrapping_sub(ONES * u64::from(b' ')) & !word;
            let found = (quotes | backslashes | controls) & HIGH;
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
    }

    /// A value, with all in it. What is open is kept in bits, the innermost last: one for an object, zero for an array.
    fn value(&mut self) -> Option<()> {
        let (mut open, mut levels) = (0_u64, 0);
        loop {
            let opened = match self.peek()? {
                b'{' if self.opens(b'}') => Some(1),
                b'[' if self.opens(b']') => Some(0),
                first => {
                    self.rest_of_value(first)?;
                    None
                }
            };
            if let Some(kind) = opened {
                if levels == MOST_LEVELS {
                    return None;
                }
                (open, levels) = (open << 1 | kind, levels + 1);
                if kind == 1 {
                    self.name()?;
                }
                continue;
            }
            loop {
                if levels == 0 {
                    return Some(());
                }
                self.blanks();
                match (self.next()?, open & 1) {
                    (b',', kind) => {
                        self.blanks();
                        if kind == 1 {
                            self.name()?;
                        }
                        break;
                    }
                    (b'}', 1) | (b']', 0) => (open, levels) = (open >> 1, levels - 1),
                    _ => return None,
                }
            }
        }
    }

    /// The bracket that opens an object or an array, and its end if it is empty. Whether there is something in it.
    fn opens(&mut self, end: u8) -> bool {
        self.at += 1;
        self.blanks();
        self.expect(end).is_none()
    }

    /// A value that has no values in it, given its first character. Of one that was empty between brackets nothing is left.
    fn rest_of_value(&mut self, first: u8) -> Option<()> {
        match first {
            b'{' | b'[' => Some(()),
            b'"' => self.string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.number(),
        }
    }

    fn literal(&mut self, literal: &str) -> Option<()> {
        self.text.get(self.at..)?.starts_with(literal).then(|| self.at += literal.len())
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.expect(b'-');
        if self.expect(b'0').is_none() {
            self.digits()?;
        }
        if self.expect(b'.').is_some() {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// One or more.
    fn digits(&mut self) -> Option<()> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::value::RawValue;

    use super::*;

    fn scanned(json: &str) -> Option<HashMap<&str, &str>> {
        let mut found = HashMap::new();
        members(json, |name, value| {
            found.insert(name, value);
        })?;
        Some(found)
    }

    /// As `serde_json` has it; of members with one name the last.
    fn read(json: &str) -> Option<HashMap<String, String>> {
        let read: HashMap<String, Box<RawValue>> = serde_json::from_str(json).ok()?;
        Some(read.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect())
    }

    fn agrees(json: &str) {
        let Some(scanned) = scanned(json) else { return };
        let unquoted = scanned
            .into_iter()
            .filter_map(|(name, value)| Some((serde_json::from_str::<String>(name).ok()?, value.to_owned())));
        let scanned: HashMap<String, String> = unquoted.collect();
        let read = read(json);
        // A name with half a surrogate pair is no text.
        assert!(read.is_none_or(|read| read == scanned), "{json:?}: {scanned:?}");
    }

    #[rstest]
    #[case::empty(r" { } ", true)]
    #[case::blanks("\t{ \"a\" : [ 1 , { } , [ ] ] , \"b\" :\r\n{ \"c\" : null } } ", true)]
    #[case::numbers(r#"{"a":0,"b":-0.5,"c":1e9,"d":12.25E-3,"e":10}"#, true)]
    #[case::literals(r#"{"a":true,"b":false,"c":null}"#, true)]
    #[case::escapes(r#"{"a\"b\\":"\u00e9\/\b\f\n\r\t, }"}"#, true)]
    #[case::long_text(r#"{"a":"zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich 🦊"}"#, true)]
    #[case::nothing("", false)]
    #[case::array("[]", false)]
    #[case::cut_off(r#"{"a":{"b":1}"#, false)]
    #[case::cut_off_text(r#"{"a":"b"#, false)]
    #[case::two(r"{}{}", false)]
    #[case::trailing_comma(r#"{"a":1,}"#, false)]
    #[case::trailing_comma_within(r#"{"a":[1,]}"#, false)]
    #[case::no_comma(r#"{"a":1 "b":2}"#, false)]
    #[case::no_colon(r#"{"a" 1}"#, false)]
    #[case::crossed(r#"{"a":[{]}}"#, false)]
    #[case::name_is_no_text(r"{1:2}", false)]
    #[case::leading_zero(r#"{"a":01}"#, false)]
    #[case::no_digit_after_point(r#"{"a":1.}"#, false)]
    #[case::no_exponent(r#"{"a":1e}"#, false)]
    #[case::plus(r#"{"a":+1}"#, false)]
    #[case::word(r#"{"a":nul}"#, false)]
    #[case::control("{\"a\":\"b\u{1}c\"}", false)]
    #[case::unknown_escape(r#"{"a":"\x"}"#, false)]
    #[case::half_an_escape(r#"{"a":"\u00g0"}"#, false)]
    fn takes_objects_and_nothing_else(#[case] json: &str, #[case] is_taken: bool) {
        assert_eq!(scanned(json).is_some(), is_taken);
        assert_eq!(read(json).is_some(), is_taken, "serde_json says otherwise");
        agrees(json);
    }

    #[test]
    fn what_is_nested_deeper_is_left_to_others() {
        let nested = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(scanned(&nested(64)).is_some());
        assert!(scanned(&nested(65)).is_none());
    }

    fn some_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "-?[0-9.eE+]{1,6}",
            "\"[a\\\\\"u0é\u{1} ]{0,12}\"",
            Just("true".to_owned()),
            Just("null".to_owned())
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let members = prop::collection::vec(("\"[ab\\\\]{0,10}\"", inner.clone()), 0..4);
            let object = members.prop_map(|members| {
                let members: Vec<_> = members.into_iter().map(|(name, value)| format!("{name} :{value}")).collect();
                format!("{{{}}}", members.join(" ,"))
            });
            let array = prop::collection::vec(inner, 0..4).prop_map(|elements| format!("[ {}]", elements.join(",")));
            prop_oneof![object, array]
        })
    }

    proptest! {
        #[test]
        fn takes_nothing_that_serde_json_refuses(json in some_json(), cut in any::<prop::sample::Index>()) {
            agrees(&json);
            if scanned(&json).is_some() {
                let is_ignored = serde_json::from_str::<&RawValue>(&json).is_ok();
                prop_assert!(is_ignored, "{}", json);
            }
            let end = json.floor_char_boundary(cut.index(json.len() + 1));
            let cut = &json[..end];
            prop_assert!(scanned(cut).is_none() || serde_json::from_str::<&RawValue>(cut).is_ok());
        }

        #[test]
        fn takes_all_that_serde_json_writes(value in "[^\u{0}]{0,40}", name in ".{0,20}", number in any::<f64>()) {
            let json = serde_json::json!({"a": [value, {"b": number}], name: [null, true]}).to_string();
            prop_assert!(scanned(&json).is_some());
            agrees(&json);
        }
    }
}
