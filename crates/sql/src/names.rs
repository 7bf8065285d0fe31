//! Names ignoring case where that is not ambiguous.

/// Which of the `known` tables a query means by `name`, as [`Select::tables`](crate::Select::tables) gives it: the one of
/// this spelling, else the only one of it in another case.
#[must_use]
pub fn find_table<'a>(name: &str, known: &'a [String]) -> Option<&'a String> {
    if let Some(exact) = known.iter().find(|known| *known == name) {
        return Some(exact);
    }
    let mut ignoring_case = known.iter().filter(|known| known.to_ascii_lowercase() == name);
    match (ignoring_case.next(), ignoring_case.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("orders", Some("Orders"))]
    #[case("Orders", Some("Orders"))]
    #[case("people", Some("people"))]
    #[case("People", Some("People"))]
    #[case("PEOPLE", None)]
    #[case("ORDERS", None)]
    #[case("retail.orders", None)]
    fn a_table_is_found_whatever_its_case_unless_two_differ_by_it(#[case] name: &str, #[case] found: Option<&str>) {
        let known = ["Orders", "people", "People", "Visits"].map(str::to_owned);
        assert_eq!(find_table(name, &known).map(String::as_str), found);
    }
}
