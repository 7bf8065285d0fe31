# Metrics out of the functions' log lines, alarms, and a dashboard. docs/operate.md says what to do on each alarm.

data "aws_region" "this" {}

locals {
  namespace = "Freshet/${var.name}"

  # The functions write a JSON line for each outcome; the texts and fields are those of the lines in the source.
  # scripts/check-terraform looks for each text there.
  counted = {
    RecordsPassed       = { function = "writer", pattern = "{ $.message = \"batch written\" }", value = "$.records" }
    RowsWritten         = { function = "writer", pattern = "{ $.message = \"batch written\" }", value = "$.rows_written" }
    RowsFailed          = { function = "writer", pattern = "{ $.message = \"batch written\" }", value = "$.rows_failed" }
    TablesHeldBack      = { function = "writer", pattern = "{ $.message = \"table can't be written; it catches up when it can be written again\" }", value = "1" }
    RecordsExpired      = { function = "writer", pattern = "{ $.message = \"the queue's retention has removed records*\" }", value = "1" }
    RunsFailed          = { function = "runner", pattern = "{ $.message = \"a run has ended\" && $.state = \"failed\" }", value = "1" }
    RunMilliseconds     = { function = "runner", pattern = "{ $.message = \"a run has ended\" }", value = "$.elapsed_ms" }
    TablesNotMaintained = { function = "maintain", pattern = "{ $.message = \"a table was not maintained\" }", value = "1" }
  }
  # Of the gateway's own log: rates of the API, and of streams.
  refused = { pattern = "{ $.status = \"429\" }", value = "1" }

  writer = { FunctionName = var.functions["writer"].name }

  alarms = merge(
    {
      freshness = {
        description = "Queued records wait for their tables"
        namespace   = "AWS/Lambda", metric = "OffsetLag", dimensions = local.writer
        statistic   = "Maximum", threshold = var.lag_records, period = 60, periods = 5
      }
      writer-errors = {
        description = "Batches can't be written and are tried again"
        namespace   = "AWS/Lambda", metric = "Errors", dimensions = local.writer
        statistic   = "Sum", threshold = 0, period = 300, periods = 3
      }
      failed-rows = {
        description = "Rows go to tables of failed rows"
        namespace   = local.namespace, metric = "RowsFailed", dimensions = {}
        statistic   = "Sum", threshold = var.failed_rows, period = 300, periods = 1
      }
      tables-held-back = {
        description = "A table can't be written; the others go on without it"
        namespace   = local.namespace, metric = "TablesHeldBack", dimensions = {}
        statistic   = "Sum", threshold = 0, period = 300, periods = 1
      }
      records-expired = {
        description = "The topic's retention has removed records before they were written: they are lost"
        namespace   = local.namespace, metric = "RecordsExpired", dimensions = {}
        statistic   = "Sum", threshold = 0, period = 60, periods = 1
      }
      batches-dropped = {
        description = "Lambda gave batches up without keeping them"
        namespace   = "AWS/Lambda", metric = "DroppedEventCount", dimensions = { EventSourceMappingUUID = var.event_source_uuid }
        statistic   = "Sum", threshold = 0, period = 60, periods = 1
      }
      api-5xx = {
        description = "Requests fail"
        namespace   = "AWS/ApiGateway", metric = "5xx", dimensions = { ApiId = var.api_id }
        statistic   = "Sum", threshold = 4, period = 300, periods = 1
      }
      api-429 = {
        description = "Requests are refused by a rate"
        namespace   = local.namespace, metric = "RequestsRefused", dimensions = {}
        statistic   = "Sum", threshold = 99, period = 300, periods = 3
      }
      runs-failed = {
        description = "Runs of databases or profile indexes fail"
        namespace   = local.namespace, metric = "RunsFailed", dimensions = {}
        statistic   = "Sum", threshold = 0, period = 300, periods = 1
      }
      tables-not-maintained = {
        description = "Tables can't be compacted or cleaned"
        namespace   = local.namespace, metric = "TablesNotMaintained", dimensions = {}
        statistic   = "Sum", threshold = 0, period = 3600, periods = 2
      }
      store-reads-throttled = {
        description = "DynamoDB refuses reads for their rate"
        namespace   = "AWS/DynamoDB", metric = "ReadThrottleEvents", dimensions = { TableName = var.table_name }
        statistic   = "Sum", threshold = 99, period = 300, periods = 1
      }
      store-writes-throttled = {
        description = "DynamoDB refuses writes for their rate"
        namespace   = "AWS/DynamoDB", metric = "WriteThrottleEvents", dimensions = { TableName = var.table_name }
        statistic   = "Sum", threshold = 99, period = 300, periods = 1
      }
    },
    var.gives_records_up ? {
      batches-given-up = {
        description = "Batches were given up for their age, and are in the bucket of discarded ones"
        namespace   = "AWS/Lambda", metric = "OnFailureDestinationDeliveredEventCount", dimensions = { EventSourceMappingUUID = var.event_source_uuid }
        statistic   = "Sum", threshold = 0, period = 60, periods = 1
      }
    } : {},
    {
      for name, function in var.functions : "${name}-throttled" => {
        description = "Invocations of ${name} are refused for want of concurrency"
        namespace   = "AWS/Lambda", metric = "Throttles", dimensions = { FunctionName = function.name }
        statistic   = "Sum", threshold = 0, period = 300, periods = 1
      }
    },
    {
      for name, queue in var.dead_letters : "${name}-dead-letters" => {
        description = "Starts of ${name} failed"
        namespace   = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = queue }
        statistic   = "Maximum", threshold = 0, period = 300, periods = 1
      }
    },
  )
}

resource "aws_cloudwatch_log_metric_filter" "counted" {
  for_each = local.counted

  name           = each.key
  log_group_name = var.functions[each.value.function].log_group
  pattern        = each.value.pattern

  metric_transformation {
    namespace = local.namespace
    name      = each.key
    value     = each.value.value
  }
}

resource "aws_cloudwatch_log_metric_filter" "refused" {
  name           = "RequestsRefused"
  log_group_name = var.api_log_group
  pattern        = local.refused.pattern

  metric_transformation {
    namespace = local.namespace
    name      = "RequestsRefused"
    value     = local.refused.value
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name        = "${var.name}-${each.key}"
  alarm_description = each.value.description

  namespace   = each.value.namespace
  metric_name = each.value.metric
  dimensions  = each.value.dimensions
  statistic   = each.value.statistic
  period      = each.value.period

  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  evaluation_periods  = each.value.periods
  # No line, no metric: nothing has happened.
  treat_missing_data = "notBreaching"

  alarm_actions = var.topic_arns
  ok_actions    = var.topic_arns
}

locals {
  charts = [
    {
      title   = "Records that wait for their tables"
      stat    = "Maximum"
      metrics = [["AWS/Lambda", "OffsetLag", "FunctionName", var.functions["writer"].name]]
    },
    {
      title   = "Records and rows"
      stat    = "Sum"
      metrics = [for metric in ["RecordsPassed", "RowsWritten", "RowsFailed"] : [local.namespace, metric]]
    },
    {
      title   = "Trouble with tables"
      stat    = "Sum"
      metrics = [for metric in ["TablesHeldBack", "RecordsExpired", "RunsFailed", "TablesNotMaintained"] : [local.namespace, metric]]
    },
    {
      title   = "Requests"
      stat    = "Sum"
      metrics = concat([for metric in ["Count", "4xx", "5xx"] : ["AWS/ApiGateway", metric, "ApiId", var.api_id]], [[local.namespace, "RequestsRefused"]])
    },
    {
      title   = "Milliseconds of requests, 99 %"
      stat    = "p99"
      metrics = [for metric in ["Latency", "IntegrationLatency"] : ["AWS/ApiGateway", metric, "ApiId", var.api_id]]
    },
    {
      title   = "Milliseconds of runs, longest"
      stat    = "Maximum"
      metrics = [[local.namespace, "RunMilliseconds"]]
    },
    {
      title   = "Milliseconds of invocations, 99 %"
      stat    = "p99"
      metrics = [for function in values(var.functions) : ["AWS/Lambda", "Duration", "FunctionName", function.name]]
    },
    {
      title   = "Errors"
      stat    = "Sum"
      metrics = [for function in values(var.functions) : ["AWS/Lambda", "Errors", "FunctionName", function.name]]
    },
    {
      title   = "Throttled invocations"
      stat    = "Sum"
      metrics = [for function in values(var.functions) : ["AWS/Lambda", "Throttles", "FunctionName", function.name]]
    },
    {
      title   = "Concurrent executions"
      stat    = "Maximum"
      metrics = [for function in values(var.functions) : ["AWS/Lambda", "ConcurrentExecutions", "FunctionName", function.name]]
    },
    {
      title   = "DynamoDB"
      stat    = "Sum"
      metrics = [for metric in ["ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits", "ReadThrottleEvents", "WriteThrottleEvents"] : ["AWS/DynamoDB", metric, "TableName", var.table_name]]
    },
    {
      title   = "Dead letters"
      stat    = "Maximum"
      metrics = [for queue in values(var.dead_letters) : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue]]
    },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = concat(
      [for number, chart in local.charts : {
        type   = "metric"
        x      = (number % 3) * 8
        y      = floor(number / 3) * 6
        width  = 8
        height = 6
        properties = {
          title   = chart.title
          region  = data.aws_region.this.region
          stat    = chart.stat
          period  = 60
          metrics = chart.metrics
        }
      }],
      [{
        type   = "log"
        x      = 0
        y      = ceil(length(local.charts) / 3) * 6
        width  = 24
        height = 8
        properties = {
          title  = "Errors in the log"
          region = data.aws_region.this.region
          view   = "table"
          query = join(" ", concat(
            [for function in values(var.functions) : "SOURCE '${function.log_group}' |"],
            ["fields @timestamp, target, message, table, error | filter level = 'ERROR' | sort @timestamp desc | limit 50"],
          ))
        }
      }],
    )
  })
}
