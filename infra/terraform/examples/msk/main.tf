# A provisioned MSK cluster with SASL/SCRAM, alarms by e-mail, and a domain of one's own.

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

  default_tags {
    tags = { Project = "freshet" }
  }
}

variable "cluster_arn" {
  description = "The cluster."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kafka:", var.cluster_arn))
    error_message = "cluster_arn: the ARN of an MSK cluster."
  }
}

variable "cluster_security_group_id" {
  description = "The security group of its brokers. It must let itself in too: Lambda's pollers come with the cluster's own group."
  type        = string

  validation {
    condition     = startswith(var.cluster_security_group_id, "sg-")
    error_message = "cluster_security_group_id: as \"sg-0123456789abcdef0\"."
  }
}

variable "subnet_ids" {
  description = "Private subnets of the cluster."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "subnet_ids: at least one."
  }
}

variable "secret_arn" {
  description = "The secret that is associated with the cluster: its name begins with AmazonMSK_, its members are username and password."
  type        = string

  validation {
    condition     = can(regex(":secret:AmazonMSK_", var.secret_arn))
    error_message = "secret_arn: MSK takes secrets whose names begin with AmazonMSK_."
  }
}

variable "secret_kms_key_arn" {
  description = "The key of that secret: MSK takes none of AWS's own."
  type        = string

  validation {
    condition     = can(regex(":key/", var.secret_kms_key_arn))
    error_message = "secret_kms_key_arn: the ARN of a key."
  }
}

variable "domain" {
  description = "The domain of the API, its certificate and its hosted zone."
  type        = object({ name = string, certificate_arn = string, zone_id = string })

  validation {
    condition     = can(regex(":certificate/", var.domain.certificate_arn))
    error_message = "domain.certificate_arn: the ARN of a certificate in the same region."
  }
}

variable "email" {
  description = "Where alarms are sent to."
  type        = string

  validation {
    condition     = strcontains(var.email, "@")
    error_message = "email: an address."
  }
}

resource "aws_sns_topic" "alarms" {
  # checkov:skip=CKV_AWS_26:CloudWatch can't publish to a topic with AWS's own key, and an alarm holds no secret
  name = "freshet-alarms"
}

resource "aws_sns_topic_subscription" "alarms" {
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.email
}

module "freshet" {
  source = "../.."

  tenant   = "acme"
  packages = "${path.root}/../../../../target/package/x86_64"

  kafka = {
    msk_cluster_arn    = var.cluster_arn
    secret_arn         = var.secret_arn
    secret_kms_key_arn = var.secret_kms_key_arn
    security_group_id  = var.cluster_security_group_id
  }
  subnet_ids       = var.subnet_ids
  domain           = var.domain
  alarm_topic_arns = [aws_sns_topic.alarms.arn]
}

output "freshet" {
  description = "Where everything is."
  value       = module.freshet
}
