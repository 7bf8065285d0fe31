//! A server between a store and `MiniStack` that fails as it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It is carried out, and the connection closed without an answer.
    LoseAnswer,
    /// It is not carried out, and answered with this status and body.
    Answer(u16, &'static str),
    /// It is carried out and answered.
    Forward,
}

/// Passes requests on once it has no more faults to make.
pub(crate) struct FaultyServer {
    endpoint: String,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    requests: Arc<Mutex<usize>>,
}

impl FaultyServer {
    pub(crate) async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            faults: Arc::default(),
            requests: Arc::default(),
        };
        let upstream = upstream.strip_prefix("http://").unwrap().to_owned();
        let faults = Arc::clone(&server.faults);
        let requests = Arc::clone(&server.requests);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (upstream, faults, requests) = (upstream.clone(), Arc::clone(&faults), Arc::clone(&requests));
                tokio::spawn(async move { serve(connection, &upstream, &faults, &requests).await });
            }
        });
        server
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The next requests fail so, one after the other.
    pub(crate) fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// How many requests came so far.
    pub(crate) fn requests(&self) -> usize {
        *self.requests.lock().unwrap()
    }
}

async fn serve(mut client: TcpStream, upstream: &str, faults: &Mutex<VecDeque<Fault>>, requests: &Mutex<usize>) {
    while let Some(request) = read_message(&mut client).await {
        *requests.lock().unwrap() += 1;
        let fault = faults.lock().unwrap().pop_front().unwrap_or(Fault::Forward);
        if let Fault::Answer(status, body) = fault {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {length}\r\n\r\n"
            );
            client.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            continue;
        }
        let mut server = TcpStream::connect(upstream).await.unwrap();
        server.write_all(&request).await.unwrap();
        let answer = read_message(&mut server).await.unwrap();
        if let Fault::LoseAnswer = fault {
            return;
        }
        client.write_all(&answer).await.unwrap();
    }
}

/// A whole HTTP message that tells its length; none: the connection was closed.
async fn read_message(connection: &mut TcpStream) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    while !message.ends_with(b"\r\n\r\n") {
        message.push(connection.read_u8().await.ok()?);
    }
    let head = String::from_utf8(message.clone()).unwrap().to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |length| length.trim().parse().unwrap());
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.ok()?;
    message.extend(body);
    Some(message)
}
