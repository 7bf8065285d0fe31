"""The AWS provider's schema, out of the type declarations of npm's @cdktf/provider-aws.

Each resource there is a file of TypeScript: interfaces with the arguments and blocks that it takes, and classes with what it exports.
"""

import re
from dataclasses import dataclass
from pathlib import Path

INTERFACE = re.compile(r"^export interface (\w+)(?: extends [\w.]+)? \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
CLASS = re.compile(r"^export declare class (\w+) extends cdktf\.(\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
PROPERTY = re.compile(
    r"/\*\*(?P<comment>(?:(?!\*/).)*?)\*/\s*readonly (?P<name>\w+)(?P<optional>\??): (?P<type>(?:\{.*?\}[^;]*|[^;{]+));",
    re.DOTALL,
)
GETTER = re.compile(r"^\s*get (\w+)\(\): (\{[^}]*\}|[^;{]+)[^;]*;", re.MULTILINE)
ANCHOR = re.compile(r"#(\w+) ")


@dataclass(frozen=True)
class Member:
    """An argument or a block that something takes."""

    name: str
    required: bool
    type: str
    is_block: bool
    # The interface of its own members; None: it is a plain value.
    inner: str | None


class Unknown(Exception):
    """There is no such resource."""


class Resource:
    """What one resource or data source takes and exports."""

    def __init__(self, text):
        self.interfaces = {name: _members(body) for name, body in INTERFACE.findall(text)}
        self.classes = {}
        self.root_interface = next(name for name in self.interfaces if name.endswith("Config") and f"{name} extends" in text)
        for name, base, body in CLASS.findall(text):
            if base in ("TerraformResource", "TerraformDataSource"):
                self.root_class = name
            self.classes[name] = _getters(body)
        for interface, members in self.interfaces.items():
            known = set(self.interfaces) - {interface}
            self.interfaces[interface] = {name: _resolved(member, known) for name, member in members.items()}

    def members(self, interface=None):
        return self.interfaces[interface or self.root_interface]

    def exports(self, parts):
        """Why `parts`, what follows the resource's name in a reference, isn't exported; None: it is."""
        current = self.root_class
        for part in parts:
            getters = self.classes[current]
            if part not in getters:
                return part
            kind = getters[part]
            current = next((name for name in (kind, kind.removesuffix("List") + "OutputReference") if name in self.classes and self.classes[name]), None)
            if current is None:
                return None
        return None


def _members(body):
    found = {}
    for match in PROPERTY.finditer(body):
        comment = match.group("comment")
        anchors = ANCHOR.findall(comment)
        name = anchors[-1] if anchors else _snake(match.group("name"))
        is_block = bool(re.search(rf"^\s*\* {name} block\s*$", comment, re.MULTILINE))
        found[name] = Member(name, not match.group("optional"), match.group("type").strip(), is_block, None)
    return found


def _resolved(member, interfaces):
    inner = re.match(r"(\w+)", member.type)
    if inner and inner.group(1) in interfaces:
        return Member(member.name, member.required, member.type, member.is_block, inner.group(1))
    return member


def _getters(body):
    return {_snake(name): kind.split("|")[0].strip() for name, kind in GETTER.findall(body)}


def _snake(name):
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match.group(1).lower(), name)


class Schema:
    """The schema of the provider whose package lies in a directory."""

    def __init__(self, package):
        self.lib = Path(package) / "lib"
        self.read = {}

    def resource(self, kind, is_data):
        """What a resource, as `aws_sqs_queue`, takes and exports.

        Raises Unknown where the provider has none of the name.
        """
        key = (kind, is_data)
        if key not in self.read:
            name = kind.removeprefix("aws_").replace("_", "-")
            path = self.lib / (f"data-aws-{name}" if is_data else name) / "index.d.ts"
            if not path.is_file():
                raise Unknown(kind)
            self.read[key] = Resource(path.read_text())
        return self.read[key]
