#!/usr/bin/env python3
"""Lets Terraform itself evaluate the examples, without the provider: `evaluate.py TERRAFORM PACKAGE`; `--show` shows the plans.

In a copy, each resource becomes a local value with its arguments, and what it exports becomes made-up values of the right types. So
Terraform finds every expression that it can't evaluate, and every variable that a validation refuses.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from modules import Module
from schema import Schema

REPOSITORY = Path(__file__).resolve().parents[2]
SUBNETS = 'subnet_ids = ["subnet-0123456789abcdef0"]\n'
SECRET = 'secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:AmazonMSK_freshet-AbCdEf"\n'
# Example, values of its variables, and a part of the complaint that is expected; none: it is right.
CASES = [
    ("minimal", SUBNETS + 'bootstrap_servers = "b-1.example.com:9094,b-2.example.com:9094"\n', None),
    (
        "msk",
        SUBNETS
        + SECRET
        + """cluster_arn = "arn:aws:kafka:eu-central-1:123456789012:cluster/events/0-1"
        cluster_security_group_id = "sg-0123456789abcdef0"
        secret_kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/0"
        domain = { name = "events.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/0", zone_id = "Z0" }
        email = "ada@example.com"
        """,
        None,
    ),
    ("redpanda", SECRET + 'bootstrap_servers = "seed-1.example.com:9092"\n', None),
    ("redpanda", SECRET + 'bootstrap_servers = "seed-1.example.com"\n', "host:port, several separated by commas"),
]
# What validations and expressions look into.
MADE_UP = {
    "account_id": '"123456789012"',
    "partition": '"aws"',
    "region": '"eu-central-1"',
    "json": '"{}"',
    "bootstrap_brokers": '"b-1.example.com:9092,b-2.example.com:9092"',
    "bootstrap_brokers_tls": '"b-1.example.com:9094,b-2.example.com:9094"',
    "bootstrap_brokers_sasl_scram": '"b-1.example.com:9096,b-2.example.com:9096"',
}


def rendered(tokens):
    """The text of an expression, on as many lines as it was."""
    text, line, before = "", tokens[0].line if tokens else 0, None
    for token in tokens:
        is_attribute = "." in (token.value, before) and token.kind != "string"
        text += "\n" if token.line > line else "" if is_attribute else " "
        if token.kind != "string":
            text += token.value
        elif "\n" in token.value:
            text += f"<<EOT\n{token.value}\nEOT\n"
        else:
            text += f'"{token.value}"'
        line, before = token.line + token.value.count("\n"), token.value
    return text.strip(" ")


def made_up(resource, service, name, depth=0):
    """An object with everything that a class exports."""
    members = []
    for attribute, kind in resource.classes[name].items():
        if attribute.endswith("_input") or attribute == "internal_value":
            continue
        inner = next((one for one in (kind, kind.removesuffix("List") + "OutputReference") if one in resource.classes), None)
        if attribute in MADE_UP:
            value = MADE_UP[attribute]
        elif inner and depth < 2:
            value = f"[{made_up(resource, service, inner, depth + 1)}]"
        elif kind.endswith("[]"):
            value = "[]"
        elif kind == "number":
            value = "1"
        elif kind == "boolean":
            value = "false"
        elif kind == "string":
            value = f'"arn:aws:{service}:::{attribute}"' if attribute.endswith("arn") else f'"made-up-{attribute}"'
        else:
            value = "{}"
        members.append(f"{attribute} = {value}")
    return "{ " + ", ".join(members) + " }"


def body_of(block):
    """The arguments and inner blocks of a block as an object."""
    members = [f"{name} = {rendered(argument.tokens)}" for name, argument in block.arguments.items() if name not in ("count", "for_each", "depends_on", "provider")]
    for number, inner in enumerate(block.blocks):
        if inner.kind == "lifecycle":
            continue
        if inner.kind == "dynamic":
            name = inner.labels[0]
            members.append(f"{name}_{number} = {for_each(name, inner, body_of(inner.of_kind('content')[0]))}")
        else:
            members.append(f"{inner.kind}_{number} = {body_of(inner)}")
    return "{\n" + "\n".join(members) + "\n}"


def for_each(name, block, body):
    items = f"[for k, v in ({rendered(block.arguments['for_each'].tokens)}) : {{ key = k, value = v }}]"
    return f"[for {name} in {items} : {body}]"


def converted(module, schema):
    """The text of a module that needs no provider."""
    text = ""
    for block in module.blocks:
        if block.kind == "locals":
            text += block_text(block)
        elif block.kind in ("variable", "output", "module"):
            text += block_text(block)
        elif block.kind in ("resource", "data"):
            kind, name = block.labels
            resource = schema.resource(kind, block.kind == "data")
            exports, body = made_up(resource, kind.split("_")[1], resource.root_class), body_of(block)
            if "count" in block.arguments:
                count = rendered(block.arguments["count"].tokens)
                exports = f"[for i in range({count}) : {exports}]"
                body = f"[for count in [for i in range({count}) : {{ index = i }}] : {body}]"
            elif "for_each" in block.arguments:
                exports = f"{{ for k, v in ({rendered(block.arguments['for_each'].tokens)}) : k => {exports} }}"
                body = for_each("each", block, body)
            prefix = "data_" if block.kind == "data" else ""
            text += f"locals {{\nexports_{prefix}{kind}_{name} = {exports}\ntakes_{prefix}{kind}_{name} = {body}\n}}\n"
    for kind, name in module.data:
        text = re.sub(rf"\bdata\.{kind}\.{name}\b", f"local.exports_data_{kind}_{name}", text)
    for kind, name in module.resources:
        text = re.sub(rf"(?<![\w.-]){kind}\.{name}\b", f"local.exports_{kind}_{name}", text)
    return text


def block_text(block):
    """A block as it was, what it waits for left out."""
    inside = "".join(f"{name} = {rendered(argument.tokens)}\n" for name, argument in block.arguments.items() if name != "depends_on")
    inside += "".join(block_text(inner) for inner in block.blocks)
    return f"{block.kind} {' '.join(f'{chr(34)}{label}{chr(34)}' for label in block.labels)} {{\n{inside}}}\n"


def main(binary, package):
    schema = Schema(package)
    source = REPOSITORY / "infra/terraform"
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "repository/infra/terraform"
        for path in {path.parent for path in source.rglob("*.tf") if ".terraform" not in path.parts}:
            place = copy / path.relative_to(source)
            place.mkdir(parents=True, exist_ok=True)
            (place / "main.tf").write_text(converted(Module(path), schema))
        packages = copy.parents[1] / "target/package/x86_64"
        packages.mkdir(parents=True)
        for manifest in [*REPOSITORY.glob("functions/*/Cargo.toml"), *REPOSITORY.glob("jobs/*/Cargo.toml")]:
            (packages / f"{manifest.parent.name}.zip").write_text("")
        environment = {name: value for name, value in os.environ.items() if name != "TF_CLI_CONFIG_FILE"} | {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
        for example, variables, complaint in CASES:
            place = copy / "examples" / example
            (place / "terraform.tfvars").write_text(variables)
            for command in (["init", "-input=false", "-backend=false"], ["plan", "-input=false", "-refresh=false", "-lock=false", "-no-color"]):
                ran = subprocess.run([binary, *command], cwd=place, env=environment, capture_output=True, text=True, check=False)
                if ran.returncode:
                    break
            said = re.sub(r"\s*\n[│╷╵ ]*", " ", ran.stderr)
            if complaint is None and ran.returncode:
                print(f"infra/terraform/examples/{example}: {ran.stdout[-2000:]}{ran.stderr}", file=sys.stderr)
                return 1
            if complaint is not None and complaint not in said:
                print(f"infra/terraform/examples/{example}: expected {complaint!r}, found {said or 'nothing'}", file=sys.stderr)
                return 1
            if "--show" in sys.argv:
                print(ran.stdout)
    print(f"terraform: evaluates {len(CASES)} cases of the examples")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
