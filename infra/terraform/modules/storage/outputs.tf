output "bucket_name" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.files.bucket
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.files.arn
}

output "table_name" {
  description = "Name of the table."
  value       = aws_dynamodb_table.items.name
}

output "table_arn" {
  description = "ARN of the table."
  value       = aws_dynamodb_table.items.arn
}
