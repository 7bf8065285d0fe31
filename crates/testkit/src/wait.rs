//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

use anyhow::bail;

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `condition` is true; an error once `deadline` has passed without that.
///
/// ```no_run
/// # async fn example(rows: impl AsyncFn() -> u64) -> anyhow::Result<()> {
/// use std::time::Duration;
/// freshet_testkit::eventually(Duration::from_secs(10), async || rows().await == 3).await?;
/// # Ok(())
/// # }
/// ```
pub async fn eventually(deadline: Duration, mut condition: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let start = Instant::now();
    while !condition().await {
        if start.elapsed() > deadline {
            bail!("what was waited for didn't come within {} s", deadline.as_secs_f64());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_until_the_condition_is_true() {
        let mut looks = 0;
        let condition = async || {
            looks += 1;
            looks == 3
        };
        eventually(Duration::from_mins(1), condition).await.unwrap();
        assert_eq!(looks, 3);
    }

    #[tokio::test]
    async fn gives_up_after_the_deadline() {
        let error = eventually(Duration::from_millis(50), async || false).await.unwrap_err();
        assert_eq!(error.to_string(), "what was waited for didn't come within 0.05 s");
    }
}
