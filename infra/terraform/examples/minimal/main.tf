# Brokers in a network that ask for no password, as in a test account.

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
  description = "host:port of the brokers, which listen with TLS."
  type        = string

  validation {
    condition     = length(var.bootstrap_servers) > 0
    error_message = "bootstrap_servers: as \"b-1.example.com:9094,b-2.example.com:9094\"."
  }
}

variable "subnet_ids" {
  description = "Subnets from which they are reached."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "subnet_ids: at least one."
  }
}

module "freshet" {
  source = "../.."

  tenant     = "acme"
  packages   = "${path.root}/../../../../target/package/x86_64"
  kafka      = { bootstrap_servers = var.bootstrap_servers, authentication = "none" }
  subnet_ids = var.subnet_ids
}

output "freshet" {
  description = "Where everything is."
  value       = module.freshet
}
