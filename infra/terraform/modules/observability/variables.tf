variable "name" {
  description = "Name of the deployment."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,64}$", var.name))
    error_message = "name: 1 to 64 letters, digits, hyphens and underscores."
  }
}

variable "functions" {
  description = "Names and log groups of the functions, by what they are; writer, runner and maintain are among them."
  type        = map(object({ name = string, log_group = string }))

  validation {
    condition     = alltrue([for name in ["writer", "runner", "maintain"] : contains(keys(var.functions), name)])
    error_message = "functions: writer, runner and maintain are needed."
  }
}

variable "api_id" {
  description = "Identifier of the API."
  type        = string

  validation {
    condition     = length(var.api_id) > 0
    error_message = "api_id: is needed."
  }
}

variable "api_log_group" {
  description = "The API's access log."
  type        = string

  validation {
    condition     = length(var.api_log_group) > 0
    error_message = "api_log_group: is needed."
  }
}

variable "table_name" {
  description = "The DynamoDB table."
  type        = string

  validation {
    condition     = length(var.table_name) > 0
    error_message = "table_name: is needed."
  }
}

variable "dead_letters" {
  description = "Names of dead-letter queues, by job."
  type        = map(string)

  validation {
    condition     = alltrue([for queue in values(var.dead_letters) : length(queue) > 0])
    error_message = "dead_letters: names of queues."
  }
}

variable "event_source_uuid" {
  description = "The event source mapping of the queue."
  type        = string

  validation {
    condition     = length(var.event_source_uuid) > 0
    error_message = "event_source_uuid: is needed."
  }
}

variable "gives_records_up" {
  description = "Whether batches are given up at some age."
  type        = bool
}

variable "topic_arns" {
  description = "SNS topics that alarms are sent to."
  type        = list(string)

  validation {
    condition     = alltrue([for arn in var.topic_arns : startswith(arn, "arn:")])
    error_message = "topic_arns: ARNs."
  }
}

variable "lag_records" {
  description = "Waiting records above which the alarm of freshness goes off."
  type        = number

  validation {
    condition     = var.lag_records >= 1
    error_message = "lag_records: at least 1."
  }
}

variable "failed_rows" {
  description = "Failed rows in five minutes above which their alarm goes off."
  type        = number

  validation {
    condition     = var.failed_rows >= 0
    error_message = "failed_rows: at least 0."
  }
}
