output "id" {
  description = "Identifier of the API."
  value       = aws_apigatewayv2_api.this.id
}

output "url" {
  description = "Where the API answers, without a slash at the end."
  value       = var.domain == null ? aws_apigatewayv2_api.this.api_endpoint : "https://${var.domain.name}"

  # Nobody is to be told before it answers.
  depends_on = [aws_apigatewayv2_stage.this, aws_apigatewayv2_api_mapping.this, aws_lambda_permission.this]
}

output "domain_target" {
  description = "What the domain's record must point to. Null: there is no domain of the caller's."
  value       = one(aws_apigatewayv2_domain_name.this[*].domain_name_configuration[0].target_domain_name)
}

output "log_group_name" {
  description = "Name of the access log's group."
  value       = aws_cloudwatch_log_group.access.name
}
