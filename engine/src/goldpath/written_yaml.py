"""YAML that a person wrote: nothing of it is lost without a word."""

from typing import Any

import yaml

# Written in C, where PyYAML has it: every command reads a dozen of these files as it starts.
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MERGE = "tag:yaml.org,2002:merge"


class _Loader(_SafeLoader):  # type: ignore[misc,valid-type]
    """A safe loader that refuses a key written twice: YAML 1.2.2, 3.2.1.1, keys are unique.

    PyYAML keeps the last one, so that a second `lake:` at the end of a file empties the first.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found: dict[object, yaml.Node] = {}
        for key_node, _ in node.value:
            if key_node.tag == MERGE or not isinstance(key_node, yaml.ScalarNode):
                continue
            key = self.construct_object(key_node)
            if key in found:
                raise yaml.constructor.ConstructorError(
                    f"{key!r} is written twice; here first",
                    found[key].start_mark,
                    "and here again: join them",
                    key_node.start_mark,
                )
            found[key] = key_node
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As PyYAML does, but a value such as the date 2026-13-01 is refused with its place."""
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value!r} is no value: {error}", node.start_mark
            ) from error


def parse_yaml(text: str | bytes) -> Any:
    """What YAML text holds.

    Example:
        >>> parse_yaml("trials: 5")
        {'trials': 5}

    Raises:
        yaml.YAMLError: If it is not YAML, a key stands twice in one mapping, or a date is none.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506  # nosec B506  a safe loader


def quotes_advised(value: object) -> str:
    """What to add to "a text is expected" where the value is true or false; else nothing.

    Example:
        >>> quotes_advised(parse_yaml("no"))
        '; YAML reads yes, no, on and off as true or false: write them in quotes'
    """
    if not isinstance(value, bool):
        return ""
    return "; YAML reads yes, no, on and off as true or false: write them in quotes"


def line_of(text: str, *path: str | int) -> int | None:
    r"""The line, from 1 on, in which a value stands; None where the text has no such value.

    Args:
        text: YAML that can be parsed.
        path: Keys of mappings and places in lists, from the top.

    Example:
        >>> line_of("trials: 5\ngates:\n- a\n- b", "gates", 1)
        4
    """
    node = yaml.compose(text, Loader=_SafeLoader) if text else None
    for step in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step] if step < len(node.value) else None
        elif isinstance(node, yaml.MappingNode):
            found = [value for key, value in node.value if key.value == step]
            node = found[0] if found else None
        else:
            return None
    return None if node is None else int(node.start_mark.line) + 1


def nearest_line(text: str, *path: str | int) -> int | None:
    r"""The line of a value, or of the innermost group around it where it is missing.

    Example:
        >>> nearest_line("target:\n  column: y", "target", "classes")
        2
    """
    lines = (line_of(text, *path[:length]) for length in range(len(path), 0, -1))
    return next((line for line in lines if line), None)
