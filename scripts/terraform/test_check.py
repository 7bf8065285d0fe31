"""What the checks must find: each case changes a copy of what is there in one place, and one complaint is expected."""

import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import drift
import hcl
from modules import Checker
from schema import Schema

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = os.environ.get("FRESHET_PROVIDER_AWS")

# File, what is there, what is put in its place, and a part of the complaint.
WRONG = {
    "an argument that there is not": ("modules/function/main.tf", "memory_size ", "memory_sise ", "has no argument memory_sise; did you mean memory_size?"),
    "an argument of an inner block": ("modules/storage/main.tf", "sse_algorithm ", "sse_algoritm ", "has no argument sse_algoritm"),
    "a block that there is not": ("modules/function/main.tf", "ephemeral_storage {", "ephemeral_disk {", "has no block ephemeral_disk"),
    "a dynamic block that there is not": ("modules/queue/main.tf", 'dynamic "metrics_config"', 'dynamic "metric_config"', "has no block metric_config"),
    "a resource that there is not": ("modules/schedule/main.tf", 'resource "aws_scheduler_schedule"', 'resource "aws_schedular_schedule"', "the provider has no resource aws_schedular_schedule"),
    "an argument that is missing": ("modules/api/main.tf", '  protocol_type = "HTTP"\n', "", "aws_apigatewayv2_api needs protocol_type"),
    "a text for a number": ("modules/api/main.tf", "timeout_milliseconds = 29000", 'timeout_milliseconds = ["29 s"]', "takes number, not a list"),
    "a text for a list": ("modules/function/main.tf", "architectures    = [var.architecture]", 'architectures    = "arm64"', "takes string[], not a text"),
    "a reference to nothing": ("modules/queue/main.tf", "role   = var.function_role_name", "role   = var.function_role", "there is no variable function_role"),
    "a reference within a text": ("modules/storage/main.tf", "${aws_s3_bucket.files.arn}/*", "${aws_s3_bucket.file.arn}/*", "there is no aws_s3_bucket.file"),
    "an attribute that is not exported": ("modules/queue/outputs.tf", "this.uuid", "this.uid", "aws_lambda_event_source_mapping exports no uid"),
    "an attribute of an inner block ": ("modules/api/outputs.tf", ".target_domain_name", ".target_domain", "exports no domain_name_configuration.target_domain"),
    "an output that there is not": ("outputs.tf", "module.api.url}/query", "module.api.uri}/query", "module api has no output uri"),
    "a variable of a module": ("main.tf", "undo_days           =", "undo_day            =", "module storage has no variable undo_day"),
    "a variable of a module that is missing": ("main.tf", "  lag_records       = var.alarm_lag_records\n", "", "module observability needs lag_records"),
    "a member of an object": ("examples/redpanda/main.tf", "    bootstrap_servers = var", "    bootstrap_server  = var", "kafka has no member bootstrap_server"),
    "a member of a variable": ("environment.tf", "var.kafka.topic", "var.kafka.topik", "var.kafka has no member topik"),
    "a local that there is not": ("environment.tf", "local.queue_environment)\n    query", "local.queue_environments)\n    query", "there is no local queue_environments"),
    "a function that there is not": ("modules/queue/main.tf", "coalesce(", "coalesque(", "there is no function coalesque"),
    "each without for_each": ("modules/storage/main.tf", 'name                        = var.name', 'name                        = each.key', "each.key without for_each"),
    "a variable without a validation": ("modules/storage/variables.tf", '    error_message = "undo_days: at least 1."\n  }\n', '    error_message = "undo_days: at least 1."\n  }\n}\n\nvariable "more" {\n  type        = string\n  description = "More."\n', "variable more has no validation"),
    "a variable that nothing uses": ("modules/storage/main.tf", "noncurrent_days = var.undo_days", "noncurrent_days = 7", "variable undo_days is not used"),
    "a setting that there is not": ("environment.tf", "FRESHET_TOPIC ", "FRESHET_TOPICS ", "admin gets FRESHET_TOPICS, which is no setting; did you mean FRESHET_TOPIC?"),
    "a setting that a function doesn't read": ("environment.tf", "profile  = local.store_environment", "profile  = merge(local.store_environment, local.files_environment)", "profile gets FRESHET_FILES, which it doesn't read"),
    "a setting that a function lacks": ("environment.tf", '    FRESHET_FILES       = "s3://${module.storage.bucket_name}"\n', "", "writer reads FRESHET_FILES, which it doesn't get"),
    "a function without permissions": ("permissions.tf", "    profile  = concat([local.store_statement.profile, local.read_signing_key], local.use_key)\n", "", "local.statements lacks profile"),
    "a path that goes elsewhere": ("main.tf", '    "ANY /api/v0/oauth2/{proxy+}" = { function = "admin" }\n', "", "/api/v0/oauth2/token of admin goes to profile"),
    "a log line that nobody writes": ("modules/observability/main.tf", "a table was not maintained", "a table wasn't maintained", "maintain writes no line"),
    "a field that the line lacks": ("modules/observability/main.tf", '"$.rows_failed"', '"$.failed_rows"', "has no field failed_rows"),
}


@unittest.skipUnless(PACKAGE, "FRESHET_PROVIDER_AWS names no package")
class Checks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.schema = Schema(PACKAGE)

    def complaints(self, terraform):
        checker = Checker(terraform, self.schema)
        wrong = checker.check()
        root = checker.modules[terraform]
        return wrong + drift.check(REPOSITORY, root, checker.modules[terraform / "modules/observability"])

    def test_what_is_there_is_right(self):
        self.assertEqual(self.complaints(REPOSITORY / "infra/terraform"), [])

    def test_each_mistake_is_found(self):
        for what, (name, before, after, complaint) in WRONG.items():
            with self.subTest(what), tempfile.TemporaryDirectory() as directory:
                terraform = Path(directory).resolve() / "terraform"
                shutil.copytree(REPOSITORY / "infra/terraform", terraform, ignore=shutil.ignore_patterns(".terraform*"))
                text = (terraform / name).read_text()
                self.assertIn(before, text)
                (terraform / name).write_text(text.replace(before, after, 1))
                found = self.complaints(terraform)
                self.assertTrue(any(complaint in line for line in found), f"{complaint!r} is not in {found}")

    def test_a_new_setting_in_the_source_is_found(self):
        with tempfile.TemporaryDirectory() as directory:
            repository = Path(directory)
            for kind in ("crates/platform", "functions", "jobs"):
                shutil.copytree(REPOSITORY / kind, repository / kind, ignore=shutil.ignore_patterns("target"))
            settings = repository / "crates/platform/src/settings.rs"
            text = settings.read_text()
            text = text.replace('    ("FRESHET_LOG_FORMAT",', '    ("FRESHET_LOG_PLACE", "where"),\n    ("FRESHET_LOG_FORMAT",')
            text = text.replace('reader.text("FRESHET_LOG")', 'reader.text("FRESHET_LOG_PLACE").or(reader.text("FRESHET_LOG"))')
            settings.write_text(text)
            root = Checker(REPOSITORY / "infra/terraform", self.schema).modules[REPOSITORY / "infra/terraform"]
            self.assertIn("environment.tf: query reads FRESHET_LOG_PLACE, which it doesn't get", drift.check_settings(repository, root))


class Reading(unittest.TestCase):
    def test_references_are_found_wherever_they_are(self):
        cases = {
            "var.a": ["var.a"],
            '"x ${var.a} ${"${local.b}"}"': ["var.a", "local.b"],
            "[for k, v in var.a : v.x if k != local.b]": ["var.a", "local.b"],
            "{ a = var.b, c = aws_x.y[0].z[*].w }": ["var.b", "aws_x.y.z.w"],
            'f(var.a["k"].b, local.c[var.d])': ["var.a.b", "var.d", "local.c"],
            'var.a ? "$${not.this}" : local.b': ["var.a", "local.b"],
        }
        for text, expected in cases.items():
            with self.subTest(text):
                self.assertEqual([str(reference) for reference in hcl.references(hcl.tokens_of(text))], expected)

    def test_what_is_no_file_of_terraform_is_refused(self):
        for text in ('a = "b', "a = 1\na = 2\n", "a {\n", "= 1\n"):
            with self.subTest(text), tempfile.TemporaryDirectory() as directory:
                path = Path(directory) / "a.tf"
                path.write_text(text)
                with self.assertRaises(hcl.HclError):
                    hcl.parse(path)


if __name__ == "__main__":
    unittest.main()
