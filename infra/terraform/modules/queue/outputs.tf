output "event_source_uuid" {
  description = "Identifier of the event source mapping."
  value       = aws_lambda_event_source_mapping.this.uuid
}

output "discarded_bucket" {
  description = "Bucket of batches that were given up. Null: none ever is."
  value       = one(aws_s3_bucket.discarded[*].bucket)
}
