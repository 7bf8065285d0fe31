variable "name" {
  description = "Name of the deployment. Everything it makes begins with it."
  type        = string
  default     = "freshet"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name: 3 to 24 lower-case letters, digits and hyphens, beginning with a letter, as \"freshet-prod\"."
  }
}

variable "tenant" {
  description = "The first tenant. Named in the output for the command line; a deployment may have more."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,62}$", var.tenant))
    error_message = "tenant: lower-case letters, digits and hyphens, as \"acme\"."
  }
}

variable "packages" {
  description = "Directory with the zip files that `make package` wrote."
  type        = string

  validation {
    condition     = length(fileset(var.packages, "*.zip")) > 0
    error_message = "packages: there are no zip files in this directory; make them with `make package`."
  }
}

variable "architecture" {
  description = "What the packages were built for: x86_64 or arm64."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture: arm64 or x86_64."
  }
}

variable "kafka" {
  description = <<-EOT
    The cluster that the queue is on, and the topic on it. Both must be there before this is planned.
    Give `msk_cluster_arn`, or `bootstrap_servers` as host:port separated by commas.
    `authentication` is none, plain, scram-sha-256 or scram-sha-512; all but none need `secret_arn`, a secret in Secrets Manager with the
    members `username` and `password`. MSK knows none and scram-sha-512. `secret_kms_key_arn` is the secret's key, where it is your own.
    `security_group_id` is the brokers' security group: given, it lets the functions in.
  EOT
  type = object({
    msk_cluster_arn    = optional(string)
    bootstrap_servers  = optional(string)
    authentication     = optional(string, "scram-sha-512")
    tls                = optional(bool, true)
    secret_arn         = optional(string)
    secret_kms_key_arn = optional(string)
    security_group_id  = optional(string)
    topic              = optional(string, "freshet-records")
    consumer_group     = optional(string, "freshet-writer")
  })

  validation {
    condition     = (var.kafka.msk_cluster_arn == null) != (var.kafka.bootstrap_servers == null)
    error_message = "kafka: give msk_cluster_arn or bootstrap_servers, one of them."
  }
  validation {
    condition     = contains(["none", "plain", "scram-sha-256", "scram-sha-512"], var.kafka.authentication)
    error_message = "kafka.authentication: none, plain, scram-sha-256 or scram-sha-512."
  }
  validation {
    condition     = var.kafka.msk_cluster_arn == null || contains(["none", "scram-sha-512"], var.kafka.authentication)
    error_message = "kafka.authentication: MSK knows none and scram-sha-512."
  }
  validation {
    condition     = (var.kafka.authentication == "none") == (var.kafka.secret_arn == null)
    error_message = "kafka.secret_arn: is needed where there is authentication, and only there."
  }
  validation {
    condition     = var.kafka.tls || var.kafka.authentication == "none"
    error_message = "kafka.tls: a password is never sent without TLS."
  }
  validation {
    condition     = var.kafka.bootstrap_servers == null || can(regex("^[^,:\\s]+:[0-9]+(,[^,:\\s]+:[0-9]+)*$", var.kafka.bootstrap_servers))
    error_message = "kafka.bootstrap_servers: host:port, several separated by commas without spaces."
  }
  validation {
    condition     = can(regex("^[A-Za-z0-9._-]{1,249}$", var.kafka.topic))
    error_message = "kafka.topic: 1 to 249 letters, digits, dots, underscores and hyphens."
  }
}

variable "subnet_ids" {
  description = "Subnets from which the brokers are reached, with a route to DynamoDB and Secrets Manager (and S3 for the writer). Empty: the brokers are public, and no function is in a network of yours."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.subnet_ids : startswith(id, "subnet-")])
    error_message = "subnet_ids: as \"subnet-0123456789abcdef0\"."
  }
  validation {
    condition     = var.kafka.msk_cluster_arn == null || length(var.subnet_ids) > 0
    error_message = "subnet_ids: MSK is reached from a network only; give the subnets of the cluster."
  }
}

variable "pollers" {
  description = "Event pollers of Lambda's that are kept ready for the queue: low latency that lasts, paid by the hour. Each moves up to 5 MB/s. Null: Lambda scales by itself, more slowly, and can neither split a batch nor give up a record."
  type = object({
    minimum = optional(number, 1)
    maximum = optional(number, 4)
  })
  default = {}

  validation {
    condition     = var.pollers == null ? true : var.pollers.minimum >= 1 && var.pollers.minimum <= var.pollers.maximum && var.pollers.maximum <= 2000
    error_message = "pollers: 1 <= minimum <= maximum <= 2000."
  }
}

variable "batch_window_seconds" {
  description = "How long records are gathered for one write, in seconds. Fewer, larger commits against freshness."
  type        = number
  default     = 1

  validation {
    condition     = var.batch_window_seconds >= 0 && var.batch_window_seconds <= 300 && floor(var.batch_window_seconds) == var.batch_window_seconds
    error_message = "batch_window_seconds: a whole number from 0 to 300."
  }
}

variable "maximum_record_age_seconds" {
  description = "Age after which a batch that can't be written is given up and kept in the bucket of discarded batches. Null: never, since what was acknowledged must reach its tables."
  type        = number
  default     = null

  validation {
    condition     = var.maximum_record_age_seconds == null ? true : var.maximum_record_age_seconds >= 60 && var.maximum_record_age_seconds <= 604800
    error_message = "maximum_record_age_seconds: 60 to 604800, or null."
  }
  validation {
    condition     = var.maximum_record_age_seconds == null || var.pollers != null
    error_message = "maximum_record_age_seconds: only provisioned pollers know it; give pollers."
  }
}

variable "external_locations" {
  description = "Where tables of others lie that databases may read, as s3://bucket/path."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for location in var.external_locations : can(regex("^s3://[a-z0-9.-]{3,63}/[^,*?]*[^,*?/]$", location))])
    error_message = "external_locations: as s3://bucket/path, without a slash at the end."
  }
}

variable "activation_locations" {
  description = "Where activations may write files besides the deployment's own bucket, as s3://bucket/path."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for location in var.activation_locations : can(regex("^s3://[a-z0-9.-]{3,63}/[^,*?]*[^,*?/]$", location))])
    error_message = "activation_locations: as s3://bucket/path, without a slash at the end."
  }
}

variable "memory" {
  description = "Megabytes of memory by function, where the default doesn't fit, as { writer = 3008 }. Processor time comes with it."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.memory) : contains(["ingest", "query", "profile", "admin", "writer", "runner", "maintain"], name)])
    error_message = "memory: the functions are ingest, query, profile, admin, writer, runner and maintain."
  }
  validation {
    condition     = alltrue([for megabytes in values(var.memory) : megabytes >= 256 && megabytes <= 10240])
    error_message = "memory: 256 to 10240 megabytes."
  }
}

variable "reserved_concurrency" {
  description = "Concurrent executions by function that are set aside for it, and its most, as { ingest = 200 }. Functions that are not named share what the account has."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.reserved_concurrency) : contains(["ingest", "query", "profile", "admin", "writer", "runner", "maintain"], name)])
    error_message = "reserved_concurrency: the functions are ingest, query, profile, admin, writer, runner and maintain."
  }
  validation {
    condition     = alltrue([for executions in values(var.reserved_concurrency) : executions >= 1])
    error_message = "reserved_concurrency: at least 1; leave the function out to share."
  }
}

variable "throttling" {
  description = "Requests a second, and at once, that the API lets through; `ingest` for posts to streams, `other` for everything else."
  type = object({
    ingest = optional(object({ rate = number, burst = number }), { rate = 2000, burst = 1000 })
    other  = optional(object({ rate = number, burst = number }), { rate = 200, burst = 100 })
  })
  default = {}

  validation {
    condition     = alltrue([for limit in [var.throttling.ingest, var.throttling.other] : limit.rate >= 1 && limit.burst >= 1])
    error_message = "throttling: rates and bursts of at least 1."
  }
}

variable "domain" {
  description = "A domain of your own for the API, its certificate in ACM in the same region, and the hosted zone to put its record into. Null: the address that API Gateway gives."
  type = object({
    name            = string
    certificate_arn = string
    zone_id         = optional(string)
  })
  default = null

  validation {
    condition     = var.domain == null ? true : can(regex("^[a-z0-9-]+(\\.[a-z0-9-]+)+$", var.domain.name)) && startswith(var.domain.certificate_arn, "arn:")
    error_message = "domain: a name as \"events.example.com\", and the ARN of its certificate."
  }
}

variable "schedules" {
  description = "How often the jobs are started, as EventBridge Scheduler writes it: rate(…) or cron(…)."
  type = object({
    runner   = optional(string, "rate(1 minute)")
    maintain = optional(string, "rate(10 minutes)")
  })
  default = {}

  validation {
    condition     = alltrue([for expression in [var.schedules.runner, var.schedules.maintain] : can(regex("^(rate|cron)\\(.+\\)$", expression))])
    error_message = "schedules: as rate(5 minutes) or cron(0 3 * * ? *)."
  }
}

variable "kms_key_arn" {
  description = "A key of your own for the bucket, the table, the secret, queues and logs. Its policy must let CloudWatch Logs use it. Null: AWS's own keys."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn: the ARN of a key, not of an alias."
  }
}

variable "undo_days" {
  description = "Days for which what was overwritten or removed in the bucket can be brought back."
  type        = number
  default     = 7

  validation {
    condition     = var.undo_days >= 1 && var.undo_days <= 365 && floor(var.undo_days) == var.undo_days
    error_message = "undo_days: a whole number from 1 to 365."
  }
}

variable "deletion_protection" {
  description = "Whether the DynamoDB table refuses to be deleted, and the bucket to be deleted with files in it. Turn it off, apply, and only then destroy."
  type        = bool
  default     = true
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days: a number of days that CloudWatch Logs knows, as 30, 90 or 365."
  }
}

variable "log" {
  description = "Which log lines are written, as FRESHET_LOG. Below info, the metrics that are read from the log lose their source."
  type        = string
  default     = "info,buoyant_kernel=warn,deltalake_core=off"

  validation {
    condition     = can(regex("^(info|debug|trace)(,|$)", var.log))
    error_message = "log: begin with info or a finer level, as \"info,freshet_table=debug\"."
  }
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms are sent to."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:[a-z-]+:sns:", arn))])
    error_message = "alarm_topic_arns: ARNs of SNS topics."
  }
}

variable "alarm_lag_records" {
  description = "Queued records that are not in their tables yet, above which the freshness alarm goes off."
  type        = number
  default     = 50000

  validation {
    condition     = var.alarm_lag_records >= 1
    error_message = "alarm_lag_records: at least 1."
  }
}

variable "alarm_failed_rows" {
  description = "Rows that could not be read, in five minutes, above which their alarm goes off."
  type        = number
  default     = 100

  validation {
    condition     = var.alarm_failed_rows >= 0
    error_message = "alarm_failed_rows: at least 0."
  }
}

variable "emulator" {
  description = "Addresses of an emulator's DynamoDB and S3, as functions reach them. Null: AWS."
  type = object({
    dynamodb_endpoint = string
    s3_endpoint       = string
  })
  default = null

  validation {
    condition     = var.emulator == null ? true : alltrue([for address in values(var.emulator) : can(regex("^https?://", address))])
    error_message = "emulator: addresses as http://host:4566."
  }
}
