# What each function may do: the calls that it makes, on what it makes them on.

locals {
  bucket = module.storage.bucket_arn
  # Every check that DynamoDB and S3 can be reached is one of these calls too.
  store_reads = ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"]
  # A transaction takes the permissions of its members.
  store_changes = ["dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem"]

  store_statement = {
    for function, actions in {
      ingest   = local.store_reads
      query    = local.store_reads
      profile  = local.store_reads
      maintain = local.store_reads
      # Its progress.
      writer = concat(local.store_reads, ["dynamodb:PutItem"])
      admin  = concat(local.store_reads, local.store_changes)
      runner = concat(local.store_reads, local.store_changes)
    } : function => { sid = "Store", actions = actions, resources = [module.storage.table_arn] }
  }

  # Without it S3 answers 403 in place of 404 for what isn't there, and the next version of a table mostly isn't.
  list_files = { sid = "ListFiles", actions = ["s3:ListBucket"], resources = [local.bucket] }
  # Ours and what others put there for us; not the answers of queries.
  read_files = {
    sid       = "ReadFiles"
    actions   = ["s3:GetObject"]
    resources = [for prefix in ["tables", "databases", "external"] : "${local.bucket}/${prefix}/*"]
  }
  # A link to an answer is good for as long as its signer may read it.
  answer_queries = {
    sid       = "AnswerQueries"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${local.bucket}/results/*"]
  }
  # Deleting is for what an attempt to commit has left behind.
  write_tables = {
    sid       = "WriteTables"
    actions   = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${local.bucket}/tables/*"]
  }
  make_tables = {
    sid       = "MakeTables"
    actions   = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${local.bucket}/databases/*"]
  }
  external_places = [for location in var.external_locations : "arn:${data.aws_partition.this.partition}:s3:::${trimprefix(location, "s3://")}"]
  read_external = length(var.external_locations) == 0 ? [] : [
    {
      sid     = "ReadExternal"
      actions = ["s3:GetObject"]
      # A file, or a directory.
      resources = flatten([for place in local.external_places : [place, "${place}/*"]])
    },
    {
      sid       = "ListExternal"
      actions   = ["s3:ListBucket"]
      resources = distinct([for place in local.external_places : split("/", place)[0]])
    },
  ]

  # What is staged, and what activations leave in the deployment's own bucket.
  deliver = {
    sid       = "Deliver"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = [for prefix in ["deliveries", "activations"] : "${local.bucket}/${prefix}/*"]
  }
  deliver_elsewhere = length(var.activation_locations) == 0 ? [] : [{
    sid       = "DeliverElsewhere"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = [for location in var.activation_locations : "arn:${data.aws_partition.this.partition}:s3:::${trimprefix(location, "s3://")}/*"]
  }]

  read_signing_key = { sid = "ReadSigningKey", actions = ["secretsmanager:GetSecretValue"], resources = [aws_secretsmanager_secret.signing_key.arn] }
  log_in_to_kafka = concat(
    var.kafka.secret_arn == null ? [] : [{ sid = "ReadKafkaSecret", actions = ["secretsmanager:GetSecretValue"], resources = [var.kafka.secret_arn] }],
    var.kafka.secret_kms_key_arn == null ? [] : [{ sid = "DecryptKafkaSecret", actions = ["kms:Decrypt"], resources = [var.kafka.secret_kms_key_arn] }],
  )
  use_key = var.kms_key_arn == null ? [] : [{ sid = "UseKey", actions = ["kms:Decrypt", "kms:GenerateDataKey"], resources = [var.kms_key_arn] }]

  statements = {
    ingest   = concat([local.store_statement.ingest, local.read_signing_key], local.log_in_to_kafka, local.use_key)
    query    = concat([local.store_statement.query, local.read_signing_key, local.list_files, local.read_files, local.answer_queries], local.read_external, local.use_key)
    profile  = concat([local.store_statement.profile, local.read_signing_key], local.use_key)
    admin    = concat([local.store_statement.admin, local.read_signing_key, local.list_files, local.read_files], local.log_in_to_kafka, local.use_key)
    writer   = concat([local.store_statement.writer, local.list_files, local.read_files, local.write_tables], local.log_in_to_kafka, local.use_key)
    runner   = concat([local.store_statement.runner, local.list_files, local.read_files, local.make_tables, local.deliver], local.read_external, local.deliver_elsewhere, local.use_key)
    maintain = concat([local.store_statement.maintain, local.list_files, local.read_files, local.write_tables, local.make_tables], local.use_key)
  }
}
