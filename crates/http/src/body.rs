//! The one way to read a request's body: capped in bytes and in time.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::Problem;

/// How long a body may take to come, as a gateway allows a whole request 29 s: a client that stalls holds memory and a
/// connection no longer than that.
pub const BODY_TIME_LIMIT: Duration = Duration::from_secs(30);

/// Reads a body of at most `limit` bytes within [`BODY_TIME_LIMIT`]. A `Content-Length` beyond the limit is refused before a byte
/// is read; without one, reading ends at the limit.
///
/// # Errors
/// 413 that names the limit, 408 where the body didn't come in time, 400 where the connection broke or the transfer coding is wrong.
pub async fn read_body(body: Body, limit: usize) -> Result<Bytes, Problem> {
    read_body_reserving(body, limit, |_bytes| Ok(())).await
}

/// As [`read_body`], and asks `reserve` for the memory of each piece that came, in bytes, before it is kept: for who
/// bounds what all bodies together hold. What a caller merely announces reserves nothing.
///
/// # Errors
/// Those of [`read_body`], and what `reserve` refuses with, which ends the reading.
pub async fn read_body_reserving(
    body: Body,
    limit: usize,
    reserve: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Bytes, Problem> {
    read_body_within(body, limit, BODY_TIME_LIMIT, reserve).await
}

async fn read_body_within(
    body: Body,
    limit: usize,
    time_limit: Duration,
    reserve: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Bytes, Problem> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large(limit));
    }
    tokio::time::timeout(time_limit, collect(body, limit, reserve)).await.map_err(|_elapsed| {
        Problem::timeout(format!("the body did not come within {} seconds; send less at once", time_limit.as_secs()))
    })?
}

/// The pieces are copied together as they come: kept as they are, bodies in pieces of a byte would take many times their
/// size.
async fn collect(
    mut body: Body,
    limit: usize,
    mut reserve: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Bytes, Problem> {
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| Problem::bad_request("the body broke off before its end"))?;
        let Ok(piece) = frame.into_data() else { continue };
        if piece.len() > limit.saturating_sub(collected.len()) {
            return Err(too_large(limit));
        }
        reserve(piece.len())?;
        collected.extend_from_slice(&piece);
    }
    Ok(collected.freeze())
}

fn too_large(limit: usize) -> Problem {
    Problem::too_large(format!("the body has more than {} bytes, the most that a request may have", grouped(limit)))
}

/// A number as people read it: `1,000,000`.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use rstest::rstest;

    use super::*;
    use crate::ProblemKind;

    #[tokio::test]
    async fn a_body_that_stalls_is_given_up() {
        let stalled = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let problem = read_body_within(stalled, 10, Duration::from_millis(5), |_| Ok(())).await.unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::Timeout);
    }

    #[rstest]
    #[case(0, "0")]
    #[case(999, "999")]
    #[case(1_000, "1,000")]
    #[case(4_194_304, "4,194,304")]
    fn numbers_are_grouped(#[case] number: usize, #[case] text: &str) {
        assert_eq!(grouped(number), text);
    }
}
