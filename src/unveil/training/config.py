"""The configuration of a run (`settings`) from YAML and the command line, and back. A wrong setting is an error that names it."""

from __future__ import annotations

import dataclasses
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from unveil.errors import InputError
from unveil.training.checks import check
from unveil.training.settings import HARMLESS, Config
from unveil.util.words import did_you_mean


@dataclasses.dataclass(frozen=True)
class _Typed:
    """A value from the command line: as YAML reads it, and as it was typed, which is used for settings that are text. "", "null", "*_gt"
    (an alias in YAML) and "no" (false) may all be names of files.
    """

    value: Any
    text: str


def _read_typed(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return _Typed(text, text)
    return value if isinstance(value, (list, dict, str)) else _Typed(value, text)


_WANTED = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def _scalar(kind: type, value: Any, where: str) -> Any:
    wrong = InputError(f"{where} must be {_WANTED[kind]}, got {value!r}")
    if kind is bool or isinstance(value, bool):
        if kind is not bool or not isinstance(value, bool):
            raise wrong
        return value
    if kind is str:
        if not isinstance(value, (str, int, float)):
            raise wrong
        return str(value)
    try:
        number = float(value)  # YAML 1.1 reads 8e-4 as text
    except (TypeError, ValueError) as error:
        raise wrong from error
    if kind is int and not number.is_integer():  # nor are infinity and NaN
        raise wrong
    return kind(number)


def _build(kind: Any, value: Any, where: str) -> Any:
    name = where.rstrip(".") or "the configuration"
    if isinstance(value, _Typed):
        value = value.text if kind is str else value.value
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise InputError(f"{name} must be a mapping of settings, got {value!r}")
        hints = get_type_hints(kind)
        for key in value:
            if key not in hints:
                raise InputError(f"unknown setting {where}{key!s}; {did_you_mean(key, hints)}")
        return kind(**{k: _build(hints[k], v, f"{where}{k}.") for k, v in value.items()})  # type: ignore[operator]
    if get_origin(kind) is list:
        if not isinstance(value, (list, type(None))):
            raise InputError(f"{name} must be a list, got {value!r}")
        return [_build(get_args(kind)[0], item, f"{where}{i}.") for i, item in enumerate(value or [])]
    if get_origin(kind) is dict:
        if not isinstance(value, (dict, type(None))):
            raise InputError(f"{name} must be a mapping, got {value!r}")
        return {str(k): _build(get_args(kind)[1], v, f"{where}{k}.") for k, v in (value or {}).items()}
    if isinstance(kind, UnionType):  # a setting that may be left open: null
        return None if value is None else _build(get_args(kind)[0], value, where)
    return _scalar(kind, value, name)


def parse(tree: dict[str, Any]) -> Config:
    """A checked Config from plain dictionaries and lists. Raises InputError naming the setting, with the nearest known name."""
    config = _build(Config, tree, "")
    check(config)
    return config


def stored(tree: dict[str, Any]) -> Config:
    """Inverse of `dataclasses.asdict` for a Config; its values were checked before they were stored."""
    return _build(Config, tree, "")


def presets() -> list[str]:
    """Names of the configurations that ship with the package."""
    folder = files("unveil.training") / "presets"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def find(name: str) -> Path:
    """The file of a configuration: a path, or the name of a preset. Raises InputError with the nearest names."""
    if Path(name).is_file():
        return Path(name)
    if name in presets():
        return Path(str(files("unveil.training") / "presets" / f"{name}.yaml"))
    hint = did_you_mean(name, presets(), otherwise="presets are", most=2)
    raise InputError(f"no configuration file {name!r}, and no preset of that name; {hint}")


def read(path: Path) -> dict[str, Any]:
    """The plain tree of a YAML file. Raises InputError for a file that cannot be read or is not a mapping."""
    try:
        tree = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML ({error})") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InputError(f"{path}: a configuration is a mapping of settings, this is {type(tree).__name__}")
    return tree


def override(tree: dict[str, Any], overrides: dict[str, str]) -> dict[str, Any]:
    """Set dotted settings ("data.root", "stages.0.steps") of the tree to YAML values, in place; text stays text. An index one past the end
    of a list appends. Raises InputError for a setting that does not exist.
    """
    for dotted, text in overrides.items():
        node: Any = tree
        *parents, last = dotted.split(".")
        try:
            for key in parents:
                node = _step(node, key)
            if isinstance(node, list):
                _step(node, last)
                node[int(last)] = _read_typed(text)
            else:
                node[last] = _read_typed(text)
        except (IndexError, ValueError, AttributeError, TypeError) as error:
            raise InputError(f"--{dotted}: no such setting") from error
    return tree


def _step(node: Any, key: str) -> Any:
    """One level down; makes what is missing, a list where the setting is known to be one."""
    if isinstance(node, list):
        if int(key) == len(node):
            node.append({})
        return node[int(key)]
    return node.setdefault(key, [] if key in ("stages", "pairs", "photos", "mults") else {})


def load(path: Path, overrides: dict[str, str] | None = None) -> Config:
    """Read a YAML file; overrides are dotted keys ("data.root", "stages.0.steps") with YAML values.

    Raises InputError, which names the file where what is wrong stands there, and not where an override is.
    """
    try:
        return parse(override(read(path), overrides or {}))
    except InputError as error:
        if str(path) in str(error) or (overrides and _fault_of(path) != str(error)):
            raise
        raise InputError(f"{error} (in {path})") from error


def _fault_of(path: Path) -> str:
    """What is wrong with a file alone, "" for nothing."""
    try:
        parse(read(path))
    except InputError as error:
        return str(error)
    return ""


def dump(config: Config) -> str:
    """The configuration as YAML; `parse(yaml.safe_load(dump(c))) == c`."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False)


def same_run(one: Config, other: Config) -> list[str]:
    """The settings in which two configurations differ and whose change would change the result; empty when one resumes the other.

    A learning rate may be lowered and the precision raised, which is what is advised when a run diverges. All loaders make the same
    batches but "device".
    """
    left, right = (_flat(dataclasses.asdict(c)) for c in (one, other))
    return sorted(
        k
        for k in left.keys() | right.keys()
        if left.get(k) != right.get(k)
        and not any(k == h or k.startswith(f"{h}.") for h in HARMLESS)
        and not _remedy(k, left.get(k), right.get(k))
    )


def _remedy(name: str, before: Any, now: Any) -> bool:
    if name == "precision":
        return now == "fp32"
    if name == "loader":
        return "device" not in (before, now)
    return (
        name.startswith("stages.") and name.endswith(".lr") and before is not None and now is not None and now < before
    )


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(tree, (dict, list)) and tree:
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {k: v for key, value in items for k, v in _flat(value, f"{prefix}{key}.").items()}
    return {prefix.rstrip("."): tree}
