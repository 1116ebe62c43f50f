//! Answers on their way through the proxy: streams as they come, everything else once its receipt holds.

use super::failure::{Failure, handed_on};
use super::state::Proxy;
use crate::cli::explain::explain;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::io;
use steam_client::{Answer, ApiError, ClientError, MAX_ANSWER, Part, Request};
use tokio::sync::{mpsc, oneshot};

/// Pieces of a stream that wait for a client which reads slowly.
const PIECES: usize = 16;

/// Where the beginning of an answer goes.
type Head = oneshot::Sender<Result<Response, Failure>>;

/// Sends a request in its turn, hands its answer on, and ends with its receipt, whether or not the client is still there.
pub async fn carry(proxy: &Proxy, request: Request, mut head: Head) {
    let turn = tokio::select! {
        biased;
        () = head.closed() => return,
        turn = proxy.room.acquire() => turn,
    };
    // Kept until the receipt was counted. The semaphore is never closed.
    let Ok(_room) = turn else { return };
    match proxy.client.send_unless(request, proxy.max_cost, head.closed()).await {
        Err(error) => drop(head.send(Err(error.into()))),
        Ok(answer) if answer.is_stream() => stream(proxy, answer, head).await,
        Ok(answer) => whole(proxy, answer, head).await,
    }
}

/// Hands a stream on, piece by piece. It ends with an error if its receipt does not hold.
async fn stream(proxy: &Proxy, mut answer: Answer, head: Head) {
    let (pieces, to_client) = mpsc::channel::<Result<Bytes, io::Error>>(PIECES);
    let body = futures::stream::unfold(to_client, async |mut pieces| pieces.recv().await.map(|piece| (piece, pieces)));
    let response = (StatusCode::OK, handed_on(&answer.headers), Body::from_stream(body)).into_response();
    if head.send(Ok(response)).is_err() {
        return leave(proxy, answer).await;
    }
    loop {
        let part = tokio::select! {
            biased;
            () = pieces.closed() => return leave(proxy, answer).await,
            part = answer.next() => part,
        };
        match part {
            Ok(Some(Part::Bytes(bytes))) => {
                // Where the client is gone, the next turn of the loop sees it.
                let _ = pieces.send(Ok(bytes)).await;
            }
            Ok(Some(Part::Receipt(_))) => {}
            Ok(None) => return,
            Err(error) => {
                tell(proxy, &error);
                let _ = pieces.send(Err(io::Error::other(error))).await;
                return;
            }
        }
    }
}

/// Hands an answer on once all of it is here and its receipt holds.
async fn whole(proxy: &Proxy, mut answer: Answer, mut head: Head) {
    let headers = handed_on(&answer.headers);
    let mut bytes = Vec::new();
    loop {
        let part = tokio::select! {
            biased;
            () = head.closed() => return leave(proxy, answer).await,
            part = answer.next() => part,
        };
        match part {
            Ok(Some(Part::Bytes(more))) if bytes.len() + more.len() > MAX_ANSWER => {
                drop(head.send(Err(ApiError::TooLarge(MAX_ANSWER).into())));
                return leave(proxy, answer).await;
            }
            Ok(Some(Part::Bytes(more))) => bytes.extend_from_slice(&more),
            Ok(Some(Part::Receipt(_))) => {}
            Ok(None) => return drop(head.send(Ok((StatusCode::OK, headers, bytes).into_response()))),
            Err(error) => {
                tell(proxy, &error);
                return drop(head.send(Err(error.into())));
            }
        }
    }
}

/// The client left: the relayer stops, and what it charged is counted.
async fn leave(proxy: &Proxy, answer: Answer) {
    if let Err(error) = answer.leave().await {
        tell(proxy, &error);
    }
}

/// Says on standard error what went wrong with a receipt: the client may not show it, or be gone.
fn tell(proxy: &Proxy, error: &ClientError) {
    proxy.output.error(&explain(error));
}
