#!/usr/bin/env python3
"""Checks infra/terraform without an AWS account: `check.py PACKAGE`, where PACKAGE is npm's @cdktf/provider-aws, unpacked."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import drift
import hcl
from modules import Checker
from schema import Schema

REPOSITORY = Path(__file__).resolve().parents[2]


def main(package):
    terraform = REPOSITORY / "infra/terraform"
    try:
        checker = Checker(terraform, Schema(package))
        wrong = checker.check()
        wrong += drift.check(REPOSITORY, checker.modules[terraform], checker.modules[terraform / "modules/observability"])
    except hcl.HclError as error:
        wrong = [str(error)]
    for line in wrong:
        print(f"infra/terraform/{line}", file=sys.stderr)
    if wrong:
        return 1
    resources = sum(len(module.resources) + len(module.data) for module in checker.modules.values())
    print(f"terraform: {resources} resources in {len(checker.modules)} modules fit the provider, and the source")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
