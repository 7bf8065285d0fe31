"""Checks that Terraform and the Rust source say the same: settings, functions, routes, and the log lines that metrics are read from."""

import re

import hcl
from modules import suggestion

# Settings that a function could read and Terraform gives to none, each for its reason.
NOT_ON_LAMBDA = {
    "FRESHET_QUEUE_PARTITIONS": "of a queue or topic that is made; the topic exists",
    "FRESHET_QUEUE_RETENTION": "of the embedded queue",
    "FRESHET_KAFKA_CREATE_TOPIC": "a function makes no topic",
    "FRESHET_KAFKA_SASL_USERNAME": "goes with the password",
    "FRESHET_KAFKA_SASL_PASSWORD": "a secret: Terraform's state would hold it",
    "FRESHET_DYNAMODB_CREATE_TABLE": "Terraform makes the table",
    "FRESHET_SIGNING_KEY": "a secret: Terraform's state would hold it",
    "FRESHET_SIGNING_KEY_FILE": "a function has no file of its own",
    "FRESHET_SECRETS_DIRECTORY": "a function has no file of its own",
    "FRESHET_WEBHOOK_NETWORKS": "the runner is in no network of yours",
}
# Settings that a single function reads and doesn't need.
NO_TABLES_OF_OTHERS = {"FRESHET_EXTERNAL_LOCATIONS": "it reads no tables of others"}
NO_ACTIVATIONS = {"FRESHET_ACTIVATION_LOCATIONS": "it runs no activations"}
NOT_NEEDED = {
    "ingest": {
        **NO_TABLES_OF_OTHERS,
        **NO_ACTIVATIONS,
        "FRESHET_FILES": "it opens no table, and may read no file",
        "FRESHET_S3_ENDPOINT": "goes with FRESHET_FILES",
    },
    "query": NO_ACTIVATIONS,
    "admin": {**NO_TABLES_OF_OTHERS, **NO_ACTIVATIONS},
    "writer": {**NO_TABLES_OF_OTHERS, **NO_ACTIVATIONS},
    "maintain": {**NO_TABLES_OF_OTHERS, **NO_ACTIVATIONS},
}
# Reads settings only to find out whether AWS is needed at all.
NOT_FOLLOWED = {"aws"}

FUNCTION = re.compile(r"^( *)(?:pub(?:\([a-z]+\))? )?(?:async )?fn (\w+)[^;{]*\{", re.MULTILINE)
OPENER = re.compile(r"\b(\w*Services)::open\(")
SETTING = re.compile(r'"(FRESHET_[A-Z0-9_]+)"')


def bodies_of(source):
    """Functions of Rust source by name, those of an implementation as `Type::name`."""
    found = {}
    implementations = [(match.start(), match.group(1)) for match in re.finditer(r"^impl(?:<[^>]*>)? (?:\w+ for )?(\w+)", source, re.MULTILINE)]
    for match in FUNCTION.finditer(source):
        end = source.find(f"\n{match.group(1)}}}", match.end())
        body = source[match.end() : end if end >= 0 else len(source)]
        owner = ""
        if match.group(1):
            owner = next((name for at, name in reversed(implementations) if at < match.start()), "")
        found[f"{owner}::{match.group(2)}" if owner else match.group(2)] = body
    return found


def settings_by_field(source):
    """Which variables each field of `Settings` is read from."""
    bodies = bodies_of(source)
    body = bodies["Settings::from_environment"]
    body = body[body.index("let settings = Self {") :]
    fields, current = {}, None
    for line in body.splitlines()[1:]:
        field = re.match(r" {12}(\w+)(?::|,$)(.*)", line)
        if field:
            current = field.group(1)
            fields[current] = set()
        if line.startswith("        };"):
            break
        if current:
            fields[current] |= set(SETTING.findall(line))
            for called in re.findall(r"\b(\w+)\(&mut reader", line):
                fields[current] |= set(SETTING.findall(bodies[called]))
    fields["data"] = {"FRESHET_DATA"}
    return fields


def fields_used(name, bodies, seen=None):
    """The settings' fields that a function of the services reads, through those that it calls."""
    seen = set() if seen is None else seen
    if name in seen or name in NOT_FOLLOWED or name not in bodies:
        return set()
    seen.add(name)
    body = bodies[name]
    owner = name.split("::")[0] if "::" in name else ""
    found = set(re.findall(r"\bsettings\.(\w+)", body))
    for owner_called, called in re.findall(r"\b(?:(\w+)::)?(\w+)\(", body):
        target = called if not owner_called else f"{owner if owner_called == 'Self' else owner_called}::{called}"
        found |= fields_used(target, bodies, seen)
    return found


def settings_of_functions(repository):
    """The variables that each function and job reads."""
    platform = repository / "crates/platform/src"
    by_field = settings_by_field((platform / "settings.rs").read_text())
    services = bodies_of((platform / "services.rs").read_text())
    logs = set(re.findall(r"\bsettings\.(\w+)", bodies_of((platform / "telemetry.rs").read_text())["start_logs"]))
    found = {}
    for main in sorted([*repository.glob("functions/*/src/main.rs"), *repository.glob("jobs/*/src/main.rs")]):
        source = main.read_text()
        fields = logs | (set(re.findall(r"\bsettings\.(\w+)", source)) & set(by_field))
        for opener in OPENER.findall(source):
            fields |= fields_used(f"{opener}::open", services)
        found[main.parent.parent.name] = {name for field in fields for name in by_field.get(field, ())}
    return found


def environments_of(root):
    """What Terraform gives each function: names of variables, from `local.environments`."""
    def names(tokens):
        members = hcl.object_of(tokens)
        if members is not None:
            return {name: line.line for name, value in members.items() for line in value[:1]}
        merged = {}
        for reference in hcl.references(tokens):
            if reference.parts[0] == "local" and reference.parts[1] in root.locals:
                merged |= names(root.locals[reference.parts[1]].tokens)
        return merged

    environments = hcl.object_of(root.locals["environments"].tokens)
    return {function: names(tokens) for function, tokens in environments.items()}


def check(repository, root, observability):
    """What differs, in lines."""
    return [
        *check_settings(repository, root),
        *check_functions(repository, root),
        *check_routes(repository, root),
        *check_logs(repository, observability),
    ]


def check_settings(repository, root):
    wrong = []
    source = (repository / "crates/platform/src/settings.rs").read_text()
    known = set(re.findall(r'\(\s*"(FRESHET_[A-Z0-9_]+)",', source[: source.index("const MEGABYTE")]))
    for name in NOT_ON_LAMBDA:
        if name not in known:
            wrong.append(f"scripts/terraform/drift.py: {name} is no setting any more; take it out")
    given = environments_of(root)
    for function, read in settings_of_functions(repository).items():
        environment = given.get(function, {})
        left_out = set(NOT_ON_LAMBDA) | set(NOT_NEEDED.get(function, ()))
        for name, line in environment.items():
            if name not in known:
                wrong.append(f"environment.tf:{line}: {function} gets {name}, which is no setting{suggestion(name, known)}")
            elif name not in read:
                wrong.append(f"environment.tf:{line}: {function} gets {name}, which it doesn't read")
            elif name in left_out:
                wrong.append(f"environment.tf:{line}: {function} gets {name}, which scripts/terraform/drift.py says it doesn't")
        for name in sorted(set(NOT_NEEDED.get(function, ())) - read):
            wrong.append(f"scripts/terraform/drift.py: {function} doesn't read {name} any more; take it out")
        for name in sorted(read - left_out - set(environment)):
            wrong.append(f"environment.tf: {function} reads {name}, which it doesn't get")
    return wrong


def check_functions(repository, root):
    there = {path.parent.name for kind in ("functions", "jobs") for path in repository.glob(f"{kind}/*/Cargo.toml")}
    wrong = []
    for what in ("functions", "environments", "statements"):
        named = set(hcl.object_of(root.locals[what].tokens))
        wrong += [f"local.{what} names {name}, which is no function or job" for name in sorted(named - there)]
        wrong += [f"local.{what} lacks {name}" for name in sorted(there - named)]
    return wrong


def check_routes(repository, root):
    """Each path of a function reaches that function: the most particular route decides."""
    api = root.calls["api"]
    routes = {key.split(" ", 1)[1]: hcl.object_of(value)["function"][0].value for key, value in hcl.object_of(api.arguments["routes"].tokens).items()}
    wrong = []
    for source in sorted(repository.glob("functions/*/src/**/*.rs")):
        function = source.relative_to(repository).parts[1]
        for path in re.findall(r'^\s*path = "(/[^"]*)"', source.read_text(), re.MULTILINE):
            matching = [route for route in routes if route == path or (route.endswith("{proxy+}") and path.startswith(route.removesuffix("{proxy+}")))]
            best = max(matching, key=len, default=None)
            if best is None or routes[best] != function:
                wrong.append(f"main.tf:{api.line}: {path} of {function} goes to {routes[best] if best else 'nobody'}")
    return wrong


def check_logs(repository, observability):
    """Each text and field that a metric is read from is one of a log line of that function."""
    wrong = []
    argument = observability.locals["counted"]
    for metric, tokens in hcl.object_of(argument.tokens).items():
        members = {name: value[0].value for name, value in hcl.object_of(tokens).items()}
        pattern = members["pattern"].replace('\\"', '"')
        text = re.search(r'\$\.message = "([^"]*)"', pattern).group(1)
        fields = set(re.findall(r"\$\.(\w+)", pattern + members["value"])) - {"message"}
        function = members["function"]
        lines = [
            macro
            for path in [*repository.glob(f"functions/{function}/src/**/*.rs"), *repository.glob(f"jobs/{function}/src/**/*.rs")]
            for macro in re.findall(r"\b(?:info|warn|error)!\((.*?)\);", path.read_text(), re.DOTALL)
        ]
        # A star stands for what is filled in.
        said = [macro for macro in lines if f'"{text.rstrip("*")}' in macro]
        if not said:
            wrong.append(f"modules/observability/main.tf: {metric}: {function} writes no line {text!r}")
        for field in sorted(fields):
            if said and not any(re.search(rf"\b{field}\b", macro.split('"')[0]) for macro in said):
                wrong.append(f"modules/observability/main.tf: {metric}: that line of {function} has no field {field}")
    return wrong
