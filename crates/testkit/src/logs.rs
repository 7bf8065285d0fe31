//! What a program logs.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Log lines, kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The lines, as JSON, that are logged of a level and those above it while a future runs, on the thread that runs it.
pub async fn logged(level: LevelFilter, doing: impl Future<Output = ()>) -> String {
    let lines = Lines::default();
    // With one subscriber in the process alone, tracing asks that of the thread which comes to a line of code first, and
    // turns the line off for all where that thread has none: another test's.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
    let writer = tracing_subscriber::fmt().json().flatten_event(true).with_max_level(level).with_writer(lines.clone());
    let guard = tracing::subscriber::set_default(writer.finish());
    doing.await;
    drop(guard);
    let bytes = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes).into_owned()
}
