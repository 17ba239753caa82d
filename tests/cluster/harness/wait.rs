//! Waiting for a condition.

use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(50);
const AT_MOST: Duration = Duration::from_mins(1);

/// Waits until the condition gives a value. What it gives otherwise says what was seen instead, for whoever reads a failure.
pub(crate) async fn wait_for<T>(what: &str, mut condition: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(seen) if start.elapsed() > AT_MOST => {
                panic!("waited {} s for {what}; last seen: {seen}", AT_MOST.as_secs())
            }
            Err(_) => tokio::time::sleep(EVERY).await,
        }
    }
}
