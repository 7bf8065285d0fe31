//! Sealed texts: what they hold comes back here, for what it was sealed for, and nowhere else.

use std::sync::Arc;

use freshet_access::{Access, NotSealed, SigningKey};
use freshet_catalog::Catalog;
use rstest::rstest;

use crate::support::Setup;

const VALUE: &[u8] = b"after jane@example.com";

#[test]
fn what_was_sealed_comes_back_in_every_process_of_the_deployment() {
    let setup = Setup::new();
    let text = setup.access.sealer("pages").unwrap().seal(VALUE, &["acme", "ix-1"]).unwrap();
    let catalog = Arc::new(Catalog::new(Arc::clone(&setup.store)));
    let key = SigningKey::from_pem(&setup.signing_key.to_pem()).unwrap();
    let elsewhere = Access::new(Arc::clone(&setup.store), catalog, key);
    let opened = elsewhere.sealer("pages").unwrap().open(&text, &["acme", "ix-1"]);
    assert_eq!(opened.as_deref(), Ok(VALUE));
}

#[rstest]
#[case::another_tenant(&["globex", "ix-1"])]
#[case::another_name(&["acme", "ix-2"])]
#[case::fewer_parts(&["acme"])]
#[case::more_parts(&["acme", "ix-1", ""])]
#[case::the_same_letters_in_other_parts(&["acmei", "x-1"])]
#[case::no_context(&[])]
fn it_holds_in_its_context_alone(#[case] context: &[&str]) {
    let pages = Setup::new().access.sealer("pages").unwrap();
    let text = pages.seal(VALUE, &["acme", "ix-1"]).unwrap();
    assert_eq!(pages.open(&text, context), Err(NotSealed));
}

#[test]
fn another_purpose_or_deployment_opens_nothing() {
    let (here, there) = (Setup::new(), Setup::new());
    let text = here.access.sealer("pages").unwrap().seal(VALUE, &[]).unwrap();
    assert_eq!(here.access.sealer("receipts").unwrap().open(&text, &[]), Err(NotSealed));
    assert_eq!(there.access.sealer("pages").unwrap().open(&text, &[]), Err(NotSealed));
}

#[test]
fn it_shows_nothing_of_the_value_and_is_another_text_each_time() {
    let pages = Setup::new().access.sealer("pages").unwrap();
    let texts: Vec<String> = (0..2).map(|_| pages.seal(VALUE, &[]).unwrap()).collect();
    assert_ne!(texts[0], texts[1]);
    for text in &texts {
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'), "{text}");
    }
    assert!(!format!("{pages:?}").contains("key"), "{pages:?}");
}

#[test]
fn no_changed_cut_or_longer_text_is_opened() {
    let pages = Setup::new().access.sealer("pages").unwrap();
    let text = pages.seal(VALUE, &["acme"]).unwrap();
    for at in 0..text.len() {
        assert_eq!(pages.open(&text[..at], &["acme"]), Err(NotSealed), "cut at {at}");
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(pages.open(std::str::from_utf8(&changed).unwrap(), &["acme"]), Err(NotSealed), "changed at {at}");
    }
    for text in ["", "=", "äöü", "AAAA", &"A".repeat(100_000), &format!("{text}AA"), &format!("AA{text}")] {
        assert_eq!(pages.open(text, &["acme"]), Err(NotSealed));
    }
}
