//! Which element or attribute of a row comes into which column, and as what.

use freshet_decode::{Decoder, failed_rows};
use freshet_model::PayloadFormat;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Cell, cell, decode_xml, queued, queued_as, table, written_at, xml_table};

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

/// The value that a column takes from the only row of a document, and how many fields are ignored; or the reason.
fn taken(column: &Value, row: &str) -> Result<(Cell, u64), String> {
    let decoded = decode_xml(&xml_table(&json!([column])), &[row]);
    match decoded.failed.first() {
        Some(failed) => Err(failed.reason.clone()),
        None => Ok((cell(decoded.rows.column(0), 0), decoded.ignored_fields)),
    }
}

#[rstest]
#[case::element("<r><id>a</id></r>", text("a"), 0)]
#[case::attribute("<r id='a'/>", text("a"), 0)]
#[case::the_element_before_the_attribute("<r id='a'><id>b</id></r>", text("b"), 0)]
#[case::an_empty_element_too("<r id='a'><id/></r>", text(""), 0)]
#[case::exact_before_ignoring_case("<r><ID>b</ID><id>a</id><Id>c</Id></r>", text("a"), 0)]
#[case::an_exact_attribute_before_an_element_ignoring_case("<r id='a'><ID>b</ID></r>", text("a"), 0)]
#[case::ignoring_case("<r><Id>a</Id></r>", text("a"), 0)]
#[case::the_last_ignoring_case("<r><Id>a</Id><ID>b</ID></r>", text("b"), 0)]
#[case::without_its_prefix("<r xmlns:o='urn:o'><o:id>a</o:id></r>", text("a"), 0)]
#[case::an_attribute_without_its_prefix("<r xmlns:o='urn:o' o:id='a'/>", text("a"), 0)]
#[case::a_prefixed_row("<x:rs xmlns:x='urn:x'><x:r><x:id>a</x:id></x:r></x:rs>", text("a"), 0)]
#[case::missing("<r/>", Cell::Null, 0)]
#[case::unknown_fields("<r a='1' b='2'><id>a</id><c/><c/>text</r>", text("a"), 5)]
#[case::declarations_are_no_fields("<r xmlns='urn:a' xmlns:b='urn:b'><id>a</id></r>", text("a"), 0)]
#[case::nor_is_what_says_null("<r xmlns:i='urn:x' i:nil='false'><id>a</id></r>", text("a"), 0)]
#[case::not_deeper("<r><a><id>x</id></a></r>", Cell::Null, 1)]
#[case::not_above("<rs id='x'><id>y</id><r/></rs>", Cell::Null, 0)]
fn fields_by_name(#[case] row: &str, #[case] expected: Cell, #[case] ignored: u64) {
    assert_eq!(taken(&json!({"name": "id", "type": "string"}), row), Ok((expected, ignored)));
}

#[rstest]
#[case::the_attribute("_id", "<r id='a'><id>b</id></r>", text("a"), 1)]
#[case::an_element_of_that_name_first("_id", "<r id='a'><_id>b</_id></r>", text("b"), 0)]
#[case::an_attribute_of_that_name_first("_id", "<r id='a' _id='c'/>", text("c"), 0)]
#[case::ignoring_case("_ID", "<r id='a'/>", text("a"), 0)]
#[case::no_element("_id", "<r><id>b</id></r>", Cell::Null, 1)]
#[case::the_text("_VALUE", "<r id='a'>  b </r>", text("b"), 1)]
#[case::the_text_ignoring_case("_value", "<r>b</r>", text("b"), 0)]
#[case::an_element_before_the_text("_VALUE", "<r>b<_VALUE>c</_VALUE></r>", text("c"), 0)]
#[case::no_text("_VALUE", "<r> <a/> </r>", Cell::Null, 1)]
fn fields_as_spark_names_them(#[case] name: &str, #[case] row: &str, #[case] expected: Cell, #[case] ignored: u64) {
    assert_eq!(taken(&json!({"name": name, "type": "string"}), row), Ok((expected, ignored)));
}

#[rstest]
#[case::trimmed("<id> \t\r\n a b \n</id>", "a b")]
#[case::references("<id>&lt;&#233;&#x1F600;&amp;&quot;&apos;&gt;</id>", "<é😀&\"'>")]
#[case::cdata("<id>a<![CDATA[ <b> & ]]>c</id>", "a <b> & c")]
#[case::cdata_is_trimmed_too("<id><![CDATA[ a ]]></id>", "a")]
#[case::references_are_trimmed_too("<id>&#32;a&#10;</id>", "a")]
#[case::ends_of_lines("<id>a\r\nb\rc\nd&#13;e</id>", "a\nb\nc\nd\re")]
#[case::comments_and_instructions("<id>a<!-- b --><?c d?>e</id>", "ae")]
#[case::blanks_around_what_is_passed_over("<id>a <!-- b --> c</id>", "a  c")]
#[case::attributes_do_not_make_it_an_object("<id kind='x'>a</id>", "a")]
#[case::empty("<id></id>", "")]
#[case::blank("<id>  </id>", "")]
#[case::without_an_end_tag("<id/>", "")]
#[case::with_attributes_only("<id kind='x'/>", "")]
#[case::nested("<id><a>1</a></id>", r#"{"a":"1"}"#)]
#[case::repeated("<id>a</id><x/><id>b</id>", r#"["a","b"]"#)]
fn texts(#[case] element: &str, #[case] expected: &str) {
    let (value, _) = taken(&json!({"name": "id", "type": "string"}), &format!("<r>{element}</r>")).unwrap();
    assert_eq!(value, text(expected));
}

#[rstest]
#[case("<r id=' a&amp;b\tc\r\nd '/>", "a&b c d")]
#[case("<r id='&#10;a&#9;b'/>", "a\tb")]
#[case("<r id=\"it's\"/>", "it's")]
#[case("<r id=''/>", "")]
fn texts_of_attributes(#[case] row: &str, #[case] expected: &str) {
    assert_eq!(taken(&json!({"name": "id", "type": "string"}), row), Ok((text(expected), 0)));
}

#[rstest]
#[case::text("<v>a \"b\" \\ &#9;c</v>", Some(r#""a \"b\" \\ \tc""#))]
#[case::empty("<v/>", None)]
#[case::nil("<v xmlns:xsi='x' xsi:nil='true'/>", None)]
#[case::attributes("<v b='1' a='2'/>", Some(r#"{"b":"1","a":"2"}"#))]
#[case::text_beside_attributes("<v a='1'> x </v>", Some(r#"{"a":"1","_VALUE":"x"}"#))]
#[case::text_beside_elements("<v>x<b>1</b>y</v>", Some(r#"{"_VALUE":"xy","b":"1"}"#))]
#[case::an_attribute_and_an_element_of_one_name("<v a='1'><a>2</a></v>", Some(r#"{"_a":"1","a":"2"}"#))]
#[case::elements("<v><b>1</b><a>2</a></v>", Some(r#"{"b":"1","a":"2"}"#))]
#[case::repeated_within("<v><a>1</a><b/><a x='2'/></v>", Some(r#"{"a":["1",{"x":"2"}],"b":""}"#))]
#[case::nulls_within("<v><a i:nil='1' xmlns:i='x'>z</a></v>", Some(r#"{"a":null}"#))]
#[case::repeated("<v>1</v><v/><v><a/></v>", Some(r#"["1","",{"a":""}]"#))]
#[case::prefixes("<v xmlns:p='p' p:a='1'><p:b>2</p:b></v>", Some(r#"{"a":"1","b":"2"}"#))]
#[case::attribute_only_in_the_row("<w/>", None)]
fn json_values(#[case] elements: &str, #[case] expected: Option<&str>) {
    let (value, _) = taken(&json!({"name": "v", "type": "json"}), &format!("<r>{elements}</r>")).unwrap();
    assert_eq!(value, expected.map_or(Cell::Null, text));
    if let Cell::Text(json) = value {
        serde_json::from_str::<Value>(&json).unwrap();
    }
}

#[test]
fn many_names_in_one_element_are_grouped_as_few_are() {
    let elements: Vec<String> = (0..1_000).map(|at| format!("<e{0}>{at}</e{0}>", at % 50)).collect();
    let row = format!("<r><v>{}</v></r>", elements.concat());
    let (value, _) = taken(&json!({"name": "v", "type": "json"}), &row).unwrap();
    let Cell::Text(json) = value else { panic!("{value:?}") };
    let object: serde_json::Map<String, Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(object.len(), 50);
    for (at, (name, values)) in object.iter().collect::<std::collections::BTreeMap<_, _>>().into_iter().enumerate() {
        assert!(at < 50 && values.as_array().unwrap().len() == 20, "{name}: {values}");
        let first: usize = values[0].as_str().unwrap().parse().unwrap();
        assert_eq!(values[19], (first + 950).to_string());
        assert_eq!(*name, format!("e{first}"));
    }
}

#[rstest]
#[case("customer.address.city", "<customer><address><city>Oslo</city></address></customer>", text("Oslo"))]
#[case::attribute_at_the_end("customer.id", "<customer id='c-1'/>", text("c-1"))]
#[case::as_in_spark("customer._id", "<customer id='c-1'><id>x</id></customer>", text("c-1"))]
#[case::ignoring_case("customer.city", "<CUSTOMER><City>Oslo</City></CUSTOMER>", text("Oslo"))]
#[case("items[0].sku", "<items><sku>a</sku></items>", text("a"))]
#[case("items[1].sku", "<items><sku>a</sku></items><x/><items><sku>b</sku></items>", text("b"))]
#[case("items.item[1].sku", "<items><item sku='a'/><item sku='b'/></items>", text("b"))]
#[case::of_one_as_of_many("items.item[0].sku", "<items><item sku='a'/></items>", text("a"))]
#[case::past_the_end("items[1].sku", "<items><sku>a</sku></items>", Cell::Null)]
#[case::several_are_no_object("items.sku", "<items><sku>a</sku></items><items><sku>b</sku></items>", Cell::Null)]
#[case::an_attribute_is_one("id[0]", "", text("of the row"))]
#[case::own_text("price._VALUE", "<price currency='EUR'>5.00</price>", text("5.00"))]
#[case::own_text_of_a_plain_element("price._VALUE", "<price>5.00</price>", text("5.00"))]
#[case::no_own_text("price._VALUE", "<price/>", Cell::Null)]
#[case::null("price._VALUE", "<price xsi:nil='true' xmlns:xsi='x'/>", Cell::Null)]
#[case::nested_value("customer.address", "<customer><address><a>1</a></address></customer>", text(r#"{"a":"1"}"#))]
#[case::part_of_a_repeated_one("a[1].b", "<a><b>1</b></a><a><b>2</b><b>3</b></a>", text(r#"["2","3"]"#))]
fn fields_by_path(#[case] path: &str, #[case] elements: &str, #[case] expected: Cell) {
    let row = format!("<r id='of the row'>{elements}</r>");
    let (value, _) = taken(&json!({"name": "value", "type": "string", "path": path}), &row).unwrap();
    assert_eq!(value, expected);
}

#[test]
fn several_columns_take_parts_of_one_element() {
    let table = xml_table(&json!([
        {"name": "items", "type": "json"},
        {"name": "first", "type": "integer", "path": "items[0].n"},
        {"name": "second", "type": "integer", "path": "items[1].n"},
        {"name": "upper", "type": "string", "path": "ITEMS"},
    ]));
    let decoded = decode_xml(&table, &["<r><items n='1'/><items n='2'/></r>"]);
    assert_eq!(decoded.failed, []);
    let row: Vec<Cell> = (0..4).map(|column| cell(decoded.rows.column(column), 0)).collect();
    let items = text(r#"[{"n":"1"},{"n":"2"}]"#);
    assert_eq!(row, [items.clone(), Cell::Integer(1), Cell::Integer(2), items]);
}

#[rstest]
#[case("integer", "<v> 42 </v>", Cell::Integer(42))]
#[case("integer", "<v currency='EUR'>42</v>", Cell::Integer(42))]
#[case("integer", "<v><![CDATA[42]]></v>", Cell::Integer(42))]
#[case("integer", "<v>4<!-- and -->2</v>", Cell::Integer(42))]
#[case("double", "<v>7.5</v>", Cell::Double(7.5))]
#[case("decimal(9,2)", "<v>79.9</v>", Cell::Decimal(7_990))]
#[case("boolean", "<v>TRUE</v>", Cell::Boolean(true))]
#[case("boolean", "<v>0</v>", Cell::Boolean(false))]
#[case("date", "<v>1970-01-02</v>", Cell::Days(1))]
#[case("timestamp", "<v>\n1970-01-01T00:00:01+00:00\n</v>", Cell::Micros(1_000_000))]
#[case("timestamp", "<v>1</v>", Cell::Micros(1_000_000))]
fn typed_values(#[case] column_type: &str, #[case] element: &str, #[case] expected: Cell) {
    let (value, _) = taken(&json!({"name": "v", "type": column_type}), &format!("<r>{element}</r>")).unwrap();
    assert_eq!(value, expected);
}

#[rstest]
fn empty_and_null_elements_are_null_in_every_type_but_string(
    #[values("boolean", "integer", "double", "decimal(9,2)", "date", "timestamp", "json")] column_type: &str,
    #[values("<v/>", "<v></v>", "<v> \n </v>", "<v xsi:nil='true'/>", "<v xsi:nil='1'>7</v>", "<v i:nil=' true '/>")]
    element: &str,
) {
    let column = json!({"name": "v", "type": column_type});
    assert_eq!(taken(&column, &format!("<r>{element}</r>")), Ok((Cell::Null, 0)));
}

#[test]
fn a_null_element_is_null_in_a_string() {
    let column = json!({"name": "v", "type": "string"});
    assert_eq!(taken(&column, "<r><v xsi:nil='true'>x</v></r>"), Ok((Cell::Null, 0)));
    assert_eq!(taken(&column, "<r><v nil='true'>x</v></r>"), Ok((text("x"), 0)), "that is just an attribute");
    assert_eq!(taken(&column, "<r><v xsi:nil='false'>x</v></r>"), Ok((text("x"), 0)));
}

#[rstest]
#[case("integer", "<v>4.5</v>", "v, integer: \"4.5\" is not a whole number; expected a whole number from")]
#[case("integer", "<v>a&quot;b</v>", r#"v, integer: "a\"b" is not a number"#)]
#[case("integer", "<v><a>4</a></v>", r#"v, integer: {"a":"4"} is an object; expected"#)]
#[case("integer", "<v>4</v><v>5</v>", r#"v, integer: ["4","5"] is an array; expected"#)]
#[case("decimal(9,2)", "<v>79.991</v>", "has more digits after the point")]
#[case("timestamp", "<v>20260614</v>", "may be a count of seconds")]
fn refusals(#[case] column_type: &str, #[case] elements: &str, #[case] says: &str) {
    let reason = taken(&json!({"name": "v", "type": column_type}), &format!("<r>{elements}</r>")).unwrap_err();
    assert!(reason.contains(says), "{reason}");
}

#[rstest]
#[case("<r/>", "v, string: the field is missing and the column is required; expected a text")]
#[case("<r><v xsi:nil='1'/></r>", "v, string: the value is null and the column is required; expected a text")]
fn required_values(#[case] row: &str, #[case] says: &str) {
    assert_eq!(taken(&json!({"name": "v", "type": "string", "required": true}), row), Err(says.to_owned()));
}

#[test]
fn an_empty_required_value_is_told_as_such() {
    let reason = taken(&json!({"name": "v", "type": "date", "required": true}), "<r><v/></r>").unwrap_err();
    assert!(
        reason.contains("the value is an empty text, which counts as null, and the column is required"),
        "{reason}"
    );
}

#[test]
fn a_document_holds_rows_at_any_depth_and_none_within_another() {
    let table = xml_table(&json!([{"name": "n", "type": "integer"}]));
    let first =
        "<rs><r n='1'/><deep><deeper><r><n>2</n><r n='9'/></r></deeper></deep><x:r n='3' xmlns:x='x'></x:r></rs>";
    let decoded = decode_xml(&table, &[first, "<r n='4'/>"]);
    assert_eq!(decoded.failed, []);
    let numbers: Vec<Cell> = (0..4).map(|row| cell(decoded.rows.column(0), row)).collect();
    assert_eq!(numbers, [1, 2, 3, 4].map(Cell::Integer));
    assert_eq!(decoded.row_offsets, [0, 0, 0, 1]);
    assert_eq!((decoded.records, decoded.ignored_fields), (2, 1));
}

#[test]
fn a_row_that_fails_is_kept_as_it_came_and_stops_no_other() {
    let table = xml_table(&json!([{"name": "a", "type": "string"}, {"name": "n", "type": "integer"}]));
    let document = "<rs><r><a>x</a><n>1</n></r>\n<r  m='&amp;'><a>y</a><n>no</n></r >\n<r n='z'/><r n='2'/></rs>";
    let decoded = decode_xml(&table, &[document]);
    assert_eq!(decoded.row_offsets, [0, 0]);
    assert_eq!((cell(decoded.rows.column(0), 0), cell(decoded.rows.column(0), 1)), (text("x"), Cell::Null));
    let raws: Vec<&[u8]> = decoded.failed.iter().map(|row| &row.raw[..]).collect();
    assert_eq!(raws, [&b"<r  m='&amp;'><a>y</a><n>no</n></r >"[..], b"<r n='z'/>"]);
    assert!(decoded.failed.iter().all(|row| row.column.as_ref().unwrap().as_str() == "n" && row.position.offset == 0));
    assert_eq!(failed_rows("records", &decoded.failed, written_at()).unwrap().num_rows(), 2);
}

#[rstest]
#[case::cut(
    "<rs><r n='1'/><r n='x'/><r n='2'>",
    "the payload is not acceptable XML at line 1, column 34: the document ends, and <r> is not closed"
)]
#[case::doctype(
    "<!DOCTYPE rs><rs><r/></rs>",
    "the payload is not acceptable XML at line 1, column 1: a document type definition is not allowed; leave <!DOCTYPE …> out"
)]
#[case::json("{}", "the payload is not acceptable XML at line 1, column 1: text stands before the root element")]
#[case::no_row(
    "<rs><row/></rs>",
    "the document has no element r, which the table's row_tag names; did you mean \"rs\"?"
)]
#[case::of_another_case(
    "<orders><R/></orders>",
    "the document has no element r, which the table's row_tag names; did you mean \"R\"?"
)]
#[case::no_hint("<orders/>", "the document has no element r, which the table's row_tag names")]
fn a_document_that_makes_no_row_is_one_failed_row(#[case] document: &str, #[case] says: &str) {
    let table = xml_table(&json!([{"name": "n", "type": "integer"}]));
    let decoded = decode_xml(&table, &["<r n='7'/>", document, "<r n='8'/>"]);
    assert_eq!(decoded.row_offsets, [0, 2]);
    assert_eq!(
        (cell(decoded.rows.column(0), 0), cell(decoded.rows.column(0), 1)),
        (Cell::Integer(7), Cell::Integer(8))
    );
    let [failed] = &decoded.failed[..] else { panic!("{:?}", decoded.failed) };
    assert_eq!((failed.column.as_ref(), failed.reason.as_str()), (None, says));
    assert_eq!((failed.position.offset, &failed.raw[..]), (1, document.as_bytes()));
    assert_eq!(decoded.ignored_fields, 0, "nothing of it counts");
}

#[test]
fn a_format_that_the_table_is_not_for_fails() {
    let records = [queued_as(PayloadFormat::Xml, 0, "<r/>"), queued(1, "{}")];
    let no_tag = table(&json!([{"name": "n", "type": "integer"}]));
    let decoded = Decoder::new(&no_tag).decode(&records, written_at()).unwrap();
    let expected = "the payload is XML, and the table has no row_tag, which names the element of a row";
    assert_eq!((decoded.failed.len(), decoded.failed[0].reason.as_str()), (1, expected));
    assert_eq!(decoded.row_offsets, [1]);
}

/// 2,000 columns of 240,000 rows would be 480 million values out of one megabyte.
#[test]
fn a_document_of_many_rows_and_columns_is_bounded() {
    let columns: Vec<Value> = (0..2_000).map(|at| json!({"name": format!("c{at}"), "type": "string"})).collect();
    let wide = xml_table(&json!(columns));
    let document = |rows: usize| format!("<d>{}</d>", "<r/>".repeat(rows));
    let decoded = decode_xml(&wide, &[&document(10_001)]);
    assert_eq!((decoded.rows.num_rows(), decoded.failed.len()), (0, 1));
    let expected = "the document has more than 10000 elements r; send several documents";
    assert_eq!(decoded.failed[0].reason, expected);

    // And so are the documents of a batch together: the rest is left for the next.
    let most = document(4_000);
    let decoded = decode_xml(&wide, &[&most, &most, &most]);
    assert_eq!((decoded.records, decoded.rows.num_rows()), (2, 8_000));

    let narrow = xml_table(&json!([{"name": "c", "type": "string"}]));
    assert_eq!(decode_xml(&narrow, &[&document(240_000)]).rows.num_rows(), 240_000);
}
