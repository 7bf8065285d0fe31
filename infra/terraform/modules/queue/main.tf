# The event source mapping that brings the topic's records to the writer.

locals {
  is_msk = var.msk_cluster_arn != null
  authentication_types = {
    plain         = "BASIC_AUTH"
    scram-sha-256 = "SASL_SCRAM_256_AUTH"
    scram-sha-512 = "SASL_SCRAM_512_AUTH"
  }
  # MSK's own network is the cluster's.
  access = concat(
    var.authentication == "none" ? [] : [{ type = local.authentication_types[var.authentication], uri = var.secret_arn }],
    local.is_msk ? [] : [for id in var.subnet_ids : { type = "VPC_SUBNET", uri = "subnet:${id}" }],
    local.is_msk ? [] : [for id in var.security_group_ids : { type = "VPC_SECURITY_GROUP", uri = "security_group:${id}" }],
  )
}

# What Lambda's pollers do in the function's name.
data "aws_iam_policy_document" "poll" {
  dynamic "statement" {
    for_each = local.is_msk ? [true] : []

    content {
      sid       = "FindBrokers"
      actions   = ["kafka:DescribeCluster", "kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"]
      resources = [var.msk_cluster_arn]
    }
  }

  dynamic "statement" {
    for_each = local.is_msk || length(var.subnet_ids) > 0 ? [true] : []

    content {
      sid = "JoinNetwork"
      actions = [
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
      ]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = aws_s3_bucket.discarded[*].arn

    content {
      sid       = "FindDiscarded"
      actions   = ["s3:ListBucket"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = aws_s3_bucket.discarded[*].arn

    content {
      sid       = "KeepDiscarded"
      actions   = ["s3:PutObject"]
      resources = ["${statement.value}/*"]
    }
  }
}

resource "aws_iam_role_policy" "poll" {
  # A cluster that is public and asks for no more than a password takes no call that the function itself doesn't make.
  count = local.is_msk || length(var.subnet_ids) > 0 || var.maximum_record_age_seconds != null ? 1 : 0

  name   = "poll"
  role   = var.function_role_name
  policy = data.aws_iam_policy_document.poll.json
}

resource "aws_lambda_event_source_mapping" "this" {
  function_name    = var.function_arn
  event_source_arn = var.msk_cluster_arn
  topics           = [var.topic]
  # What was queued before the writer came must reach its tables as well; what it has had already it passes over.
  starting_position = "TRIM_HORIZON"

  batch_size                         = 10000
  maximum_batching_window_in_seconds = var.batch_window_seconds

  # Nothing that was acknowledged may be discarded: unless the caller sets an age, a batch is tried until it is written. One that
  # is too much for an invocation is split, where provisioned pollers offer that.
  maximum_retry_attempts         = var.pollers == null ? null : -1
  maximum_record_age_in_seconds  = var.pollers == null ? null : coalesce(var.maximum_record_age_seconds, -1)
  bisect_batch_on_function_error = var.pollers == null ? null : true

  dynamic "self_managed_event_source" {
    for_each = local.is_msk ? [] : [true]

    content {
      endpoints = { KAFKA_BOOTSTRAP_SERVERS = var.bootstrap_servers }
    }
  }

  dynamic "amazon_managed_kafka_event_source_config" {
    for_each = local.is_msk ? [true] : []

    content {
      consumer_group_id = var.consumer_group
    }
  }

  dynamic "self_managed_kafka_event_source_config" {
    for_each = local.is_msk ? [] : [true]

    content {
      consumer_group_id = var.consumer_group
    }
  }

  dynamic "source_access_configuration" {
    for_each = local.access

    content {
      type = source_access_configuration.value.type
      uri  = source_access_configuration.value.uri
    }
  }

  dynamic "provisioned_poller_config" {
    for_each = var.pollers == null ? [] : [var.pollers]

    content {
      minimum_pollers = provisioned_poller_config.value.minimum
      maximum_pollers = provisioned_poller_config.value.maximum
    }
  }

  dynamic "metrics_config" {
    for_each = var.pollers == null ? [] : [true]

    content {
      metrics = ["EventCount"]
    }
  }

  dynamic "destination_config" {
    for_each = aws_s3_bucket.discarded[*].arn

    content {
      on_failure {
        destination_arn = destination_config.value
      }
    }
  }

  # The mapping is refused while the function may not find the brokers.
  depends_on = [aws_iam_role_policy.poll]
}

data "aws_caller_identity" "this" {}

data "aws_region" "this" {}

# Batches that were given up, whole: they can be brought back by posting their records again.
resource "aws_s3_bucket" "discarded" {
  # checkov:skip=CKV_AWS_18:Only Lambda writes here, and the alarm on what it discards says when
  # checkov:skip=CKV_AWS_144:Kept for people to look at, not for a region's loss
  # checkov:skip=CKV2_AWS_62:The alarm on discarded events says it
  # checkov:skip=CKV_AWS_21:Each batch is written once under a name of its own
  # checkov:skip=CKV2_AWS_61:Nothing here may go by itself: these records are in no table
  count = var.maximum_record_age_seconds == null ? 0 : 1

  bucket = "${var.name}-discarded-${data.aws_caller_identity.this.account_id}-${data.aws_region.this.region}"
}

resource "aws_s3_bucket_ownership_controls" "discarded" {
  count = length(aws_s3_bucket.discarded)

  bucket = aws_s3_bucket.discarded[count.index].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "discarded" {
  count = length(aws_s3_bucket.discarded)

  bucket = aws_s3_bucket.discarded[count.index].id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "discarded" {
  count = length(aws_s3_bucket.discarded)

  bucket = aws_s3_bucket.discarded[count.index].id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

data "aws_iam_policy_document" "discarded" {
  count = length(aws_s3_bucket.discarded)

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.discarded[count.index].arn, "${aws_s3_bucket.discarded[count.index].arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "discarded" {
  count = length(aws_s3_bucket.discarded)

  bucket = aws_s3_bucket.discarded[count.index].id
  policy = data.aws_iam_policy_document.discarded[count.index].json

  depends_on = [aws_s3_bucket_public_access_block.discarded]
}
