# Starts a job on a schedule. What could not be started, and what was started and failed, is in a dead-letter queue.

resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead-letters"
  message_retention_seconds = 1209600
  # One or the other: SQS's own key, or the caller's.
  sqs_managed_sse_enabled = var.kms_key_arn == null ? true : null
  kms_master_key_id       = var.kms_key_arn
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }

    # Else a schedule of another account could be given this role.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

data "aws_caller_identity" "this" {}

resource "aws_iam_role" "scheduler" {
  name               = "${var.name}-scheduler"
  description        = "Starts ${var.name}"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

data "aws_iam_policy_document" "start" {
  statement {
    sid       = "Start"
    actions   = ["lambda:InvokeFunction"]
    resources = [var.function_arn]
  }

  source_policy_documents = [data.aws_iam_policy_document.dead_letters.json]
}

data "aws_iam_policy_document" "dead_letters" {
  statement {
    sid       = "KeepDeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "EncryptDeadLetters"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role_policy" "start" {
  name   = "start"
  role   = aws_iam_role.scheduler.name
  policy = data.aws_iam_policy_document.start.json
}

# Lambda sends what failed in the function's name.
resource "aws_iam_role_policy" "dead_letters" {
  name   = "dead-letters"
  role   = var.function_role_name
  policy = data.aws_iam_policy_document.dead_letters.json
}

resource "aws_scheduler_schedule" "this" {
  name                = var.name
  description         = "Starts ${var.name}"
  schedule_expression = var.expression
  kms_key_arn         = var.kms_key_arn

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = var.function_arn
    role_arn = aws_iam_role.scheduler.arn
    input    = "{}"

    # Of starts that Lambda doesn't take. The next one comes soon anyway.
    retry_policy {
      maximum_event_age_in_seconds = 300
      maximum_retry_attempts       = 5
    }

    dead_letter_config {
      arn = aws_sqs_queue.dead_letters.arn
    }
  }

  depends_on = [aws_iam_role_policy.start]
}

# Of starts that Lambda took. A job does what is due, whoever starts it, so the next start is the retry.
resource "aws_lambda_function_event_invoke_config" "this" {
  function_name                = var.function_name
  maximum_event_age_in_seconds = 300
  maximum_retry_attempts       = 0

  destination_config {
    on_failure {
      destination = aws_sqs_queue.dead_letters.arn
    }
  }

  depends_on = [aws_iam_role_policy.dead_letters]
}
