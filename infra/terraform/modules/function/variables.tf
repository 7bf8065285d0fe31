variable "name" {
  description = "Name of the function."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,64}$", var.name))
    error_message = "name: 1 to 64 letters, digits, hyphens and underscores."
  }
}

variable "description" {
  description = "What the function does."
  type        = string

  validation {
    condition     = length(var.description) <= 256
    error_message = "description: at most 256 characters."
  }
}

variable "package" {
  description = "The zip file with `bootstrap` in it."
  type        = string

  validation {
    condition     = fileexists(var.package)
    error_message = "package: there is no such file; make it with `make package`."
  }
}

variable "architecture" {
  description = "What the package was built for."
  type        = string

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture: arm64 or x86_64."
  }
}

variable "memory" {
  description = "Memory in megabytes."
  type        = number

  validation {
    condition     = var.memory >= 128 && var.memory <= 10240
    error_message = "memory: 128 to 10240."
  }
}

variable "timeout" {
  description = "Longest invocation in seconds."
  type        = number

  validation {
    condition     = var.timeout >= 1 && var.timeout <= 900
    error_message = "timeout: 1 to 900."
  }
}

variable "storage" {
  description = "Size of /tmp in megabytes."
  type        = number

  validation {
    condition     = var.storage >= 512 && var.storage <= 10240
    error_message = "storage: 512 to 10240."
  }
}

variable "environment" {
  description = "The function's settings; empty ones are left out."
  type        = map(string)

  validation {
    condition     = alltrue([for name in keys(var.environment) : startswith(name, "FRESHET_")])
    error_message = "environment: only FRESHET_ variables are settings."
  }
}

variable "statements" {
  description = "What the function may do besides writing its log."
  type        = list(object({ sid = string, actions = list(string), resources = list(string) }))

  validation {
    condition     = alltrue([for statement in var.statements : !contains(statement.resources, "*") && alltrue([for action in statement.actions : !strcontains(action, "*")])])
    error_message = "statements: name the actions and the resources; no wildcard stands for all of them."
  }
}

variable "subnet_ids" {
  description = "Subnets that the function is in. Empty: none."
  type        = list(string)

  validation {
    condition     = alltrue([for id in var.subnet_ids : startswith(id, "subnet-")])
    error_message = "subnet_ids: as \"subnet-0123456789abcdef0\"."
  }
}

variable "security_group_ids" {
  description = "Security groups of the function in its subnets."
  type        = list(string)

  validation {
    condition     = (length(var.security_group_ids) > 0) == (length(var.subnet_ids) > 0)
    error_message = "security_group_ids: go with subnet_ids."
  }
}

variable "reserved_concurrency" {
  description = "Executions that are set aside for the function, and its most. Null: it shares what the account has."
  type        = number
  default     = null

  validation {
    condition     = var.reserved_concurrency == null ? true : var.reserved_concurrency >= 1
    error_message = "reserved_concurrency: at least 1."
  }
}

variable "log_retention_days" {
  description = "Days for which the log is kept."
  type        = number

  validation {
    condition     = var.log_retention_days >= 1
    error_message = "log_retention_days: at least 1."
  }
}

variable "kms_key_arn" {
  description = "Key for the environment and the log. Null: AWS's own."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : startswith(var.kms_key_arn, "arn:")
    error_message = "kms_key_arn: the ARN of a key."
  }
}
