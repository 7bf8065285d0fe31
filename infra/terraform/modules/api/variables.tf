variable "name" {
  description = "Name of the API."
  type        = string

  validation {
    condition     = length(var.name) >= 1 && length(var.name) <= 128
    error_message = "name: 1 to 128 characters."
  }
}

variable "functions" {
  description = "The functions behind the API, by what routes call them."
  type        = map(object({ name = string, invoke_arn = string }))

  validation {
    condition     = length(var.functions) > 0
    error_message = "functions: at least one."
  }
}

variable "routes" {
  description = "Which function answers what, by route key; a route may have throttling of its own."
  type = map(object({
    function   = string
    throttling = optional(object({ rate = number, burst = number }))
  }))

  validation {
    condition     = alltrue([for route in values(var.routes) : contains(keys(var.functions), route.function)])
    error_message = "routes: each names one of the functions."
  }
  validation {
    condition     = alltrue([for key in keys(var.routes) : can(regex("^(ANY|GET|POST|PUT|DELETE) /", key))])
    error_message = "routes: keys as \"ANY /admin/v0/{proxy+}\"."
  }
}

variable "default_throttling" {
  description = "Requests a second, and at once, of routes without their own."
  type        = object({ rate = number, burst = number })

  validation {
    condition     = var.default_throttling.rate >= 1 && var.default_throttling.burst >= 1
    error_message = "default_throttling: at least 1."
  }
}

variable "domain" {
  description = "A domain of the caller's, its certificate, and the hosted zone to put its record into. Null: API Gateway's address."
  type = object({
    name            = string
    certificate_arn = string
    zone_id         = optional(string)
  })
  default = null

  validation {
    condition     = var.domain == null ? true : startswith(var.domain.certificate_arn, "arn:")
    error_message = "domain: certificate_arn is an ARN."
  }
}

variable "log_retention_days" {
  description = "Days for which the access log is kept."
  type        = number

  validation {
    condition     = var.log_retention_days >= 1
    error_message = "log_retention_days: at least 1."
  }
}

variable "kms_key_arn" {
  description = "Key for the access log. Null: AWS's own."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : startswith(var.kms_key_arn, "arn:")
    error_message = "kms_key_arn: the ARN of a key."
  }
}
