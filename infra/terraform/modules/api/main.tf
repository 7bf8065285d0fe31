# The HTTP API in front of the functions. It checks no tokens: the functions do, the same way wherever they run.

resource "aws_apigatewayv2_api" "this" {
  name          = var.name
  description   = "Freshet"
  protocol_type = "HTTP"
  # Else the domain could be gone around.
  disable_execute_api_endpoint = var.domain != null
}

resource "aws_cloudwatch_log_group" "access" {
  name              = "/aws/apigateway/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_apigatewayv2_stage" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit    = var.default_throttling.rate
    throttling_burst_limit   = var.default_throttling.burst
    detailed_metrics_enabled = true
  }

  dynamic "route_settings" {
    for_each = { for key, route in var.routes : key => route.throttling if route.throttling != null }

    content {
      route_key                = route_settings.key
      throttling_rate_limit    = route_settings.value.rate
      throttling_burst_limit   = route_settings.value.burst
      detailed_metrics_enabled = true
    }
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    # The route, not the path: paths of profiles name people.
    format = jsonencode({
      requestId      = "$context.requestId"
      time           = "$context.requestTime"
      sourceIp       = "$context.identity.sourceIp"
      route          = "$context.routeKey"
      method         = "$context.httpMethod"
      status         = "$context.status"
      milliseconds   = "$context.responseLatency"
      functionStatus = "$context.integrationStatus"
      functionMs     = "$context.integrationLatency"
      functionError  = "$context.integrationErrorMessage"
      bytes          = "$context.responseLength"
      error          = "$context.error.message"
    })
  }

  # Settings of a route that isn't there yet are refused.
  depends_on = [aws_apigatewayv2_route.this]
}

resource "aws_apigatewayv2_integration" "this" {
  for_each = var.functions

  api_id                 = aws_apigatewayv2_api.this.id
  integration_type       = "AWS_PROXY"
  integration_uri        = each.value.invoke_arn
  payload_format_version = "2.0"
  # The functions give up before this, and say why.
  timeout_milliseconds = 29000
}

resource "aws_apigatewayv2_route" "this" {
  # checkov:skip=CKV_AWS_309:Functions authorize by their own bearer tokens, with scopes and revocation; an authorizer in front would do it twice
  for_each = var.routes

  api_id             = aws_apigatewayv2_api.this.id
  route_key          = each.key
  authorization_type = "NONE"
  target             = "integrations/${aws_apigatewayv2_integration.this[each.value.function].id}"
}

resource "aws_lambda_permission" "this" {
  for_each = var.functions

  statement_id  = "Api"
  action        = "lambda:InvokeFunction"
  function_name = each.value.name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/*/*"
}

resource "aws_apigatewayv2_domain_name" "this" {
  count = var.domain == null ? 0 : 1

  domain_name = var.domain.name

  domain_name_configuration {
    certificate_arn = var.domain.certificate_arn
    endpoint_type   = "REGIONAL"
    security_policy = "TLS_1_2"
  }
}

resource "aws_apigatewayv2_api_mapping" "this" {
  count = var.domain == null ? 0 : 1

  api_id      = aws_apigatewayv2_api.this.id
  domain_name = aws_apigatewayv2_domain_name.this[0].id
  stage       = aws_apigatewayv2_stage.this.id
}

resource "aws_route53_record" "this" {
  for_each = var.domain == null ? toset([]) : var.domain.zone_id == null ? toset([]) : toset(["A", "AAAA"])

  zone_id = var.domain.zone_id
  name    = var.domain.name
  type    = each.value

  alias {
    name                   = aws_apigatewayv2_domain_name.this[0].domain_name_configuration[0].target_domain_name
    zone_id                = aws_apigatewayv2_domain_name.this[0].domain_name_configuration[0].hosted_zone_id
    evaluate_target_health = false
  }
}
