# The functions that talk to the brokers are in your subnets; the others need none, and start faster without.

data "aws_subnet" "first" {
  count = length(var.subnet_ids) > 0 ? 1 : 0

  id = var.subnet_ids[0]
}

resource "aws_security_group" "functions" {
  count = length(var.subnet_ids) > 0 ? 1 : 0

  name        = "${var.name}-functions"
  description = "Functions of ${var.name} that reach Kafka"
  vpc_id      = data.aws_subnet.first[0].vpc_id

  tags = { Name = "${var.name}-functions" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "aws" {
  count = length(var.subnet_ids) > 0 ? 1 : 0

  security_group_id = aws_security_group.functions[0].id
  description       = "DynamoDB, S3, Secrets Manager"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

locals {
  # MSK's port is known before the cluster is asked.
  msk_port = var.kafka.authentication != "none" ? 9096 : var.kafka.tls ? 9094 : 9092
  broker_ports = toset(
    length(var.subnet_ids) == 0 ? []
    : var.kafka.msk_cluster_arn != null ? [tostring(local.msk_port)]
    : [for server in split(",", var.kafka.bootstrap_servers) : split(":", server)[1]]
  )
}

resource "aws_vpc_security_group_egress_rule" "brokers" {
  for_each = local.broker_ports

  security_group_id            = aws_security_group.functions[0].id
  description                  = "Kafka"
  ip_protocol                  = "tcp"
  from_port                    = tonumber(each.value)
  to_port                      = tonumber(each.value)
  cidr_ipv4                    = var.kafka.security_group_id == null ? "0.0.0.0/0" : null
  referenced_security_group_id = var.kafka.security_group_id
}

resource "aws_vpc_security_group_ingress_rule" "brokers" {
  for_each = var.kafka.security_group_id == null ? toset([]) : local.broker_ports

  security_group_id            = var.kafka.security_group_id
  description                  = "Functions of ${var.name}"
  ip_protocol                  = "tcp"
  from_port                    = tonumber(each.value)
  to_port                      = tonumber(each.value)
  referenced_security_group_id = aws_security_group.functions[0].id
}
