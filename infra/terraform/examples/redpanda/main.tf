# A Redpanda or Confluent cluster that is there already, reached over the internet with TLS and a password. Redpanda asks for
# SCRAM; for Confluent Cloud say authentication = "plain", with an API key as the user.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25, < 7.0"
    }
  }
}

provider "aws" {
  region = "eu-central-1"
}

variable "bootstrap_servers" {
  description = "host:port of the cluster."
  type        = string

  validation {
    condition     = length(var.bootstrap_servers) > 0
    error_message = "bootstrap_servers: as \"seed-1.example.com:9092\"."
  }
}

variable "authentication" {
  description = "scram-sha-256 or scram-sha-512 for Redpanda, plain for Confluent Cloud."
  type        = string
  default     = "scram-sha-256"

  validation {
    condition     = contains(["plain", "scram-sha-256", "scram-sha-512"], var.authentication)
    error_message = "authentication: plain, scram-sha-256 or scram-sha-512."
  }
}

variable "secret_arn" {
  description = "A secret with the members username and password."
  type        = string

  validation {
    condition     = can(regex(":secretsmanager:", var.secret_arn))
    error_message = "secret_arn: the ARN of a secret."
  }
}

module "freshet" {
  source = "../.."

  tenant   = "acme"
  packages = "${path.root}/../../../../target/package/x86_64"

  kafka = {
    bootstrap_servers = var.bootstrap_servers
    authentication    = var.authentication
    secret_arn        = var.secret_arn
  }
  # A batch that can't be written for three days is put aside, so that it doesn't hold up its partition for longer.
  maximum_record_age_seconds = 259200
}

output "freshet" {
  description = "Where everything is."
  value       = module.freshet
}
