//! The profiles, and what is asked of them.

/// What is looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Question {
    /// One profile.
    ById,
    /// The profiles of a household that live in a city and have a tier: one or two.
    ByFilters,
}

/// What a number is the profile of.
pub(crate) struct Sample {
    pub(crate) id: String,
    pub(crate) household: String,
    pub(crate) city: String,
    pub(crate) tier: u64,
    pub(crate) attributes: String,
}

pub(crate) fn sample(number: u64) -> Sample {
    let id = format!("c-{number:010}");
    let household = format!("h-{:09}", number / 4);
    let city = format!("city-{:03}", (number / 4) % 500);
    let tier = number % 3;
    let attributes = format!(
        "{{\"customer_id\":\"{id}\",\"household\":\"{household}\",\"city\":\"{city}\",\"tier\":{tier},\"email\":\"customer{number}@example.com\",\"orders\":{},\
         \"spend\":{}.{:02},\"last_order\":\"2026-06-{:02}T09:30:00.000000Z\",\"vip\":{},\"segment\":\"segment-{}\"}}",
        number % 40,
        number % 5_000,
        number % 100,
        number % 28 + 1,
        number.is_multiple_of(11),
        number % 12,
    );
    Sample { id, household, city, tier, attributes }
}

/// Numbers between 0 and `below` without a pattern that a cache would like, the same in each run.
pub(crate) fn scattered(below: u64) -> impl Iterator<Item = u64> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    })
}
