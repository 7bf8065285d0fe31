//! The writer as a Lambda function over Kafka events.

use std::sync::Arc;

use aws_lambda_events::event::kafka::KafkaEvent;
use freshet_function_writer::{WriterContext, handle_event};
use freshet_platform::{Services, Settings, telemetry};
use freshet_table::{IndexSettings, Tables};
use lambda_runtime::{Error, LambdaEvent, service_fn};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let settings = Settings::from_process(&[])?;
    telemetry::start_logs(&settings)?;
    let services = Services::open(&settings).await?;
    // No task outlives its invocation: what the index lacks is taken in before the answer.
    let index = IndexSettings {
        memory_bytes: settings.index_memory,
        directory: Some(settings.index.clone()),
        waits_for_build: true,
        ..IndexSettings::default()
    };
    let tables = Tables::new(Arc::clone(&services.files), services.root.clone()).with_index(index);
    let tables = Arc::new(tables);
    let Services { queue, others } = services;
    let context = Arc::new(WriterContext::new(queue, others.store, others.catalog, tables, others.clock));
    lambda_runtime::run(service_fn(|event: LambdaEvent<KafkaEvent>| {
        let context = Arc::clone(&context);
        async move { handle_event(&context, event.payload).await.map(drop).map_err(Error::from) }
    }))
    .await
}
