//! Compressed bodies, and bombs.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use freshet_decode::{ContentEncoding, DecompressError, decompress};
use rstest::rstest;

use ContentEncoding::{Gzip, Identity, Zstd};

const LIMIT: usize = 1 << 20;

fn compress(encoding: ContentEncoding, bytes: &[u8]) -> Vec<u8> {
    match encoding {
        Identity => bytes.to_vec(),
        Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Zstd => zstd::encode_all(bytes, 3).unwrap(),
    }
}

#[rstest]
#[case("gzip", Gzip)]
#[case(" GZIP ", Gzip)]
#[case("x-gzip", Gzip)]
#[case("zstd", Zstd)]
#[case("identity", Identity)]
fn encodings(#[case] header: &str, #[case] expected: ContentEncoding) {
    assert_eq!(header.parse(), Ok(expected));
}

#[rstest]
#[case("br")]
#[case("gzip, zstd")]
#[case("")]
fn unknown_encodings_are_refused_with_the_known(#[case] header: &str) {
    let message = header.parse::<ContentEncoding>().unwrap_err().to_string();
    assert!(message.contains(&format!("{header:?}")), "{message}");
    assert!(message.contains("gzip or zstd"), "{message}");
}

#[rstest]
fn a_body_comes_back_whole(
    #[values(Identity, Gzip, Zstd)] encoding: ContentEncoding,
    #[values(0, 1, 1_000, LIMIT - 1, LIMIT)] length: usize,
) {
    let body: Vec<u8> = (0..=250).cycle().take(length).collect();
    let compressed = Bytes::from(compress(encoding, &body));
    assert_eq!(decompress(encoding, &compressed, LIMIT).unwrap(), body);
}

#[rstest]
fn an_empty_body_is_empty_in_every_encoding(#[values(Identity, Gzip, Zstd)] encoding: ContentEncoding) {
    assert!(decompress(encoding, &Bytes::new(), LIMIT).unwrap().is_empty());
}

#[rstest]
fn one_byte_too_many_is_refused(#[values(Identity, Gzip, Zstd)] encoding: ContentEncoding) {
    let compressed = Bytes::from(compress(encoding, &vec![b'x'; LIMIT + 1]));
    let error = decompress(encoding, &compressed, LIMIT).unwrap_err();
    assert!(matches!(error, DecompressError::TooLarge { limit: LIMIT }), "{error}");
    assert!(error.to_string().contains("1048576 bytes"), "{error}");
}

/// A gigabyte in about a megabyte (gzip) or less: refused after the first `LIMIT` bytes, so at once.
#[rstest]
fn bombs_end_at_the_limit(#[values(Gzip, Zstd)] encoding: ContentEncoding) {
    let megabyte = compress(encoding, &vec![0; 1 << 20]);
    let bomb = Bytes::from(megabyte.repeat(1_024));
    assert!(bomb.len() < 4 << 20);
    let started = std::time::Instant::now();
    let error = decompress(encoding, &bomb, LIMIT).unwrap_err();
    assert!(matches!(error, DecompressError::TooLarge { .. }), "{error}");
    assert!(started.elapsed().as_secs() < 2, "took {:?}", started.elapsed());
}

#[rstest]
fn concatenated_members_are_one_body(#[values(Gzip, Zstd)] encoding: ContentEncoding) {
    let parts = [compress(encoding, b"{\"a\":"), compress(encoding, b""), compress(encoding, b"1}")];
    assert_eq!(decompress(encoding, &Bytes::from(parts.concat()), LIMIT).unwrap(), &b"{\"a\":1}"[..]);
}

#[rstest]
fn what_is_not_valid_is_malformed(
    #[values(Gzip, Zstd)] encoding: ContentEncoding,
    #[values("cut", "garbage", "one byte after", "many bytes after", "changed")] how: &str,
) {
    let mut body = compress(encoding, &b"{\"order_id\": 1}".repeat(100));
    match how {
        "cut" => body.truncate(body.len() - 5),
        "garbage" => body = b"{\"order_id\": 1}".to_vec(),
        "one byte after" => body.push(b'x'),
        "many bytes after" => body.extend_from_slice(&[b'x'; 100]),
        _ => body[2] ^= 0xff,
    }
    let error = decompress(encoding, &Bytes::from(body), LIMIT).unwrap_err();
    assert!(matches!(error, DecompressError::Malformed { .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("the body is not valid {encoding}: ")), "{error}");
}

#[test]
fn a_zstd_frame_can_not_ask_for_a_large_window() {
    let compress_with_window = |log: u32| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(b"{}").unwrap();
        Bytes::from(encoder.finish().unwrap())
    };
    assert_eq!(decompress(Zstd, &compress_with_window(23), LIMIT).unwrap(), &b"{}"[..]);
    let error = decompress(Zstd, &compress_with_window(27), LIMIT).unwrap_err();
    assert!(error.to_string().contains("8 MiB"), "{error}");
}
