//! Serving HTTP/1.1 to callers who may be slow, or hostile: what one connection can hold is bounded.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Most connections at the same time; one more waits until one ends.
const MOST_CONNECTIONS: usize = 1_024;
/// How long a request's head may take to arrive.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long a caller may take to accept a part of an answer.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// How long to wait where no connection can be accepted, as when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is cancelled; then accepts no one, and returns when the requests in flight are answered.
pub(crate) async fn serve(listener: TcpListener, app: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // What has ended is forgotten, so that the set holds no more than there are connections.
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                connections.spawn(connection(stream, app.clone(), place, stop.clone()));
            }
            Err(source) => {
                warn!(error = &source as &dyn std::error::Error, "a connection can't be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn connection(stream: TcpStream, app: Router, place: OwnedSemaphorePermit, stop: CancellationToken) {
    // Answers are small and whole: waiting to fill a packet only delays them.
    if let Err(source) = stream.set_nodelay(true) {
        debug!(error = &source as &dyn std::error::Error, "a connection keeps its delay");
    }
    let mut timed = TimeoutStream::new(stream);
    timed.set_write_timeout(Some(WRITE_LIMIT));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(Box::pin(timed)), TowerToHyperService::new(app));
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(source) = ended {
        debug!(error = &source as &dyn std::error::Error, "a connection ended early");
    }
    drop(place);
}
