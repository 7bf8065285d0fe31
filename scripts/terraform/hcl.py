"""Reads Terraform's files as far as checking needs: blocks, arguments, and what expressions refer to.

Expressions stay lists of tokens. Whether a file is well-formed is for `terraform fmt` to say; here a file that can't be read is an error.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r]+|\#[^\n]*|//[^\n]*|/\*.*?\*/)
  | (?P<newline>\n)
  | (?P<heredoc><<-?(?P<tag>\w+)\n(?P<text>.*?)\n[ \t]*(?P=tag)(?=\n))
  | (?P<number>\d+(?:\.\d+)?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_-]*)
  | (?P<sign>=>|==|!=|<=|>=|&&|\|\||\.\.\.|[-+*/%!<>=?:,.()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)


class HclError(Exception):
    """A file that can't be read, and where."""


@dataclass(frozen=True)
class Token:
    """A word of a file. A text's `parts` are the tokens of its interpolations, its `value` what stands between them."""

    kind: str
    value: str
    line: int
    parts: tuple = ()


@dataclass
class Argument:
    """`name = tokens`."""

    name: str
    tokens: list
    line: int


@dataclass
class Block:
    """`kind "label" { … }`."""

    kind: str
    labels: list
    line: int
    arguments: dict = field(default_factory=dict)
    blocks: list = field(default_factory=list)
    path: Path = None

    def of_kind(self, kind):
        return [block for block in self.blocks if block.kind == kind]


@dataclass(frozen=True)
class Reference:
    """`parts` of `a.b[…].c`, indexes left out, and where it is."""

    parts: tuple
    line: int

    def __str__(self):
        return ".".join(self.parts)


def tokens_of(text, line=1):
    """The tokens of a text, newlines included."""
    found, at = [], 0
    while at < len(text):
        if text[at] == '"':
            token, end = _string(text, at, line)
            found.append(token)
            line += text.count("\n", at, end)
            at = end
            continue
        match = TOKEN.match(text, at)
        if not match:
            raise HclError(f"line {line}: can't read {text[at : at + 20]!r}")
        kind = match.lastgroup if match.lastgroup not in ("tag", "text") else "heredoc"
        if match.group("heredoc"):
            found.append(Token("string", match.group("text"), line, _interpolations(match.group("text"), line)))
        elif kind != "space":
            found.append(Token(kind, match.group(), line))
        line += match.group().count("\n")
        at = match.end()
    return found


def _string(text, at, line):
    """The text that begins at a quotation mark, and where it ends."""
    end, depth = at + 1, 0
    while end < len(text):
        if depth == 0 and text[end] == "\\":
            end += 2
            continue
        if text.startswith("${", end) and not text.startswith("$${", end - 1):
            depth += 1
            end += 2
            continue
        if depth and text[end] == '"':
            _, end = _string(text, end, line)
            continue
        if depth and text[end] in "{}":
            depth += 1 if text[end] == "{" else -1
        elif not depth and text[end] == '"':
            inner = text[at + 1 : end]
            return Token("string", inner, line, _interpolations(inner, line)), end + 1
        end += 1
    raise HclError(f"line {line}: a text that doesn't end")


def _interpolations(text, line):
    """The tokens within `${…}` of a text."""
    parts, at = [], 0
    while (start := text.find("${", at)) >= 0:
        if start and text[start - 1] == "$":
            at = start + 2
            continue
        end, depth = start + 2, 1
        while end < len(text) and depth:
            if text[end] == '"':
                _, end = _string(text, end, line)
                continue
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        parts.append(tuple(tokens_of(text[start + 2 : end - 1], line)))
        at = end
    return tuple(parts)


def parse(path):
    """The blocks of a file, in one without kind."""
    try:
        tokens = tokens_of(path.read_text())
        body, at = _body(tokens, 0, Block("", [], 1), path, is_file=True)
        if at != len(tokens):
            raise HclError(f"line {tokens[at].line}: unexpected {tokens[at].value!r}")
    except HclError as error:
        raise HclError(f"{path}: {error}") from None
    return body


def _body(tokens, at, block, path, is_file=False):
    block.path = path
    while at < len(tokens):
        token = tokens[at]
        if token.kind == "newline" or token.value == ",":
            at += 1
        elif token.value == "}" and token.kind == "sign":
            return block, at
        elif token.kind == "name" and at + 1 < len(tokens) and tokens[at + 1].value == "=":
            expression, at = _expression(tokens, at + 2)
            if token.value in block.arguments:
                raise HclError(f"line {token.line}: {token.value} is given twice")
            block.arguments[token.value] = Argument(token.value, expression, token.line)
        elif token.kind == "name":
            inner, at = Block(token.value, [], token.line), at + 1
            while at < len(tokens) and tokens[at].kind in ("name", "string"):
                inner.labels.append(tokens[at].value)
                at += 1
            if at == len(tokens) or tokens[at].value != "{":
                raise HclError(f"line {token.line}: expected {{ after {token.value}")
            inner, at = _body(tokens, at + 1, inner, path)
            block.blocks.append(inner)
            at += 1
        else:
            raise HclError(f"line {token.line}: unexpected {token.value!r}")
    if not is_file:
        raise HclError(f"line {block.line}: {block.kind} doesn't end")
    return block, at


def _expression(tokens, at):
    """The tokens up to the end of the line, brackets closed."""
    found, depth = [], 0
    while at < len(tokens):
        token = tokens[at]
        if token.kind == "sign" and token.value in "([{":
            depth += 1
        elif token.kind == "sign" and token.value in ")]}":
            if depth == 0:
                break
            depth -= 1
        elif token.kind == "newline":
            if depth == 0:
                break
            at += 1
            continue
        found.append(token)
        at += 1
    return found, at


def significant(tokens):
    """Without newlines."""
    return [token for token in tokens if token.kind != "newline"]


def references(tokens):
    """What an expression refers to, functions and names of its own (`for`, keys of objects) left out."""
    found, calls, own = [], [], set()
    _collect(significant(tokens), found, calls, own)
    return [reference for reference in found if reference.parts[0] not in own]


def calls(tokens):
    """The functions that an expression calls, each with its line."""
    found, called = [], []
    _collect(significant(tokens), found, called, set())
    return called


def _collect(tokens, found, called, own):
    at = 0
    while at < len(tokens):
        token = tokens[at]
        for part in token.parts:
            _collect(significant(part), found, called, own)
        if token.kind != "name" or token.value in ("true", "false", "null", "in", "if"):
            at += 1
            continue
        following = tokens[at + 1].value if at + 1 < len(tokens) and tokens[at + 1].kind == "sign" else ""
        if token.value == "for" and at + 1 < len(tokens) and tokens[at + 1].kind == "name":
            at += 1
            while tokens[at].value != "in":
                if tokens[at].kind == "name":
                    own.add(tokens[at].value)
                at += 1
            continue
        if following == "(":
            called.append((token.value, token.line))
            at += 1
            continue
        if following == "=":
            at += 2
            continue
        parts, at = [token.value], at + 1
        while at < len(tokens):
            if tokens[at].value == "." and tokens[at].kind == "sign" and at + 1 < len(tokens):
                if tokens[at + 1].kind in ("name", "number"):
                    parts.append(tokens[at + 1].value)
                at += 2
            elif tokens[at].value == "[" and tokens[at].kind == "sign":
                end, depth = at + 1, 1
                while depth:
                    depth += {"[": 1, "]": -1}.get(tokens[end].value, 0) if tokens[end].kind == "sign" else 0
                    end += 1
                inner = tokens[at + 1 : end - 1]
                _collect(inner, found, called, own)
                # A text as index is a key.
                if len(inner) == 1 and inner[0].kind == "string" and not inner[0].parts and len(parts) == 2:
                    parts.append(f"[{inner[0].value}]")
                at = end
            else:
                break
        found.append(Reference(tuple(part for part in parts if not part.startswith("[")), token.line))


def object_of(tokens):
    """The members of an object's literal, by name; None: the expression is something else."""
    tokens = significant(tokens)
    if not tokens or tokens[0].value != "{" or (len(tokens) > 1 and tokens[1].value == "for"):
        return None
    members, at = {}, 1
    while at < len(tokens) and tokens[at].value != "}":
        if tokens[at].value == ",":
            at += 1
            continue
        name = tokens[at].value
        if at + 1 >= len(tokens) or tokens[at + 1].value not in ("=", ":"):
            return None
        start, depth = at + 2, 0
        at = start
        while at < len(tokens):
            token = tokens[at]
            if token.kind == "sign" and token.value in "([{":
                depth += 1
            elif token.kind == "sign" and token.value in ")]}":
                if depth == 0:
                    break
                depth -= 1
            elif depth == 0 and at > start and (token.value == "," or _begins_member(tokens, at)):
                break
            at += 1
        members[name] = tokens[start:at]
    return members


def _begins_member(tokens, at):
    """Whether the next member of an object begins here, on a line of its own."""
    token = tokens[at]
    is_key = token.kind in ("name", "string") and at + 1 < len(tokens) and tokens[at + 1].value == "="
    return is_key and token.line > tokens[at - 1].line
