//! The nearest known name, for messages that say what would be right.

/// The known name that `given` was probably meant to be, if one is near enough to be worth naming.
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.chars().count() / 4)
        .min()
        .map(|(_, name)| name)
}

/// `; did you mean "name"?` where a known name is near, else nothing: to be appended to a message.
#[must_use]
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, known).map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_a_stranger_is_not() {
        let known = ["order_id", "email", "city"];
        assert_eq!(nearest("oder_id", known), Some("order_id"));
        assert_eq!(nearest("EMAIL", known), Some("email"));
        assert_eq!(nearest("customer_lifetime_value", known), None);
        assert_eq!(did_you_mean("emial", known), "; did you mean \"email\"?");
        assert_eq!(did_you_mean("zzzz", known), "");
    }
}
