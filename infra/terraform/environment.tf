# The environment of each function: what it reads, and no more. An unknown FRESHET_ variable stops a function at its start, so
# scripts/check-terraform compares these names with crates/platform/src/settings.rs. Passwords and keys are in none of them: what
# Terraform sets, its state holds.

locals {
  brokers = (
    var.kafka.msk_cluster_arn == null ? var.kafka.bootstrap_servers
    : var.kafka.authentication != "none" ? data.aws_msk_bootstrap_brokers.this[0].bootstrap_brokers_sasl_scram
    : var.kafka.tls ? data.aws_msk_bootstrap_brokers.this[0].bootstrap_brokers_tls
    : data.aws_msk_bootstrap_brokers.this[0].bootstrap_brokers
  )
  sasl_mechanisms = {
    none          = ""
    plain         = "PLAIN"
    scram-sha-256 = "SCRAM-SHA-256"
    scram-sha-512 = "SCRAM-SHA-512"
  }

  store_environment = {
    # The one directory that a function may write to.
    FRESHET_DATA              = "/tmp/freshet"
    FRESHET_STORE             = "dynamodb"
    FRESHET_DYNAMODB_TABLE    = module.storage.table_name
    FRESHET_DYNAMODB_ENDPOINT = var.emulator == null ? "" : var.emulator.dynamodb_endpoint
    FRESHET_LOG               = var.log
    # The metrics that are read from the log need its fields.
    FRESHET_LOG_FORMAT = "json"
  }
  files_environment = {
    FRESHET_FILES       = "s3://${module.storage.bucket_name}"
    FRESHET_S3_ENDPOINT = var.emulator == null ? "" : var.emulator.s3_endpoint
  }
  external_environment = {
    FRESHET_EXTERNAL_LOCATIONS = join(",", var.external_locations)
  }
  activation_environment = {
    FRESHET_ACTIVATION_LOCATIONS = join(",", var.activation_locations)
  }
  queue_environment = {
    FRESHET_QUEUE                   = "kafka"
    FRESHET_TOPIC                   = var.kafka.topic
    FRESHET_KAFKA_BOOTSTRAP_SERVERS = local.brokers
    FRESHET_KAFKA_SECURITY_PROTOCOL = join("_", compact([var.kafka.authentication == "none" ? "" : "sasl", var.kafka.tls ? "ssl" : "plaintext"]))
    FRESHET_KAFKA_SASL_MECHANISM    = local.sasl_mechanisms[var.kafka.authentication]
    # Where Amazon Linux has the public authorities: librdkafka brings its own OpenSSL, which looks elsewhere.
    FRESHET_KAFKA_SSL_CA_FILE = var.kafka.tls ? "/etc/pki/tls/certs/ca-bundle.crt" : ""
  }
  index_environment = {
    FRESHET_INDEX_DIRECTORY = "/tmp/freshet/index"
    # A quarter of the writer's memory: batches and files need the rest.
    FRESHET_INDEX_MEMORY = tostring(floor(local.functions.writer.memory / 4))
  }

  environments = {
    # It opens no table, and gets no access to files either.
    ingest   = merge(local.store_environment, local.queue_environment)
    query    = merge(local.store_environment, local.files_environment, local.external_environment)
    profile  = local.store_environment
    admin    = merge(local.store_environment, local.files_environment, local.queue_environment)
    writer   = merge(local.store_environment, local.files_environment, local.queue_environment, local.index_environment)
    runner   = merge(local.store_environment, local.files_environment, local.external_environment, local.activation_environment)
    maintain = merge(local.store_environment, local.files_environment)
  }
}
