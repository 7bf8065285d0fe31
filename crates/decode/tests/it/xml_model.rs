//! Random documents against a plain model of what their rows hold.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use freshet_decode::{BodyForm, SplitLimits, split_records};
use freshet_model::TableDefinition;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::properties::check;
use crate::support::{Cell, cell, decode_xml, xml_table};

/// An element as it is meant, however it is written.
#[derive(Debug, Clone)]
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    text: String,
    children: Vec<Element>,
    is_nil: bool,
}

impl Element {
    fn text(&self) -> &str {
        self.text.trim_matches([' ', '\t', '\n', '\r'])
    }

    /// As JSON; several elements are an array.
    fn as_json(elements: &[&Element]) -> Value {
        let [element] = elements else {
            return elements.iter().map(|element| Self::as_json(&[element])).collect();
        };
        if element.is_nil {
            return Value::Null;
        }
        if element.children.is_empty() && element.attributes.is_empty() {
            return json!(element.text());
        }
        let mut object = serde_json::Map::new();
        for child in &element.children {
            let same: Vec<&Element> = element.children.iter().filter(|other| other.name == child.name).collect();
            object.insert(child.name.clone(), Self::as_json(&same));
        }
        for (name, value) in &element.attributes {
            let name = if object.contains_key(name) { format!("_{name}") } else { name.clone() };
            object.insert(name, json!(value.trim()));
        }
        if !element.text().is_empty() {
            object.insert("_VALUE".to_owned(), json!(element.text()));
        }
        Value::Object(object)
    }

    /// What a field of the element holds.
    fn field(&self, name: &str) -> Field<'_> {
        for is_same in [|a: &str, b: &str| a == b, |a: &str, b: &str| a.eq_ignore_ascii_case(b)] {
            let named: Vec<&Element> = self.children.iter().filter(|child| is_same(&child.name, name)).collect();
            if let Some(last) = named.last() {
                // Ignoring case, the last spelling counts.
                let run = named.iter().rev().take_while(|element| element.name == last.name).count();
                return Field::Elements(named[named.len() - run..].to_vec());
            }
            let attribute =
                |prefix: &str| self.attributes.iter().find(|it| is_same(&format!("{prefix}{}", it.0), name));
            if let Some((_, value)) = attribute("").or_else(|| attribute("_")) {
                return Field::Text(value.trim());
            }
            if is_same("_VALUE", name) && !self.text().is_empty() {
                return if self.is_nil { Field::Missing } else { Field::Text(self.text()) };
            }
        }
        Field::Missing
    }
}

enum Field<'e> {
    Missing,
    Text(&'e str),
    Elements(Vec<&'e Element>),
}

impl Field<'_> {
    fn step(self, step: &Value) -> Self {
        match (step, self) {
            (Value::String(name), Self::Elements(elements)) if elements.len() == 1 => elements[0].field(name),
            (Value::Number(index), Self::Elements(elements)) => {
                let at = usize::try_from(index.as_u64().unwrap()).unwrap();
                elements.get(at).map_or(Self::Missing, |element| Self::Elements(vec![element]))
            }
            (Value::Number(index), text @ Self::Text(_)) if index.as_u64() == Some(0) => text,
            _ => Self::Missing,
        }
    }

    /// In a `string` column: what is simple is its text, the rest is JSON.
    fn as_text(&self) -> Option<Value> {
        match self {
            Self::Missing => None,
            Self::Text(text) => Some(json!(text)),
            Self::Elements(elements) => match elements[..] {
                [element] if element.is_nil => None,
                [element] if element.children.is_empty() => Some(json!(element.text())),
                _ => Some(Element::as_json(elements)),
            },
        }
    }
}

/// Columns, and their paths as steps.
const PATHS: [(&str, &str); 12] = [
    ("a", r#"["a"]"#),
    ("b", r#"["b"]"#),
    ("_a", r#"["_a"]"#),
    ("_VALUE", r#"["_VALUE"]"#),
    ("r", r#"["r"]"#),
    ("a.b", r#"["a", "b"]"#),
    ("a._b", r#"["a", "_b"]"#),
    ("A.a._VALUE", r#"["A", "a", "_VALUE"]"#),
    ("a[0]", r#"["a", 0]"#),
    ("a[1].b", r#"["a", 1, "b"]"#),
    ("b[0].A[2]", r#"["b", 0, "A", 2]"#),
    ("r.r[0].b", r#"["r", "r", 0, "b"]"#),
];

fn definition() -> TableDefinition {
    let columns = PATHS
        .iter()
        .enumerate()
        .map(|(at, (path, _))| json!({"name": format!("c{at}"), "type": "string", "path": path}));
    xml_table(&columns.collect())
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[ a-c<>&\"'\\]\\\\\t\n\r{},:é😀-]{0,6}", "[0-9]{1,3}"]
}

fn any_element(names: &'static str) -> impl Strategy<Value = Element> {
    let attributes = || proptest::collection::btree_map("[abA]|_a", any_text(), 0..3);
    let made = |name: String, attributes, text, children, is_nil| Element { name, attributes, text, children, is_nil };
    let leaf = (names, attributes(), any_text(), prop::bool::weighted(0.1))
        .prop_map(move |(name, attributes, text, is_nil)| made(name, attributes, text, Vec::new(), is_nil));
    leaf.prop_recursive(4, 20, 5, move |inner| {
        (names, attributes(), any_text(), vec(inner, 0..5))
            .prop_map(move |(name, attributes, text, children)| made(name, attributes, text, children, false))
    })
}

/// Chooses how to write what is meant.
struct Writer {
    choices: Vec<u8>,
    next: usize,
    out: String,
}

impl Writer {
    fn choose(&mut self, of: u8) -> u8 {
        self.next += 1;
        self.choices[self.next % self.choices.len()] % of
    }

    fn pass_over(&mut self) {
        match self.choose(8) {
            0 => self.out.push_str("<!-- <r>&no; -->"),
            1 => self.out.push_str("<?r <a>?>"),
            _ => {}
        }
    }

    fn blank(&mut self) {
        let blanks = ["", " ", "\n\t", "\r\n"][usize::from(self.choose(4))];
        self.out.push_str(blanks);
    }

    fn text(&mut self, text: &str) {
        for character in text.chars() {
            match self.choose(6) {
                0 if character != ']' && character != '\r' => write!(self.out, "<![CDATA[{character}]]>").unwrap(),
                1 => write!(self.out, "&#x{:x};", u32::from(character)).unwrap(),
                2 => {
                    self.pass_over();
                    self.escaped(character);
                }
                _ => self.escaped(character),
            }
        }
    }

    fn escaped(&mut self, character: char) {
        match character {
            '<' => self.out.push_str("&lt;"),
            '&' => self.out.push_str("&amp;"),
            '>' => self.out.push_str("&gt;"),
            '"' => self.out.push_str("&quot;"),
            '\'' => self.out.push_str("&apos;"),
            '\r' => self.out.push_str("&#13;"),
            other => self.out.push(other),
        }
    }

    fn element(&mut self, element: &Element) {
        let prefix = ["", "", "p:", "long.er:"][usize::from(self.choose(4))];
        write!(self.out, "<{prefix}{}", element.name).unwrap();
        if self.choose(5) == 0 {
            self.out.push_str(" xmlns:p='urn:p'");
        }
        for (name, value) in &element.attributes {
            let (prefix, quote) = (["", "p:"][usize::from(self.choose(2))], ['"', '\''][usize::from(self.choose(2))]);
            write!(self.out, " {prefix}{name}").unwrap();
            self.blank();
            self.out.push('=');
            self.blank();
            self.out.push(quote);
            for character in value.chars() {
                match character {
                    '\t' | '\n' | '\r' => write!(self.out, "&#{};", u32::from(character)).unwrap(),
                    _ => self.escaped(character),
                }
            }
            self.out.push(quote);
        }
        if element.is_nil {
            self.out.push_str(" xsi:nil='true'");
        }
        self.blank();
        if element.children.is_empty() && element.text.is_empty() && self.choose(2) == 0 {
            return self.out.push_str("/>");
        }
        self.out.push('>');
        // All of the text before one of the children.
        let at = usize::from(self.choose(5)).min(element.children.len());
        for (place, child) in element.children.iter().enumerate() {
            if place == at {
                self.text(&element.text);
            } else if element.text().is_empty() {
                self.blank();
            }
            self.pass_over();
            self.element(child);
        }
        if at == element.children.len() {
            self.text(&element.text);
        }
        write!(self.out, "</{prefix}{}", element.name).unwrap();
        self.blank();
        self.out.push('>');
    }
}

/// A document of rows within other elements.
fn write(rows: &[Element], choices: Vec<u8>) -> String {
    let mut writer = Writer { choices, next: 0, out: String::new() };
    if writer.choose(2) == 0 {
        writer.out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    }
    writer.blank();
    writer.pass_over();
    writer.out.push_str("<x:rows xmlns:x='urn:x'>");
    for row in rows {
        let is_deeper = writer.choose(3) == 0;
        writer.out.push_str(if is_deeper { "text<a><b r='1'>" } else { "\n" });
        writer.element(row);
        writer.out.push_str(if is_deeper { "</b><a/></a>" } else { "" });
        writer.pass_over();
    }
    writer.out.push_str("</x:rows>");
    writer.blank();
    writer.out
}

#[test]
fn a_document_decodes_to_what_it_means() {
    let table = definition();
    let paths = PATHS.map(|(_, steps)| serde_json::from_str::<Vec<Value>>(steps).unwrap());
    let rows = vec(any_element("[abA]|r"), 1..4).prop_map(|mut rows| {
        for row in &mut rows {
            "r".clone_into(&mut row.name);
        }
        rows
    });
    check(1_000, &(rows, vec(any::<u8>(), 40..80)), |(rows, choices)| {
        let document = write(&rows, choices);
        split_records(&document.clone().into(), BodyForm::Xml, SplitLimits::default()).unwrap();
        let decoded = decode_xml(&table, &[&document]);
        prop_assert_eq!(&decoded.failed, &[], "{}", document);
        prop_assert_eq!(decoded.rows.num_rows(), rows.len(), "{}", document);
        for (at, row) in rows.iter().enumerate() {
            for (place, steps) in paths.iter().enumerate() {
                let (first, further) = steps.split_first().unwrap();
                let meant = further.iter().fold(row.field(first.as_str().unwrap()), Field::step).as_text();
                let found = match cell(decoded.rows.column(place), at) {
                    Cell::Null => None,
                    Cell::Text(text) if meant.as_ref().is_some_and(Value::is_string) => Some(json!(text)),
                    Cell::Text(text) => Some(serde_json::from_str(&text).unwrap_or(json!(text))),
                    other => panic!("{other:?}"),
                };
                prop_assert_eq!(found, meant, "{} of row {} in {}", PATHS[place].0, at, document);
            }
        }
        Ok(())
    });
}

/// Documents with a piece missing, doubled or changed.
#[test]
fn what_is_refused_at_ingest_makes_no_row_and_what_is_taken_does() {
    let table = definition();
    let damaged = (
        any_element("[abA]|r"),
        vec(any::<u8>(), 40..80),
        any::<prop::sample::Index>(),
        0..8_usize,
        ".{0,2}|<|>|&|\"|\u{1}",
    );
    check(1_000, &damaged, |(mut row, choices, at, length, instead)| {
        "r".clone_into(&mut row.name);
        let document = write(&[row], choices);
        let start = document.floor_char_boundary(at.index(document.len()));
        let end = document.ceil_char_boundary((start + length).min(document.len()));
        let damaged = format!("{}{instead}{}", &document[..start], &document[end..]);
        let taken = split_records(&damaged.clone().into(), BodyForm::Xml, SplitLimits::default());
        let decoded = decode_xml(&table, &[&damaged]);
        if taken.is_ok() {
            prop_assert!(
                decoded.rows.num_rows() > 0 || decoded.failed[0].reason.contains("no element r"),
                "{}",
                damaged
            );
        } else {
            prop_assert_eq!((decoded.rows.num_rows(), decoded.failed.len()), (0, 1), "{}", damaged);
        }
        Ok(())
    });
}
