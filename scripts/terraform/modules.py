"""Checks Terraform's modules: against the provider's schema, and their references, within a module and between modules."""

import difflib
from pathlib import Path

import hcl
from schema import Unknown

META_ARGUMENTS = {"count", "for_each", "provider", "depends_on"}
META_BLOCKS = {"lifecycle"}
LIFECYCLE = {"create_before_destroy", "prevent_destroy", "ignore_changes", "replace_triggered_by"}
VARIABLE = {"type", "description", "default", "sensitive", "nullable"}
OUTPUT = {"value", "description", "depends_on", "sensitive"}
ROOTS = {"each", "count", "path", "terraform", "self"}
TYPES = {"string", "number", "bool", "any", "list", "set", "map", "object", "tuple", "optional"}
FUNCTIONS = set(
    """abs alltrue anytrue base64decode base64encode base64sha256 can ceil chomp cidrsubnet coalesce coalescelist compact concat contains
    distinct element endswith file filebase64 filebase64sha256 fileexists fileset flatten floor format formatlist index join jsondecode
    jsonencode keys length lookup lower max md5 merge min one parseint range regex regexall replace reverse setintersection setproduct
    setsubtract setunion sha256 signum slice sort split startswith strcontains substr sum templatefile title tobool tolist tomap tonumber
    toset tostring transpose trim trimprefix trimspace trimsuffix try upper values yamlencode zipmap""".split()
)


def suggestion(name, known):
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


class Module:
    """The files of one directory."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.blocks = [block for path in sorted(self.directory.glob("*.tf")) for block in hcl.parse(path).blocks]
        self.variables = {block.labels[0]: block for block in self._of("variable")}
        self.outputs = {block.labels[0]: block for block in self._of("output")}
        self.calls = {block.labels[0]: block for block in self._of("module")}
        self.resources = {tuple(block.labels): block for block in self._of("resource")}
        self.data = {tuple(block.labels): block for block in self._of("data")}
        self.locals = {name: argument for block in self._of("locals") for name, argument in block.arguments.items()}

    def _of(self, kind):
        return [block for block in self.blocks if block.kind == kind]

    def source_of(self, call):
        """The directory of a module that is called."""
        return (self.directory / call.arguments["source"].tokens[0].value).resolve()


class Checker:
    """Gathers what is wrong with the modules below a directory."""

    def __init__(self, root, schema):
        self.root, self.schema, self.wrong = Path(root).resolve(), schema, []
        directories = sorted({path.parent.resolve() for path in self.root.rglob("*.tf") if ".terraform" not in path.parts})
        self.modules = {directory: Module(directory) for directory in directories}
        self.used_outputs = set()

    def check(self):
        for module in self.modules.values():
            self._check_module(module)
        self._check_outputs()
        return self.wrong

    def say(self, path, line, what):
        self.wrong.append(f"{path.resolve().relative_to(self.root)}:{line}: {what}")

    def _check_module(self, module):
        for block in module.blocks:
            if block.kind in ("resource", "data"):
                self._check_resource(module, block)
            elif block.kind == "variable":
                self._check_variable(block)
            elif block.kind == "output":
                self._check_named(block, OUTPUT, "output")
                if not {"value", "description"} <= set(block.arguments):
                    self.say(block.path, block.line, f"output {block.labels[0]} needs a value and a description")
            elif block.kind == "module":
                self._check_call(module, block)
            elif block.kind not in ("locals", "terraform", "provider", "check"):
                self.say(block.path, block.line, f"unknown block {block.kind}")
        used = set()
        for block in module.blocks:
            self._check_references(module, block, used, [])
        self._check_unused(module, used)

    def _check_named(self, block, known, what):
        for name, argument in block.arguments.items():
            if name not in known:
                self.say(block.path, argument.line, f"{what} has no argument {name}{suggestion(name, known)}")

    def _check_variable(self, block):
        name = block.labels[0]
        self._check_named(block, VARIABLE, "variable")
        for wanted in ("type", "description"):
            if wanted not in block.arguments:
                self.say(block.path, block.line, f"variable {name} has no {wanted}")
        kind = [token.value for token in block.arguments["type"].tokens] if "type" in block.arguments else []
        # A bool can't be anything else.
        if kind != ["bool"] and not block.of_kind("validation"):
            self.say(block.path, block.line, f"variable {name} has no validation")

    def _check_resource(self, module, block):
        kind, is_data = block.labels[0], block.kind == "data"
        try:
            resource = self.schema.resource(kind, is_data)
        except Unknown:
            self.say(block.path, block.line, f"the provider has no {block.kind} {kind}")
            return
        self._check_members(resource, block, resource.members(), f"{block.kind} {kind}", META_ARGUMENTS, META_BLOCKS)
        for lifecycle in block.of_kind("lifecycle"):
            self._check_named(lifecycle, LIFECYCLE, "lifecycle")

    def _check_members(self, resource, block, members, where, also_arguments=frozenset(), also_blocks=frozenset()):
        given = set()
        for name, argument in block.arguments.items():
            if name in also_arguments:
                continue
            member = members.get(name)
            if member is None:
                self.say(block.path, argument.line, f"{where} has no argument {name}{suggestion(name, members)}")
                continue
            given.add(name)
            if member.is_block:
                self.say(block.path, argument.line, f"{where}: {name} is a block, not an argument")
            self._check_kind(block, argument, member, where)
        for inner in block.blocks:
            name, body = inner.kind, inner
            if name in also_blocks:
                continue
            if name == "dynamic":
                name = inner.labels[0]
                contents = inner.of_kind("content")
                if len(contents) != 1 or "for_each" not in inner.arguments:
                    self.say(inner.path, inner.line, f"{where}: dynamic {name} needs for_each and one content")
                    continue
                body = contents[0]
            member = members.get(name)
            if member is None:
                self.say(inner.path, inner.line, f"{where} has no block {name}{suggestion(name, members)}")
                continue
            given.add(name)
            if member.inner is None:
                self.say(inner.path, inner.line, f"{where}: {name} is an argument, not a block")
                continue
            self._check_members(resource, body, resource.members(member.inner), f"{where}.{name}")
        for name, member in members.items():
            if member.required and name not in given:
                self.say(block.path, block.line, f"{where} needs {name}")

    def _check_kind(self, block, argument, member, where):
        """Of literals, whether they are what the argument takes."""
        tokens = hcl.significant(argument.tokens)
        is_list = member.type.split("|")[0].strip().endswith("[]")
        first = tokens[0]
        if len(tokens) == 1 and first.kind == "string" and not first.parts:
            given = "a text"
            fits = member.type.startswith("string") and not is_list
        elif len(tokens) == 1 and first.kind == "number":
            given = "a number"
            fits = not is_list and not member.type.startswith(("boolean", "{"))
        elif len(tokens) == 1 and first.value in ("true", "false"):
            given = "a bool"
            fits = member.type.startswith("boolean")
        elif first.value == "[" and _closes_at_end(tokens):
            given, fits = "a list", is_list
        else:
            return
        if not fits:
            self.say(block.path, argument.line, f"{where}: {argument.name} takes {member.type}, not {given}")

    def _check_call(self, module, call):
        name = call.labels[0]
        if "source" not in call.arguments:
            self.say(call.path, call.line, f"module {name} has no source")
            return
        source = self.modules.get(module.source_of(call))
        if source is None:
            self.say(call.path, call.line, f"module {name}: there is no module at {call.arguments['source'].tokens[0].value}")
            return
        for argument in call.arguments.values():
            if argument.name in META_ARGUMENTS | {"source", "providers"}:
                continue
            if argument.name not in source.variables:
                self.say(call.path, argument.line, f"module {name} has no variable {argument.name}{suggestion(argument.name, source.variables)}")
                continue
            self._check_object(call, argument, source.variables[argument.name])
        for variable, block in source.variables.items():
            if "default" not in block.arguments and variable not in call.arguments:
                self.say(call.path, call.line, f"module {name} needs {variable}")

    def _check_object(self, call, argument, variable):
        """The members of an object's literal."""
        fields, given = _fields_of(variable), hcl.object_of(argument.tokens)
        if fields is None or given is None:
            return
        for name in given:
            if name not in fields:
                self.say(call.path, argument.line, f"{argument.name} has no member {name}{suggestion(name, fields)}")
        for name, is_optional in fields.items():
            if not is_optional and name not in given:
                self.say(call.path, argument.line, f"{argument.name} needs {name}")

    def _check_references(self, module, block, used, scopes):
        """What a block refers to; `scopes` are the blocks around it, with what `each`, `count` and dynamic blocks mean in it."""
        around = [*scopes, block]
        own = {inner.labels[0] for inner in around if inner.kind == "dynamic"}
        # What a variable says of itself is no use of it.
        itself = next((scope.labels[0] for scope in around if scope.kind == "variable"), None)
        for argument in block.arguments.values():
            if block.kind == "variable" and argument.name == "type":
                continue
            if argument.name in LIFECYCLE:
                continue
            for name, line in hcl.calls(argument.tokens):
                if name not in FUNCTIONS and name not in TYPES:
                    self.say(block.path, line, f"there is no function {name}{suggestion(name, FUNCTIONS)}")
            for reference in hcl.references(argument.tokens):
                if reference.parts[0] in own or (block.kind == "terraform"):
                    continue
                wrong = self._why_not(module, reference, around, used, itself)
                if wrong:
                    self.say(block.path, reference.line, wrong)
        for inner in block.blocks:
            if inner.kind != "required_providers":
                self._check_references(module, inner, used, around)

    def _why_not(self, module, reference, around, used, itself):
        root, rest = reference.parts[0], reference.parts[1:]
        name = rest[0] if rest else ""
        if root == "var":
            if name not in module.variables:
                return f"there is no variable {name}{suggestion(name, module.variables)}"
            if name != itself:
                used.add(("var", name))
            fields = _fields_of(module.variables[name])
            if fields is not None and len(rest) > 1 and rest[1] not in fields:
                return f"var.{name} has no member {rest[1]}{suggestion(rest[1], fields)}"
        elif root == "local":
            if name not in module.locals:
                return f"there is no local {name}{suggestion(name, module.locals)}"
            used.add(("local", name))
            fields = hcl.object_of(module.locals[name].tokens)
            if fields is not None and len(rest) > 1 and rest[1] not in fields:
                return f"local.{name} has no member {rest[1]}{suggestion(rest[1], fields)}"
        elif root == "module":
            if name not in module.calls:
                return f"there is no module {name}{suggestion(name, module.calls)}"
            source = self.modules.get(module.source_of(module.calls[name]))
            if source is not None and len(rest) > 1:
                if rest[1] not in source.outputs:
                    return f"module {name} has no output {rest[1]}{suggestion(rest[1], source.outputs)}"
                self.used_outputs.add((source.directory, rest[1]))
            elif source is not None:
                # All of them.
                self.used_outputs.update((source.directory, output) for output in source.outputs)
        elif root == "data":
            return self._why_not_exported(module.data, rest, True, used)
        elif root.startswith("aws_"):
            return self._why_not_exported(module.resources, reference.parts, False, used)
        elif root == "each":
            if not any("for_each" in scope.arguments for scope in around):
                return f"{reference} without for_each"
        elif root == "count":
            if not any("count" in scope.arguments for scope in around):
                return f"{reference} without count"
        elif root not in ROOTS and root not in TYPES:
            return f"{reference} means nothing here"
        return None

    def _why_not_exported(self, known, parts, is_data, used):
        if len(parts) < 2 or tuple(parts[:2]) not in known:
            return f"there is no {'data ' if is_data else ''}{'.'.join(parts[:2])}"
        used.add(("data" if is_data else "resource", *parts[:2]))
        try:
            missing = self.schema.resource(parts[0], is_data).exports(parts[2:])
        except Unknown:
            return None
        return f"{parts[0]} exports no {'.'.join(parts[2:])}" if missing else None

    def _check_unused(self, module, used):
        for name, block in module.variables.items():
            if ("var", name) not in used:
                self.say(block.path, block.line, f"variable {name} is not used")
        for name, argument in module.locals.items():
            if ("local", name) not in used:
                path = next(block.path for block in module.blocks if block.kind == "locals" and name in block.arguments)
                self.say(path, argument.line, f"local {name} is not used")
        for labels, block in module.data.items():
            if ("data", *labels) not in used:
                self.say(block.path, block.line, f"data {'.'.join(labels)} is not used")

    def _check_outputs(self):
        """Every output of a submodule is somebody's input; those of the root are for people."""
        for directory, module in self.modules.items():
            if directory.parent.name != "modules":
                continue
            for name, block in module.outputs.items():
                if (directory, name) not in self.used_outputs:
                    self.say(block.path, block.line, f"output {name} is not used")


def _closes_at_end(tokens):
    """Whether the bracket at the beginning is closed by the last token, and by none before."""
    depth = 0
    for at, token in enumerate(tokens):
        if token.kind == "sign":
            depth += {"[": 1, "(": 1, "{": 1, "]": -1, ")": -1, "}": -1}.get(token.value, 0)
        if depth == 0:
            return at == len(tokens) - 1
    return False


def _fields_of(variable):
    """The members of a variable's object type, and whether each may be left out; None: its type is another."""
    tokens = hcl.significant(variable.arguments["type"].tokens) if "type" in variable.arguments else []
    if [token.value for token in tokens[:3]] != ["object", "(", "{"]:
        return None
    members = hcl.object_of(tokens[2:-1])
    return None if members is None else {name: bool(value) and value[0].value == "optional" for name, value in members.items()}
