"""The recipes of the engine's pages: read from there, and done in a project word by word.

The table of `docs/extending.md` names them. A recipe is a section of a page; its blocks of code are
done in their order:

- A block whose first line is a comment with a file's name goes into that file: a new file holds the
  block. In a Python file that exists the block's imports are added, and each definition takes the
  place of the one with its name; `...` stands for what that one holds. In a YAML file a key's list
  gains the block's items, and any other value is replaced.
- A block of `bash` is run. A source that the project has is not added again, but must lie there.
"""

import ast
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from conftest import TEMPLATE, BakedProject

PAGES = TEMPLATE / "engine" / "docs"
ROW = re.compile(
    r"^\| \[(?P<title>[^]]+)\]\((?P<page>\S*?)#(?P<anchor>\S+)\) .*\| (?P<lines>\d+) \|"
)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^(?:#|--) (\S+)\n")
ADD_SOURCE = re.compile(r"make add-source NAME=(\w+) DATA=(\S+)")
KEY = re.compile(r"^(\w+):", re.MULTILINE)
IMPORTS = (ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class Block:
    """A block of code, and the file it belongs to; none of one that is run."""

    language: str
    text: str
    file: str | None


@dataclass(frozen=True)
class Recipe:
    """A section of a page; `lines` is what its table says that a project gains."""

    title: str
    page: str
    lines: int
    blocks: tuple[Block, ...]


def recipes() -> list[Recipe]:
    """Those of the table in extending.md, in its order."""
    table = (PAGES / "extending.md").read_text(encoding="utf-8")
    rows = [found for line in table.splitlines() if (found := ROW.match(line))]
    return [
        Recipe(
            row["title"],
            row["page"] or "extending.md",
            int(row["lines"]),
            tuple(blocks(section(PAGES / (row["page"] or "extending.md"), row["anchor"]))),
        )
        for row in rows
    ]


def section(page: Path, anchor: str) -> str:
    """What stands below a heading, up to the next one."""
    text = page.read_text(encoding="utf-8")
    heads = list(HEADING.finditer(re.sub(r"^```.*?^```$", hidden, text, flags=re.M | re.S)))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    found = [
        text[head.end() : end]
        for head, end in zip(heads, ends, strict=True)
        if re.sub(r"[^\w -]", "", head[1].lower()).replace(" ", "-") == anchor
    ]
    assert len(found) == 1, f"{page.name}#{anchor}: {len(found)} sections"
    return found[0]


def hidden(code: re.Match[str]) -> str:
    """As many characters, in which a comment is no heading."""
    return code[0].replace("#", " ")


def blocks(text: str) -> Iterable[Block]:
    """The blocks of code that are done; others only show something."""
    for language, code in BLOCK.findall(text):
        named = FILE.match(code)
        if named:
            yield Block(language, code[named.end() :], named[1])
        elif language == "bash":
            yield Block(language, code, None)


def follow(recipe: Recipe, project: BakedProject) -> None:
    """Do what the recipe says."""
    for block in recipe.blocks:
        text = block.text.replace("PACKAGE", project.package.name)
        if block.file is not None:
            write(place_of(block.file, project), text, recipe.title)
            continue
        for command in text.splitlines():
            source = ADD_SOURCE.match(command)
            if source and (project.root / "config" / "sources" / f"{source[1]}.yaml").exists():
                assert (project.root / source[2]).exists(), f"{command}: there is no {source[2]}"
                continue
            done = project.run("bash", "-c", command)
            assert done.code == 0, f"{command}\n{done.output}"


def place_of(file: str, project: BakedProject) -> Path:
    """Where a file of a recipe is: in the package, unless it is one of the project's folder."""
    outside = file.startswith(("config/", "tests/", "."))
    return (project.root if outside else project.package) / file


def write(file: Path, text: str, title: str) -> None:
    """Put a block into its file."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        head = f'"""{title}."""\n\n' if file.suffix == ".py" else ""
        file.write_text(head + text, encoding="utf-8")
        return
    old = file.read_text(encoding="utf-8")
    merged = {".py": with_python, ".yaml": with_yaml}.get(file.suffix, "{}{}".format)(old, text)
    file.write_text(merged, encoding="utf-8")


def lines_gained(project: BakedProject) -> int:
    """Lines that a person has written since the last commit, without blank ones and tests."""
    git = ("git", "-C", str(project.root))
    written = ["src", "config"]
    subprocess.run([*git, "add", "--intent-to-add", *written], check=True)
    if (project.root / ".env").exists():
        subprocess.run([*git, "add", "--intent-to-add", "--force", ".env"], check=True)
        written.append(".env")
    written.append(":!config/sources")
    said = subprocess.run([*git, "diff", "-U0", "--", *written], check=True, capture_output=True)
    lines = [line.partition("  #")[0] for line in said.stdout.decode().splitlines()]
    before = {line[1:].strip() for line in lines if line.startswith("-")}  # moved, or formatted
    code = [line[1:].strip() for line in lines if line.startswith("+") and line[1:4] != "++ "]
    return sum(line not in before for line in code if line)


def with_yaml(old: str, new: str) -> str:
    """The text of a YAML file with a block's keys."""
    for key, lines in parts(new).items():
        found = parts(old).get(key)
        if found is None:
            old = f"{old.rstrip()}\n{lines}"
        elif "\n  - " in found and "\n  - " in lines:
            old = old.replace(found, found.rstrip() + "\n" + lines.partition("\n")[2])
        else:
            old = old.replace(found, lines)
    return old


def parts(text: str) -> dict[str, str]:
    """The lines of each key of a YAML file's first level."""
    places = [*((found[1], found.start()) for found in KEY.finditer(text)), ("", len(text))]
    return {key: text[start:end] for (key, start), (_, end) in pairwise(places)}


def with_python(old: str, new: str) -> str:
    """The text of a Python file with a block's imports and definitions."""
    before, after = ast.parse(old), ast.parse(new)
    there = {name_of(node): node for node in before.body}
    lines = old.splitlines()
    inserted: dict[int, list[str]] = {}
    waiting = [ast.unparse(node) for node in after.body if isinstance(node, IMPORTS)]
    first = next(place for place, node in enumerate(before.body) if not is_text(node))
    inserted[before.body[first].lineno - 1] = waiting
    waiting = []
    replaced: dict[int, tuple[int, str]] = {}
    for node in after.body:
        if isinstance(node, IMPORTS):
            continue
        known = there.get(name_of(node))
        if known is None:
            waiting.append(source_of(node, new) if not drop_gaps(node) else ast.unparse(node))
            continue
        text = source_of(node, new)
        if "..." in text:
            text = ast.unparse(merged(known, node))
        replaced[start_of(known)] = (known.end_lineno or 0, "\n\n\n".join([*waiting, text]))
        waiting = []
    result: list[str] = []
    place = 0
    while place < len(lines):
        result += inserted.get(place, [])
        end, text = replaced.get(place, (place + 1, lines[place]))
        result.append(text)
        place = end
    return "\n".join([*result, *(f"\n\n{text}" for text in waiting), ""])


def merged(old: ast.AST | None, new: ast.AST) -> ast.AST:
    """The new code, with what the old one holds in place of `...`."""
    match new:
        case ast.FunctionDef(body=[*_, ast.Return() as result]) if isinstance(old, ast.FunctionDef):
            *kept, theirs = old.body
            texts = [node for node in kept if is_text(node)]
            kept = [node for node in kept if not is_text(node)]
            imports = [node for node in new.body if isinstance(node, IMPORTS)]
            others = [node for node in new.body[:-1] if node not in imports and not is_text(node)]
            assert isinstance(theirs, ast.Return)
            result.value = merged(theirs.value, result.value or new)  # type: ignore[assignment]
            old.body = [*texts, *imports, *kept, *others, result]
            return old
        case ast.Assign():
            new.value = merged(getattr(old, "value", None), new.value)  # type: ignore[assignment]
        case ast.List() | ast.Tuple() if any(map(is_gap, new.elts)):
            new.elts = in_their_places(getattr(old, "elts", []), new.elts)
        case ast.Call() if any(map(is_gap, new.args)):
            assert isinstance(old, ast.Call)
            theirs = {each.arg: each for each in old.keywords}
            for each in new.keywords:
                known = theirs.get(each.arg)
                each.value = merged(known and known.value, each.value)  # type: ignore[assignment]
            added = {each.arg: each for each in new.keywords}
            old.keywords = list({**theirs, **added}.values())
            return old
    return new


def in_their_places(old: list[ast.expr], new: list[ast.expr]) -> list[ast.expr]:
    """The old items, and each new one before the next item that both have, else at the end."""
    found = list(old)
    known = [ast.dump(each) for each in old]
    for place, each in enumerate(new):
        if is_gap(each) or ast.dump(each) in known:
            continue
        anchors = [ast.dump(item) for item in new[place + 1 :] if ast.dump(item) in known]
        index = [ast.dump(item) for item in found].index(anchors[0]) if anchors else len(found)
        found.insert(index, each)
    return found


def drop_gaps(node: ast.AST) -> bool:
    """Take `...` out of calls and lists where nothing is there already; whether there was one."""
    found = False
    for each in ast.walk(node):
        items = {ast.Call: "args", ast.List: "elts"}.get(type(each))
        if items and any(map(is_gap, getattr(each, items))):
            setattr(each, items, [item for item in getattr(each, items) if not is_gap(item)])
            found = True
    return found


def is_gap(node: ast.AST) -> bool:
    """Whether it is `...`."""
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def is_text(node: ast.AST) -> bool:
    """Whether it is a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def name_of(node: ast.stmt) -> str | None:
    """What a statement of a module defines."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return getattr(node, "name", None)


def start_of(node: ast.stmt) -> int:
    """The index of a definition's first line, decorators included."""
    return min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) - 1


def source_of(node: ast.stmt, text: str) -> str:
    """A definition as it is written, decorators and comments included."""
    return "\n".join(text.splitlines()[start_of(node) : node.end_lineno])
