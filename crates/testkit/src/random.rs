//! Names that don't meet, and seeds that can be repeated.

/// The seed of a random test: `FRESHET_SEED`, or else a new one. Prints it, so that a failure can be repeated.
///
/// # Panics
///
/// Where `FRESHET_SEED` is no unsigned 64-bit number: the test asked for can't be run.
#[expect(clippy::panic, clippy::print_stderr, reason = "for tests; the harness shows both with the test that failed")]
pub fn seed() -> u64 {
    let seed = match std::env::var("FRESHET_SEED") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("FRESHET_SEED is {text:?}, which is no unsigned 64-bit number: {error}")),
        Err(_) => rand::random(),
    };
    eprintln!("FRESHET_SEED={seed}");
    seed
}

/// `prefix` and 12 random hexadecimal digits: a name for a topic, table or bucket that no other test uses.
pub fn random_name(prefix: &str) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let digits: String = random.chars().take(12).collect();
    format!("{prefix}-{digits}")
}
