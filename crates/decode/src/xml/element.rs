//! A row's element with everything in it, and its values as columns take them.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;

use crate::value::{Incoming, Scalar, Unfit};

use super::markup::{Attribute, local, trim_end, trim_start};

/// What spark-xml calls an element's own text where it stands beside attributes or children.
pub(crate) const OWN_TEXT: &str = "_VALUE";
/// So many children are grouped by comparing names; for more there is a table.
const FEW_NAMES: usize = 16;

/// An element and all below it, in the order of the document.
#[derive(Debug, Default)]
pub(crate) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    open: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct Node<'a> {
    /// Without a prefix.
    pub(super) name: &'a str,
    kind: Kind,
    /// Without white space around it; of an element, what stands directly in it.
    pub(super) text: Cow<'a, str>,
    /// The place after all that is below.
    end: usize,
    /// The next of the same name in the same parent, if [`Tree::link`] was told.
    next: Cell<Option<usize>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Attribute,
    /// An element of nothing but text.
    Plain,
    /// An element with attributes, and no elements in it.
    Attributed,
    /// An element with elements in it.
    Parent,
    /// An element that says that it is null, whatever is in it.
    Nil,
}

/// Which part of a tree a column takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// One element or attribute.
    Node(usize),
    /// Several elements of one name, linked.
    Repeated(usize),
    /// An element's own text, whatever else is in it.
    OwnText(usize),
}

impl<'a> Tree<'a> {
    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.nodes.clear();
        self.open.clear();
    }

    pub(super) fn start(&mut self, name: &'a str, attributes: &[Attribute<'a>]) {
        let at = self.nodes.len();
        if let Some(parent) = self.innermost().filter(|parent| parent.kind != Kind::Nil) {
            parent.kind = Kind::Parent;
        }
        self.nodes.push(Node::new(local(name), Kind::Plain, Cow::Borrowed("")));
        self.open.push(at);
        for attribute in attributes {
            let local_name = local(attribute.name);
            let prefix = attribute.name.strip_suffix(local_name).unwrap_or_default();
            if prefix == "xmlns:" || (prefix.is_empty() && local_name == "xmlns") {
                continue;
            }
            let value = trimmed(attribute.value());
            // Any prefix: it is bound to the schema instance's namespace by other names than xsi, too.
            let says_nil = !prefix.is_empty() && local_name == "nil";
            let kind = match (says_nil, &*value) {
                (true, "true" | "1") => Some(Kind::Nil),
                (true, _) => None,
                (false, _) => Some(Kind::Attributed),
            };
            if let (Some(kind), Some(element)) = (kind, self.nodes.get_mut(at).filter(|it| it.kind != Kind::Nil)) {
                element.kind = kind;
            }
            if !says_nil {
                let end = self.nodes.len() + 1;
                self.nodes.push(Node { end, ..Node::new(local_name, Kind::Attribute, value) });
            }
        }
    }

    /// Ends the innermost element; whether that was the outermost one.
    pub(super) fn end(&mut self) -> bool {
        let end = self.nodes.len();
        if let Some(node) = self.innermost() {
            node.end = end;
            let text = std::mem::take(&mut node.text);
            node.text = match text {
                Cow::Borrowed(text) => Cow::Borrowed(trim_end(text)),
                Cow::Owned(mut text) => {
                    text.truncate(trim_end(&text).len());
                    Cow::Owned(text)
                }
            };
        }
        self.open.pop();
        self.open.is_empty()
    }

    /// Adds to the innermost element's own text. An end of line is a line feed, as XML has it (2.11).
    pub(super) fn text(&mut self, text: &'a str) {
        let Some(node) = self.innermost() else { return };
        let text = if node.text.is_empty() { trim_start(text) } else { text };
        if text.is_empty() {
            return;
        }
        let text = if text.contains('\r') {
            Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
        } else {
            Cow::Borrowed(text)
        };
        if node.text.is_empty() {
            node.text = text;
        } else {
            node.text.to_mut().push_str(&text);
        }
    }

    /// Adds what a reference stands for to the innermost element's own text.
    pub(super) fn character(&mut self, character: char) {
        let Some(node) = self.innermost() else { return };
        if node.text.is_empty() && matches!(character, ' ' | '\t' | '\n' | '\r') {
            return;
        }
        node.text.to_mut().push(character);
    }

    fn innermost(&mut self) -> Option<&mut Node<'a>> {
        self.open.last().and_then(|at| self.nodes.get_mut(*at))
    }

    pub(super) fn node(&self, at: usize) -> Option<&Node<'a>> {
        self.nodes.get(at)
    }

    /// The attributes of an element, then the elements in it.
    pub(super) fn children(&self, parent: usize) -> impl Iterator<Item = (usize, &Node<'a>)> {
        let end = self.nodes.get(parent).map_or(0, |node| node.end);
        let mut at = parent + 1;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let child = self.nodes.get(at)?;
            // Never back, whatever a node says.
            let found = at;
            at = child.end.max(at + 1);
            Some((found, child))
        })
    }

    /// Notes that `next` is the next element of the same name.
    pub(super) fn link(&self, earlier: usize, next: usize) {
        if let Some(node) = self.nodes.get(earlier) {
            node.next.set(Some(next));
        }
    }

    /// An element and those of its name that are linked to it.
    pub(super) fn repeated(&self, first: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(first), |at| self.nodes.get(*at)?.next.get())
    }

    /// Whether a part is an element that says that it is null.
    pub(super) fn is_nil(&self, part: Part) -> bool {
        matches!(part, Part::Node(at) if self.node(at).is_some_and(|node| node.kind == Kind::Nil))
    }

    /// A part as a column takes it.
    pub(crate) fn value(&self, part: Part) -> XmlValue<'a, '_> {
        XmlValue { tree: self, part }
    }

    fn write_json(&self, part: Part, out: &mut String) {
        match part {
            Part::Node(at) => self.write_node(at, out),
            Part::OwnText(at) => write_text(self.node(at).map_or("", |node| &node.text), out),
            Part::Repeated(first) => {
                out.push('[');
                for (place, at) in self.repeated(first).enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    self.write_node(at, out);
                }
                out.push(']');
            }
        }
    }

    /// Recursion ends with the levels of elements, of which there are at most 100.
    fn write_node(&self, at: usize, out: &mut String) {
        let Some(node) = self.node(at) else { return };
        match node.kind {
            Kind::Nil => return out.push_str("null"),
            Kind::Attribute | Kind::Plain => return write_text(&node.text, out),
            Kind::Attributed | Kind::Parent => {}
        }
        let groups = Groups::of(self, at);
        let mut separator = '{';
        let mut name = |name: &[&str], out: &mut String| {
            out.push(separator);
            separator = ',';
            out.push('"');
            for part in name {
                write_escaped(part, out);
            }
            out.push_str("\":");
        };
        for (_, attribute) in self.children(at).take_while(|(_, child)| child.is_attribute()) {
            // The element of the same name is the field of that name.
            let prefix = if groups.has(attribute.name) { "_" } else { "" };
            name(&[prefix, attribute.name], out);
            write_text(&attribute.text, out);
        }
        if !node.text.is_empty() {
            name(&[OWN_TEXT], out);
            write_text(&node.text, out);
        }
        for group in &groups.groups {
            name(&[group.name], out);
            match group.members.as_slice() {
                [only] => self.write_node(*only, out),
                members => {
                    for (place, member) in members.iter().enumerate() {
                        out.push(if place == 0 { '[' } else { ',' });
                        self.write_node(*member, out);
                    }
                    out.push(']');
                }
            }
        }
        out.push('}');
    }
}

impl<'a> Node<'a> {
    fn new(name: &'a str, kind: Kind, text: Cow<'a, str>) -> Self {
        Self { name, kind, text, end: 0, next: Cell::new(None) }
    }

    pub(super) fn is_attribute(&self) -> bool {
        self.kind == Kind::Attribute
    }
}

/// The elements in an element by name, in the order of their first.
#[derive(Default)]
struct Groups<'a> {
    groups: Vec<Group<'a>>,
    places: HashMap<&'a str, usize>,
}

struct Group<'a> {
    name: &'a str,
    members: Vec<usize>,
}

impl<'a> Groups<'a> {
    fn of(tree: &Tree<'a>, parent: usize) -> Self {
        let mut groups = Self::default();
        let mut last: Option<usize> = None;
        for (at, child) in tree.children(parent).filter(|(_, child)| !child.is_attribute()) {
            // Mostly those of one name follow each other.
            let same = last
                .filter(|place| groups.groups.get(*place).is_some_and(|group: &Group<'_>| group.name == child.name));
            let place = same.or_else(|| groups.place(child.name)).unwrap_or_else(|| groups.add(child.name));
            if let Some(group) = groups.groups.get_mut(place) {
                group.members.push(at);
            }
            last = Some(place);
        }
        groups
    }

    fn has(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    fn place(&self, name: &str) -> Option<usize> {
        if self.groups.len() <= FEW_NAMES {
            return self.groups.iter().position(|group| group.name == name);
        }
        self.places.get(name).copied()
    }

    fn add(&mut self, name: &'a str) -> usize {
        let place = self.groups.len();
        self.groups.push(Group { name, members: Vec::new() });
        if place == FEW_NAMES {
            self.places.extend(self.groups.iter().enumerate().map(|(place, group)| (group.name, place)));
        } else if place > FEW_NAMES {
            self.places.insert(name, place);
        }
        place
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(trim_end(trim_start(text))),
        Cow::Owned(text) => Cow::Owned(trim_end(trim_start(&text)).to_owned()),
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    write_escaped(text, out);
    out.push('"');
}

/// As the inside of a JSON string. Of the characters that JSON forbids XML has `"`, `\`, tab and the ends of lines.
fn write_escaped(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\', '\t', '\n', '\r']) {
        let (before, marked) = rest.split_at(at);
        out.push_str(before);
        out.push_str(match marked.as_bytes().first() {
            Some(b'"') => "\\\"",
            Some(b'\\') => "\\\\",
            Some(b'\t') => "\\t",
            Some(b'\n') => "\\n",
            _ => "\\r",
        });
        rest = marked.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// A value of a row's element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct XmlValue<'a, 't> {
    tree: &'t Tree<'a>,
    part: Part,
}

impl<'a> XmlValue<'a, '_> {
    /// The text of what has no elements in it.
    fn simple(&self) -> Result<Option<&Cow<'a, str>>, Unfit> {
        let (Part::Node(at) | Part::OwnText(at)) = self.part else { return Err(Unfit::Kind("an array")) };
        let Some(node) = self.tree.node(at).filter(|node| node.kind != Kind::Nil) else { return Ok(None) };
        if matches!(self.part, Part::Node(_)) && node.kind == Kind::Parent {
            return Err(Unfit::Kind("an object"));
        }
        Ok(Some(&node.text))
    }

    fn as_json(&self) -> String {
        let mut out = String::new();
        self.tree.write_json(self.part, &mut out);
        out
    }
}

impl<'a> Incoming<'a> for XmlValue<'a, '_> {
    fn text(&self) -> Result<Option<Cow<'a, str>>, Unfit> {
        match self.simple() {
            Ok(text) => Ok(text.cloned()),
            Err(_nested) => Ok(Some(Cow::Owned(self.as_json()))),
        }
    }

    fn json(&self) -> Option<Cow<'a, str>> {
        let json = self.as_json();
        (!matches!(json.as_str(), "null" | "\"\"")).then_some(Cow::Owned(json))
    }

    fn scalar(&self) -> Result<Scalar<'a>, Unfit> {
        Ok(self.simple()?.map_or(Scalar::Null, |text| Scalar::of_text(text.clone())))
    }

    fn is_null(&self) -> bool {
        matches!(self.simple(), Ok(None))
    }

    fn to_shown(&self) -> String {
        self.as_json()
    }
}
