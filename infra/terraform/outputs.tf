output "url" {
  description = "Where the API answers."
  value       = module.api.url
}

output "ingest_url" {
  description = "Where records are posted to, before the stream's id."
  value       = "${module.api.url}/stream/v0/data"
}

output "query_url" {
  description = "Where SQL is posted to."
  value       = "${module.api.url}/query/v0/sql"
}

output "profile_url" {
  description = "The base of the profile API."
  value       = "${module.api.url}/api"
}

output "admin_url" {
  description = "The base of the admin API."
  value       = "${module.api.url}/admin/v0"
}

output "command_line" {
  description = "Environment of the command line for this deployment."
  value       = { FRESHET_URL = module.api.url, FRESHET_TENANT = var.tenant }
}

output "domain_target" {
  description = "What the domain's record must point to, where no zone was given. Null: there is no domain of your own."
  value       = module.api.domain_target
}

output "bucket" {
  description = "The bucket of the tables."
  value       = module.storage.bucket_name
}

output "table" {
  description = "The DynamoDB table."
  value       = module.storage.table_name
}

output "signing_key_secret_arn" {
  description = "The secret that the signing key has to be put into, once."
  value       = aws_secretsmanager_secret.signing_key.arn
}

output "function_security_group_id" {
  description = "The security group of the functions that reach Kafka; the brokers must let it in. Null: they are in no network of yours."
  value       = one(aws_security_group.functions[*].id)
}

output "discarded_bucket" {
  description = "The bucket of batches that were given up. Null: none ever is."
  value       = module.queue.discarded_bucket
}

output "dead_letter_queues" {
  description = "Queues of starts of jobs that failed, by job."
  value       = { for name, schedule in module.schedule : name => schedule.dead_letter_queue_name }
}

output "dashboard_url" {
  description = "The dashboard."
  value       = module.observability.dashboard_url
}
