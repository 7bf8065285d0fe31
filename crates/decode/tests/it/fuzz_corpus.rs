//! The corpus of the fuzz targets, through the very functions that they run.

use std::fs;
use std::path::Path;

use rstest::rstest;

#[allow(unreachable_pub, reason = "a crate of its own elsewhere")]
#[path = "../../../../fuzz/src/lib.rs"]
mod fuzzed;

#[rstest]
#[case::json("json", fuzzed::json)]
#[case::split("split", fuzzed::split)]
#[case::xml("xml", fuzzed::xml)]
fn what_fuzzing_has_found_stays_right(#[case] target: &str, #[case] run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        let input = fs::read(&path).unwrap();
        run(&input);
        // And cut short anywhere, and with each byte changed.
        for at in 0..input.len() {
            run(&input[..at]);
            for byte in [b'<', b'"', 0, 0xff] {
                let mut changed = input.clone();
                changed[at] = byte;
                run(&changed);
            }
        }
        inputs += 1;
    }
    assert!(inputs >= 6, "{inputs} inputs in {}", corpus.display());
}
