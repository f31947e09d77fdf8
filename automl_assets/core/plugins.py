"""Discovery of plugins: one public module, one plugin, and a loud failure otherwise."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any


def load_plugins(package: str, constant: str) -> dict[str, Any]:
    """Import every public module of a package and collect the plugin each defines.

    A module that cannot be imported, or that lacks its constant, stops the
    program: a model family that vanishes quietly is found weeks later.

    Args:
        package: Dotted name, such as `automl_assets.core.families`.
        constant: Name that each module must define, such as `FAMILY`.

    Returns:
        Plugins by name, sorted. The name of a plugin equals that of its module.

    Raises:
        TypeError: A module lacks the constant, or the names differ.
    """
    plugins: dict[str, Any] = {}
    for info in sorted(iter_modules(import_module(package).__path__), key=lambda info: info.name):
        if info.name.startswith("_"):
            continue
        module = import_module(f"{package}.{info.name}")
        plugin = getattr(module, constant, None)
        if plugin is None:
            raise TypeError(f"Module {module.__name__} must define {constant}; it does not.")
        if plugin.name != info.name:
            raise TypeError(
                f"The plugin of {module.__name__} must be named {info.name!r}, "
                f"but is named {plugin.name!r}."
            )
        plugins[info.name] = plugin
    return plugins
