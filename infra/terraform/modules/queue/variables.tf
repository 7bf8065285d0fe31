variable "name" {
  description = "Name of the deployment, beginning of the bucket's."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name: 3 to 24 lower-case letters, digits and hyphens."
  }
}

variable "function_arn" {
  description = "The writer."
  type        = string

  validation {
    condition     = startswith(var.function_arn, "arn:")
    error_message = "function_arn: an ARN."
  }
}

variable "function_role_name" {
  description = "The writer's role, which the pollers act in."
  type        = string

  validation {
    condition     = length(var.function_role_name) > 0
    error_message = "function_role_name: is needed."
  }
}

variable "msk_cluster_arn" {
  description = "The MSK cluster. Null: bootstrap_servers say where the brokers are."
  type        = string
  default     = null

  validation {
    condition     = var.msk_cluster_arn == null ? true : can(regex("^arn:[a-z-]+:kafka:", var.msk_cluster_arn))
    error_message = "msk_cluster_arn: the ARN of a cluster."
  }
}

variable "bootstrap_servers" {
  description = "host:port, several separated by commas. Null: the cluster is MSK's."
  type        = string
  default     = null

  validation {
    condition     = (var.bootstrap_servers == null) != (var.msk_cluster_arn == null)
    error_message = "bootstrap_servers: give this or msk_cluster_arn."
  }
}

variable "authentication" {
  description = "none, plain, scram-sha-256 or scram-sha-512."
  type        = string

  validation {
    condition     = contains(["none", "plain", "scram-sha-256", "scram-sha-512"], var.authentication)
    error_message = "authentication: none, plain, scram-sha-256 or scram-sha-512."
  }
}

variable "secret_arn" {
  description = "The secret with username and password."
  type        = string
  default     = null

  validation {
    condition     = (var.secret_arn == null) == (var.authentication == "none")
    error_message = "secret_arn: goes with authentication."
  }
}

variable "topic" {
  description = "The topic of the records."
  type        = string

  validation {
    condition     = length(var.topic) > 0
    error_message = "topic: is needed."
  }
}

variable "consumer_group" {
  description = "The group that the pollers consume as. Another one begins at the start of the topic."
  type        = string

  validation {
    condition     = length(var.consumer_group) > 0
    error_message = "consumer_group: is needed."
  }
}

variable "subnet_ids" {
  description = "Subnets from which brokers that aren't MSK's are reached."
  type        = list(string)

  validation {
    condition     = alltrue([for id in var.subnet_ids : startswith(id, "subnet-")])
    error_message = "subnet_ids: as \"subnet-0123456789abcdef0\"."
  }
}

variable "security_group_ids" {
  description = "Security groups of the pollers in those subnets."
  type        = list(string)

  validation {
    condition     = (length(var.security_group_ids) > 0) == (length(var.subnet_ids) > 0)
    error_message = "security_group_ids: go with subnet_ids."
  }
}

variable "batch_window_seconds" {
  description = "How long records are gathered, in seconds."
  type        = number

  validation {
    condition     = var.batch_window_seconds >= 0 && var.batch_window_seconds <= 300
    error_message = "batch_window_seconds: 0 to 300."
  }
}

variable "pollers" {
  description = "Provisioned pollers. Null: on demand."
  type        = object({ minimum = number, maximum = number })

  validation {
    condition     = var.pollers == null ? true : var.pollers.minimum >= 1 && var.pollers.maximum >= var.pollers.minimum
    error_message = "pollers: 1 <= minimum <= maximum."
  }
}

variable "maximum_record_age_seconds" {
  description = "Age after which a batch that can't be written is given up. Null: never."
  type        = number
  default     = null

  validation {
    condition     = var.maximum_record_age_seconds == null || var.pollers != null
    error_message = "maximum_record_age_seconds: only provisioned pollers know it."
  }
}

variable "kms_key_arn" {
  description = "Key for the bucket of discarded batches. Null: S3's own."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : startswith(var.kms_key_arn, "arn:")
    error_message = "kms_key_arn: the ARN of a key."
  }
}
