//! The body of a request, as far as a client may send one.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoBody {
    /// It is longer than the limit.
    TooLong,
    /// The client took too long.
    TooSlow,
    /// The connection broke, or the client sent no HTTP.
    Broken,
}

/// Reads a whole body of at most `limit` bytes within `time`. One that came in one piece, as most do, is not copied.
pub(super) async fn read(body: Body, limit: usize, time: Duration) -> Result<Bytes, NoBody> {
    tokio::time::timeout(time, collect(body, limit))
        .await
        .unwrap_or(Err(NoBody::TooSlow))
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, NoBody> {
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return too_long(body, limit, announced).await;
    }
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| NoBody::Broken)?.into_data() else {
            continue;
        };
        if first.len() + all.len() + data.len() > limit {
            return too_long(body, limit, 0).await;
        }
        if !all.is_empty() {
            all.extend_from_slice(&data);
        } else if first.is_empty() {
            first = data;
        } else {
            // Nothing is reserved on a client's word alone beyond the limit, which `announced` was held against.
            all.reserve(usize::try_from(announced).unwrap_or(0).max(first.len() + data.len()));
            all.extend_from_slice(&first);
            all.extend_from_slice(&data);
            first = Bytes::new();
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

/// Drops what else comes, within reason: a client that still sends when the connection closes never sees the answer.
async fn too_long(mut body: Body, limit: usize, announced: u64) -> Result<Bytes, NoBody> {
    let patience = limit as u64 * 2;
    let mut dropped = 0;
    while announced <= patience && dropped <= patience {
        match body.frame().await {
            Some(Ok(frame)) => dropped += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) | None => break,
        }
    }
    Err(NoBody::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_pieces(pieces: &[&'static str], limit: usize) -> Result<Bytes, NoBody> {
        let pieces: Vec<Result<Bytes, std::io::Error>> = pieces
            .iter()
            .map(|piece| Ok(Bytes::from_static(piece.as_bytes())))
            .collect();
        read(
            Body::from_stream(Pieces(pieces.into_iter())),
            limit,
            Duration::from_secs(5),
        )
        .await
    }

    struct Pieces(std::vec::IntoIter<Result<Bytes, std::io::Error>>);

    impl futures_core::Stream for Pieces {
        type Item = Result<Bytes, std::io::Error>;

        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            std::task::Poll::Ready(self.0.next())
        }
    }

    #[tokio::test]
    async fn pieces_add_up_to_the_limit() {
        assert_eq!(read_pieces(&[], 3).await.unwrap(), "");
        assert_eq!(read_pieces(&["abc"], 3).await.unwrap(), "abc");
        assert_eq!(read_pieces(&["a", "", "b", "c"], 3).await.unwrap(), "abc");
        assert_eq!(read_pieces(&["ab", "cd"], 3).await, Err(NoBody::TooLong));
        let whole = Body::from("abcd");
        assert_eq!(read(whole, 3, Duration::from_secs(5)).await, Err(NoBody::TooLong));
    }

    #[tokio::test]
    async fn one_that_never_ends_is_cut() {
        struct Never;
        impl futures_core::Stream for Never {
            type Item = Result<Bytes, std::io::Error>;

            fn poll_next(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Self::Item>> {
                std::task::Poll::Pending
            }
        }
        let body = Body::from_stream(Never);
        assert_eq!(read(body, 3, Duration::from_millis(20)).await, Err(NoBody::TooSlow));
    }
}
