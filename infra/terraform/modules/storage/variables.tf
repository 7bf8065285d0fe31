variable "name" {
  description = "Name of the table, and beginning of the bucket's."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name: 3 to 24 lower-case letters, digits and hyphens."
  }
}

variable "kms_key_arn" {
  description = "Key for the bucket and the table. Null: AWS's own."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : startswith(var.kms_key_arn, "arn:")
    error_message = "kms_key_arn: the ARN of a key."
  }
}

variable "undo_days" {
  description = "Days for which what was overwritten or removed in the bucket can be brought back."
  type        = number

  validation {
    condition     = var.undo_days >= 1
    error_message = "undo_days: at least 1."
  }
}

variable "deletion_protection" {
  description = "Whether the table, and a bucket with files in it, refuse to be deleted."
  type        = bool
  default     = true
}
