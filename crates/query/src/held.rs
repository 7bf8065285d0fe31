//! What is held until the work of a query has really ended.
//!
//! A query that is given up ends where its tasks yield, and `DataFusion` splits it into many: what admits queries must
//! count one until the last of these is gone.

use std::any::Any;
use std::sync::Arc;

use datafusion::common::runtime::{JoinSetTracer, set_join_set_tracer};
use futures::FutureExt;
use futures::future::BoxFuture;

/// Dropped with the last task that holds it.
pub(crate) type Held = Arc<dyn Any + Send + Sync>;

type Output = Box<dyn Any + Send>;

tokio::task_local! {
    static HELD: Held;
}

/// Runs a query's work with what is held for it.
pub(crate) async fn holding<F: Future>(held: Held, work: F) -> F::Output {
    HELD.scope(held, work).await
}

/// Hands what a task holds on to the tasks that it spawns; once for the process, and of no effect outside of
/// [`holding`].
pub(crate) fn pass_on() {
    // Another engine of this process has done it before.
    let _already_set = set_join_set_tracer(&PassOn);
}

struct PassOn;

impl JoinSetTracer for PassOn {
    fn trace_future(&self, task: BoxFuture<'static, Output>) -> BoxFuture<'static, Output> {
        match HELD.try_with(Arc::clone) {
            Ok(held) => holding(held, task).boxed(),
            Err(_none) => task,
        }
    }

    fn trace_block(&self, work: Box<dyn FnOnce() -> Output + Send>) -> Box<dyn FnOnce() -> Output + Send> {
        match HELD.try_with(Arc::clone) {
            Ok(held) => Box::new(move || HELD.sync_scope(held, work)),
            Err(_none) => work,
        }
    }
}
