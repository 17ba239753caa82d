//! Work that takes longer than a decision, where no request waits for it.

/// Runs it on a thread of its own. A panic in it goes on here, so that it is answered and counted as any other.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
