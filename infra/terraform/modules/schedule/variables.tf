variable "name" {
  description = "Name of the schedule."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{1,54}$", var.name))
    error_message = "name: 1 to 54 letters, digits, dots, hyphens and underscores."
  }
}

variable "expression" {
  description = "When, as rate(…) or cron(…) in UTC."
  type        = string

  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.expression))
    error_message = "expression: as rate(5 minutes) or cron(0 3 * * ? *)."
  }
}

variable "function_name" {
  description = "Name of the job's function."
  type        = string

  validation {
    condition     = length(var.function_name) > 0
    error_message = "function_name: is needed."
  }
}

variable "function_arn" {
  description = "ARN of the job's function."
  type        = string

  validation {
    condition     = startswith(var.function_arn, "arn:")
    error_message = "function_arn: an ARN."
  }
}

variable "function_role_name" {
  description = "Role of the job's function, in whose name failures are sent."
  type        = string

  validation {
    condition     = length(var.function_role_name) > 0
    error_message = "function_role_name: is needed."
  }
}

variable "kms_key_arn" {
  description = "Key for the schedule and its queue. Null: AWS's own."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : startswith(var.kms_key_arn, "arn:")
    error_message = "kms_key_arn: the ARN of a key."
  }
}
