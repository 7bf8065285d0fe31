//! Which XML documents are taken, which are refused, and how both end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use freshet_decode::{BodyForm, SplitError, SplitLimits, split_records};
use rstest::rstest;

fn split(document: impl AsRef<[u8]>) -> Result<Vec<Bytes>, SplitError> {
    split_records(&Bytes::copy_from_slice(document.as_ref()), BodyForm::Xml, SplitLimits::default())
}

fn refusal(document: impl AsRef<[u8]>) -> String {
    let error = split(document).unwrap_err();
    assert!(!error.is_too_large());
    let message = error.to_string();
    assert!(message.len() < 600, "{message}");
    message.strip_prefix("record 0 is not acceptable XML at ").unwrap_or(&message).to_owned()
}

#[rstest]
#[case::smallest("<a/>")]
#[case::declared("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<a/>\n")]
#[case::declared_in_quotes("<?xml version='1.1' encoding='utf-8'?><a/>")]
#[case::declared_as_a_part_of_utf8("<?xml version='1.0' encoding='US-ASCII'?><a/>")]
#[case::around_the_root("<!-- a --><?pi b?>\r\n<a/><!-- c --> <?pi?>\n")]
#[case::all_there_is(
    "<a b='1' c = \"&lt;&#x9;>\"><b:c xmlns:b='urn:b'/>t<![CDATA[<&]]]]>]]&gt;&amp;<!--x--><?y z?></a >"
)]
#[case::names_of_any_language("<größe 日本=\"1\"/>")]
#[case::same_local_names("<a x:b='1' y:b='2'/>")]
#[case::end_of_a_cdata_section_in_a_value("<a b=']]>'/>")]
fn a_document_is_one_record_as_it_came(#[case] document: &str) {
    assert_eq!(split(document).unwrap(), [document]);
}

#[test]
fn a_byte_order_mark_is_left_out() {
    assert_eq!(split("\u{feff}<?xml version='1.0'?><a/>").unwrap(), ["<?xml version='1.0'?><a/>"]);
}

#[rstest]
#[case("")]
#[case(" \n\t")]
#[case("\u{feff} ")]
fn nothing_is_no_document(#[case] body: &str) {
    assert_eq!(split(body), Err(SplitError::Empty { form: BodyForm::Xml }));
    assert_eq!(refusal(body), "the body holds no records; send an XML document");
}

#[rstest]
#[case::json("{\"a\": 1}", "line 1, column 1: text stands before the root element")]
#[case::no_root("<!-- a -->\n", "line 1, column 11: the document has no root element")]
#[case::two_roots("<a/>\n<b/>", "line 2, column 1: <b> follows the root element; a document has one root")]
#[case::text_after("<a/>\n  x", "line 2, column 3: text follows the root element")]
#[case::reference_after("<a/>&amp;", "line 1, column 5: a reference stands outside of the root element")]
#[case::cdata_before("<![CDATA[a]]><a/>", "line 1, column 1: a CDATA section stands outside of the root element")]
#[case::cut("<a><b></b>\n", "line 1, column 11: the document ends, and <a> is not closed")]
#[case::cut_in_a_tag("<a><b c='", "line 1, column 4: attribute value not closed")]
#[case::cut_in_a_comment("<a><!-- ", "line 1, column 4: comment not closed")]
#[case::cut_in_cdata("<a><![CDATA[ ]] >", "line 1, column 4: CDATA not closed")]
#[case::crossed("<a>\n<b></a></b>", "line 2, column 4: expected `</b>`, but `</a>` was found")]
#[case::not_opened("</a>", "line 1, column 1: close tag `</a>` does not match any open tag")]
#[case::an_end_with_attributes("<a></a b='1'>", "line 1, column 4: expected `</a>`, but `</a b='1'>` was found")]
#[case::attribute_twice("<a b='1' c='2' b='3'/>", "line 1, column 3: attribute b is there twice")]
#[case::attribute_twice_of_many(
    "<a b1='' b2='' b3='' b4='' b5='' b6='' b7='' b8='' b9='' b4=''/>",
    "line 1, column 3: attribute b4 is there twice"
)]
#[case::attribute_without_value("<a b/>", "line 1, column 4: attribute b has no value; write b=\"…\"")]
#[case::attribute_without_quotes("<a b=1/>", "line 1, column 6: the value of attribute b is not in quotes")]
#[case::attributes_without_a_blank("<a b='1'c='2'/>", "line 1, column 9: a blank is missing before the attribute")]
#[case::attribute_without_a_name("<a ='1'/>", "line 1, column 4: \"\" is not an attribute's name")]
#[case::markup_in_an_attribute("<a b='<'/>", "line 1, column 7: a < stands in an attribute's value; write &lt;")]
#[case::element_without_a_name("<a>< b/></a>", "line 1, column 4: \"\" is not an element's name")]
#[case::element_with_a_wrong_name("<1a/>", "line 1, column 1: \"1a\" is not an element's name")]
#[case::a_lone_ampersand("<a>b & c</a>", "line 1, column 6: entity or character reference not closed")]
#[case::a_lone_ampersand_in_an_attribute("<a b='c & d'/>", "line 1, column 9: a & stands by itself; write &amp;")]
#[case::an_unknown_entity("<a>&nbsp;</a>", "line 1, column 4: the entity &nbsp; is not known; known are &amp;")]
#[case::an_unknown_entity_in_an_attribute("<a b=' &x;'/>", "line 1, column 8: the entity &x; is not known")]
#[case::a_forbidden_reference("<a>&#0;</a>", "line 1, column 4: &#0; is not a character that XML allows")]
#[case::a_forbidden_character("<a>\n\u{1}</a>", "line 2, column 1: U+0001 is not a character that XML allows")]
#[case::no_character_at_all("<a>\u{ffff}</a>", "line 1, column 4: U+FFFF is not a character that XML allows")]
#[case::the_end_of_cdata_in_a_text("<a>]]></a>", "line 1, column 4: ]]> stands in a text; write ]]&gt;")]
#[case::two_hyphens("<a><!-- b -- c --></a>", "line 1, column 11: forbidden string `--` was found in a comment")]
#[case::a_late_declaration(
    " <?xml version='1.0'?><a/>",
    "line 1, column 2: an XML declaration stands after the document's start"
)]
#[case::a_declaration_without_version(
    "<?xml encoding='UTF-8'?><a/>",
    "line 1, column 1: an XML declaration begins with version=\"1.0\""
)]
#[case::version_2("<?xml version='2.0'?><a/>", "line 1, column 1: an XML declaration begins with version=\"1.0\"")]
#[case::a_declaration_in_another_order(
    "<?xml version='1.0' standalone='yes' encoding='UTF-8'?><a/>",
    "line 1, column 1: an XML declaration has version, encoding and standalone (yes or no), in this order"
)]
#[case::an_instruction_called_xml(
    "<a><?XML b?></a>",
    "line 1, column 4: \"XML\" is not a processing instruction's name"
)]
#[case::another_encoding(
    "<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
    "line 1, column 1: the document is declared to be in ISO-8859-1; send it in UTF-8"
)]
fn a_document_that_is_not_well_formed_is_refused_with_its_place(#[case] document: &str, #[case] says: &str) {
    let message = refusal(document);
    assert!(message.starts_with(says), "{message}");
}

#[rstest]
#[case::empty("<!DOCTYPE a><a/>")]
#[case::in_another_case("<!doctype a><a/>")]
#[case::external("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>")]
#[case::internal("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>")]
#[case::not_closed("<!DOCTYPE a [<!ENTITY b \"c\"><a>&b;</a>")]
fn a_document_with_a_dtd_is_refused(#[case] document: &str) {
    let expected = "line 1, column 1: a document type definition is not allowed; leave <!DOCTYPE …> out";
    assert_eq!(refusal(document), expected);
}

#[rstest]
#[case::utf16_le(b"\xff\xfe<\0a\0/\0>\0", "line 1, column 1: the document is in UTF-16; send it in UTF-8")]
#[case::utf16_be(b"\xfe\xff\0<\0a\0/\0>", "line 1, column 1: the document is in UTF-16; send it in UTF-8")]
#[case::invalid(b"<a>\n\xff</a>", "line 2, column 1: not UTF-8")]
#[case::overlong(b"<a>\xc0\xbc</a>", "line 1, column 4: not UTF-8")]
#[case::surrogate(b"<a>\xed\xa0\x80</a>", "line 1, column 4: not UTF-8")]
#[case::cut_character(b"<a>\xe2\x82", "line 1, column 4: not UTF-8")]
#[case::nul(b"<a>\0</a>", "line 1, column 4: U+0000 is not a character that XML allows")]
#[case::latin1_that_says_so(
    b"<?xml version=\"1.0\" encoding=\"latin1\"?><a>\xe9</a>",
    "line 1, column 1: the document is declared to be in latin1; send it in UTF-8"
)]
fn bytes_that_are_not_utf8_are_refused(#[case] document: &[u8], #[case] says: &str) {
    assert_eq!(refusal(document), says);
}

#[rstest]
#[case(100, true)]
#[case(101, false)]
fn elements_are_nested_100_levels_deep(#[case] levels: usize, #[case] holds: bool) {
    let document = format!("{}{}", "<a>".repeat(levels), "</a>".repeat(levels));
    assert_eq!(split(&document).is_ok(), holds);
    let without_end = format!("{}<a/>{}", "<a>".repeat(levels - 1), "</a>".repeat(levels - 1));
    assert_eq!(split(&without_end).is_ok(), holds);
    if !holds {
        assert_eq!(refusal(&document), "line 1, column 301: elements are nested more than 100 levels deep");
    }
}

#[test]
fn a_document_has_at_most_a_million_bytes() {
    let document = |bytes: usize| format!("<a>{}</a>", "x".repeat(bytes - 7));
    assert!(split(document(1_000_000)).is_ok());
    let error = split(document(1_000_001)).unwrap_err();
    assert!(error.is_too_large());
    assert_eq!(error.to_string(), "record 0 has 1000001 bytes, a record may have 1000000");
}

fn numbered(count: usize, piece: impl Fn(usize) -> String) -> String {
    (0..count).map(piece).collect::<Vec<_>>().concat()
}

/// Each as large as a document may be. Reading one takes milliseconds; what is bounded here is that it never takes minutes.
#[rstest]
#[case::levels("<a>".repeat(333_333), false)]
#[case::levels_of_long_names(format!("<{}>", "x".repeat(9_998)).repeat(100), false)]
#[case::elements(format!("<r>{}</r>", "<a/>".repeat(249_998)), true)]
#[case::one_long_attribute(format!("<a b='{}'/>", "x".repeat(999_000)), true)]
#[case::many_attributes(format!("<a {}/>", numbered(90_000, |at| format!("a{at}='' "))), true)]
#[case::one_attribute_many_times(format!("<a {}/>", "b='' ".repeat(190_000)), false)]
#[case::one_long_name(format!("<{}/>", "x".repeat(999_000)), true)]
#[case::many_references(format!("<a>{}</a>", "&lt;".repeat(249_000)), true)]
#[case::many_references_in_an_attribute(format!("<a b='{}'/>", "&#60;".repeat(199_000)), true)]
#[case::many_ampersands(format!("<a>{}</a>", "&".repeat(999_000)), false)]
#[case::many_brackets("<".repeat(1_000_000), false)]
#[case::many_comments(format!("<a>{}</a>", "<!---->".repeat(142_000)), true)]
#[case::many_cdata_sections(format!("<a>{}</a>", "<![CDATA[]]>".repeat(83_000)), true)]
#[case::a_cdata_section_of_ends(format!("<a><![CDATA[{}]]></a>", "]]&gt;]>".repeat(120_000)), true)]
#[case::many_brackets_in_a_text(format!("<a>{}</a>", "]".repeat(999_000)), true)]
#[case::many_hyphens(format!("<a><!--{}--></a>", "- ".repeat(499_000)), true)]
#[case::many_instructions(format!("<a>{}</a>", "<?p?>".repeat(199_000)), true)]
#[case::laughs(format!(
    "<!DOCTYPE l [<!ENTITY a \"lol\">{}]><l>&b9;</l>",
    numbered(9, |at| format!("<!ENTITY b{} \"{}\">", at + 1, format!("&b{at};").repeat(10)))
), false)]
#[case::an_endless_dtd(format!("<!DOCTYPE a [{}", "<!ENTITY b 'c'>".repeat(66_000)), false)]
fn hostile_documents_end_soon(#[case] document: String, #[case] holds: bool) {
    let begun = Instant::now();
    let split = split(&document);
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    assert_eq!(split.is_ok(), holds, "{split:.200?}");
    if !holds {
        refusal(&document);
    }
}
