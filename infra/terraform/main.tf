data "aws_partition" "this" {}

data "aws_msk_bootstrap_brokers" "this" {
  count = var.kafka.msk_cluster_arn == null ? 0 : 1

  cluster_arn = var.kafka.msk_cluster_arn
}

# Made by `freshet bootstrap` or by hand, never by Terraform: docs/deploy.md. There is no version here that a state could hold.
resource "aws_secretsmanager_secret" "signing_key" {
  # checkov:skip=CKV2_AWS_57:Rotation replaces the key in every function at once and ends every token; it is done by hand, see docs/operate.md
  name        = "${var.name}/signing-key"
  description = "The Ed25519 key that signs the tokens of ${var.name}, as PKCS#8 PEM"
  kms_key_id  = var.kms_key_arn
}

module "storage" {
  source = "./modules/storage"

  name                = var.name
  kms_key_arn         = var.kms_key_arn
  undo_days           = var.undo_days
  deletion_protection = var.deletion_protection
}

locals {
  functions = {
    ingest = {
      description = "Takes records in over HTTP and queues them"
      # Bodies in flight may hold 256 MiB.
      memory  = lookup(var.memory, "ingest", 1024)
      timeout = 30, storage = 512, in_network = true
    }
    query = {
      description = "Answers SQL over HTTP"
      memory      = lookup(var.memory, "query", 2048)
      # A query may spill 4 GiB.
      timeout = 30, storage = 5120, in_network = false
    }
    profile = {
      description = "Looks profiles up over HTTP"
      memory      = lookup(var.memory, "profile", 512)
      timeout     = 30, storage = 512, in_network = false
    }
    admin = {
      description = "Keeps resources, API keys and tokens over HTTP"
      memory      = lookup(var.memory, "admin", 512)
      timeout     = 30, storage = 512, in_network = true
    }
    writer = {
      description = "Upserts queued records into the Delta tables"
      memory      = lookup(var.memory, "writer", 2048)
      # An event source mapping of Kafka gives an invocation 14 minutes. The index of keys takes the storage.
      timeout = 840, storage = 10240, in_network = true
    }
    runner = {
      description = "Runs databases and profile indexes"
      memory      = lookup(var.memory, "runner", 3008)
      timeout     = 900, storage = 10240, in_network = false
    }
    maintain = {
      description = "Compacts, checkpoints and cleans tables"
      memory      = lookup(var.memory, "maintain", 2048)
      timeout     = 900, storage = 2048, in_network = false
    }
  }
}

module "function" {
  source   = "./modules/function"
  for_each = local.functions

  name                 = "${var.name}-${each.key}"
  description          = each.value.description
  package              = "${var.packages}/${each.key}.zip"
  architecture         = var.architecture
  memory               = each.value.memory
  timeout              = each.value.timeout
  storage              = each.value.storage
  environment          = local.environments[each.key]
  statements           = local.statements[each.key]
  subnet_ids           = each.value.in_network ? var.subnet_ids : []
  security_group_ids   = each.value.in_network ? aws_security_group.functions[*].id : []
  reserved_concurrency = lookup(var.reserved_concurrency, each.key, null)
  log_retention_days   = var.log_retention_days
  kms_key_arn          = var.kms_key_arn
}

module "api" {
  source = "./modules/api"

  name               = var.name
  domain             = var.domain
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  default_throttling = var.throttling.other

  functions = {
    for name in ["ingest", "query", "profile", "admin"] : name => {
      name       = module.function[name].name
      invoke_arn = module.function[name].invoke_arn
    }
  }
  # Every method: what a path doesn't take, its function refuses by name (405). The most particular path wins.
  routes = {
    "ANY /stream/v0/{proxy+}"     = { function = "ingest", throttling = var.throttling.ingest }
    "ANY /query/v0/{proxy+}"      = { function = "query" }
    "ANY /api/{proxy+}"           = { function = "profile" }
    "ANY /api/v0/oauth2/{proxy+}" = { function = "admin" }
    "ANY /api/v0/admin/{proxy+}"  = { function = "admin" }
    "ANY /admin/v0/{proxy+}"      = { function = "admin" }
    "GET /health"                 = { function = "admin" }
    "GET /openapi.json"           = { function = "admin" }
  }
}

module "queue" {
  source = "./modules/queue"

  name                       = var.name
  function_arn               = module.function["writer"].arn
  function_role_name         = module.function["writer"].role_name
  msk_cluster_arn            = var.kafka.msk_cluster_arn
  bootstrap_servers          = var.kafka.bootstrap_servers
  authentication             = var.kafka.authentication
  secret_arn                 = var.kafka.secret_arn
  topic                      = var.kafka.topic
  consumer_group             = var.kafka.consumer_group
  subnet_ids                 = var.subnet_ids
  security_group_ids         = aws_security_group.functions[*].id
  batch_window_seconds       = var.batch_window_seconds
  pollers                    = var.pollers
  maximum_record_age_seconds = var.maximum_record_age_seconds
  kms_key_arn                = var.kms_key_arn
}

module "schedule" {
  source   = "./modules/schedule"
  for_each = { runner = var.schedules.runner, maintain = var.schedules.maintain }

  name               = "${var.name}-${each.key}"
  expression         = each.value
  function_name      = module.function[each.key].name
  function_arn       = module.function[each.key].arn
  function_role_name = module.function[each.key].role_name
  kms_key_arn        = var.kms_key_arn
}

module "observability" {
  source = "./modules/observability"

  name              = var.name
  functions         = { for name, function in module.function : name => { name = function.name, log_group = function.log_group_name } }
  api_id            = module.api.id
  api_log_group     = module.api.log_group_name
  table_name        = module.storage.table_name
  dead_letters      = { for name, schedule in module.schedule : name => schedule.dead_letter_queue_name }
  event_source_uuid = module.queue.event_source_uuid
  gives_records_up  = var.maximum_record_age_seconds != null
  topic_arns        = var.alarm_topic_arns
  lag_records       = var.alarm_lag_records
  failed_rows       = var.alarm_failed_rows
}
