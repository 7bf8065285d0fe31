//! What a task makes piece by piece, for one who may take his time, or leave.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use datafusion::error::DataFusionError;
use futures::Stream;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use crate::QueryError;
use crate::held::{Held, holding};
use crate::interrupt::Interrupt;
use crate::rows::Summary;

/// Pieces that are made before the first of them is taken: the next one is made while one is taken.
const AHEAD: usize = 1;

/// When a query must have ended, and what it was given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) timeout: Duration,
}

impl Deadline {
    pub(crate) fn after(timeout: Duration) -> Self {
        Self { at: Instant::now() + timeout, timeout }
    }

    fn passed(self) -> QueryError {
        QueryError::Timeout { timeout: self.timeout }
    }
}

/// The pieces, as a stream that ends after its first error. Dropping it ends the work, and so does its deadline, whether
/// it is being taken or not.
#[derive(Debug)]
pub(crate) struct Flow<T> {
    pieces: mpsc::Receiver<T>,
    /// There until it has ended.
    work: Option<Work>,
    summary: Option<Summary>,
    deadline: Deadline,
    /// The work ends by itself at the deadline, but only where it yields.
    alarm: Pin<Box<Sleep>>,
}

impl<T: Send + 'static> Flow<T> {
    /// Starts a task on `threads` that is given where its pieces go.
    pub(crate) fn start<F>(
        threads: &Handle,
        held: Held,
        deadline: Deadline,
        interrupt: Interrupt,
        task: impl FnOnce(mpsc::Sender<T>) -> F,
    ) -> Self
    where
        F: Future<Output = Result<Summary, QueryError>> + Send + 'static,
    {
        let (sender, pieces) = mpsc::channel(AHEAD);
        let making = task(sender);
        let in_time = async move { timeout_at(deadline.at, making).await.unwrap_or_else(|_| Err(deadline.passed())) };
        let work = Work { task: threads.spawn(holding(held, in_time)), interrupt };
        Self { pieces, work: Some(work), summary: None, deadline, alarm: Box::pin(sleep_until(deadline.at)) }
    }

    /// What the task tells before its first piece.
    pub(crate) async fn announced<A>(&mut self, announcement: oneshot::Receiver<A>) -> Result<A, QueryError> {
        match timeout_at(self.deadline.at, announcement).await {
            Ok(Ok(announced)) => Ok(announced),
            // It ended without.
            Ok(Err(_)) => match self.work.take() {
                Some(work) => Err(work.await.err().unwrap_or_else(|| QueryError::internal("a query told nothing"))),
                None => Err(QueryError::internal("a query has ended")),
            },
            Err(_elapsed) => {
                self.work = None;
                Err(self.deadline.passed())
            }
        }
    }

    pub(crate) fn summary(&self) -> Option<Summary> {
        self.summary
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline
    }

    pub(crate) fn interrupt(&self) -> Interrupt {
        self.work.as_ref().map(|work| work.interrupt.clone()).unwrap_or_default()
    }
}

impl<T> Stream for Flow<T> {
    type Item = Result<T, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let flow = &mut *self;
        let Some(work) = &mut flow.work else { return Poll::Ready(None) };
        match flow.pieces.poll_recv(context) {
            Poll::Ready(Some(piece)) => return Poll::Ready(Some(Ok(piece))),
            Poll::Ready(None) => {
                let outcome = ready!(Pin::new(work).poll(context));
                flow.work = None;
                return Poll::Ready(match outcome {
                    Ok(summary) => {
                        flow.summary = Some(summary);
                        None
                    }
                    Err(error) => Some(Err(error)),
                });
            }
            Poll::Pending => {}
        }
        ready!(flow.alarm.as_mut().poll(context));
        flow.work = None;
        Poll::Ready(Some(Err(flow.deadline.passed())))
    }
}

/// A running task, which ends when nobody waits for it any more.
#[derive(Debug)]
struct Work {
    task: JoinHandle<Result<Summary, QueryError>>,
    interrupt: Interrupt,
}

impl Future for Work {
    type Output = Result<Summary, QueryError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(context).map(|joined| match joined {
            Ok(outcome) => outcome,
            Err(error) => Err(QueryError::Internal { source: DataFusionError::ExecutionJoin(Box::new(error)) }),
        })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.interrupt.give_up();
        self.task.abort();
    }
}
