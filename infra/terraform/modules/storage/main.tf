# The bucket of the tables, and the table of definitions, keys, progress and profiles.

data "aws_caller_identity" "this" {}

data "aws_region" "this" {}

resource "aws_s3_bucket" "files" {
  # checkov:skip=CKV_AWS_18:Who read which object is what CloudTrail's data events are for; access logs would need a bucket of their own
  # checkov:skip=CKV_AWS_144:Replication to another region is a choice of cost and of law, made beside this module
  # checkov:skip=CKV2_AWS_62:Nothing waits for objects: readers of Delta tables follow the log
  # Names of buckets are the whole world's.
  bucket        = "${var.name}-${data.aws_caller_identity.this.account_id}-${data.aws_region.this.region}"
  force_destroy = !var.deletion_protection
}

resource "aws_s3_bucket_ownership_controls" "files" {
  bucket = aws_s3_bucket.files.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "files" {
  bucket = aws_s3_bucket.files.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "files" {
  bucket = aws_s3_bucket.files.id

  rule {
    # One call of the key for many objects: a table's files are many.
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

# A Delta table's files are written once, under names that are never used again, and its history is in its log: versions of objects add
# nothing to that. They are there against mistakes: a vacuum with too short a retention, a hand that deletes.
resource "aws_s3_bucket_versioning" "files" {
  bucket = aws_s3_bucket.files.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "files" {
  bucket = aws_s3_bucket.files.id

  # Only maintenance knows which files of a table are needed, so no rule may touch a current one, nor move it to where reading takes
  # hours.
  rule {
    id     = "undo"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.undo_days
    }

    # What is left of a name when its last version has gone; they slow every listing down.
    expiration {
      expired_object_delete_marker = true
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  # Answers of queries that were too large for the gateway: linked to for 15 minutes.
  rule {
    id     = "answers"
    status = "Enabled"

    filter {
      prefix = "results/"
    }

    expiration {
      days = 1
    }

    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }

  depends_on = [aws_s3_bucket_versioning.files]
}

data "aws_iam_policy_document" "files" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.files.arn, "${aws_s3_bucket.files.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "files" {
  bucket = aws_s3_bucket.files.id
  policy = data.aws_iam_policy_document.files.json

  # S3 takes one change of a bucket's access at a time.
  depends_on = [aws_s3_bucket_public_access_block.files]
}

resource "aws_dynamodb_table" "items" {
  # checkov:skip=CKV_AWS_119:Encrypted with DynamoDB's own key unless kms_key_arn gives another
  name                        = var.name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    # False is DynamoDB's own key, which costs nothing.
    enabled     = var.kms_key_arn != null
    kms_key_arn = var.kms_key_arn
  }
}
