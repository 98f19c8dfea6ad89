"""Starts a part of this package in another interpreter, or says what that lacks.

Runs as `python FOLDER FALLBACK ABI MODULE ARGUMENTS`, where `interpreter` has put a copy of this file into FOLDER as
`__main__.py`. It uses the standard library of old Pythons only, since it may meet one.
"""

import importlib
import json
import sys
import sysconfig

OLDEST_PYTHON = (3, 10)


def abi() -> str:
    """What compiled modules are made for, such as `cpython-311 linux-x86_64`."""
    return f"{sys.implementation.cache_tag} {sysconfig.get_platform()}"


def main() -> None:
    """Run the main function of a module."""
    fallback, known_abi, name = sys.argv[1:4]
    sys.argv = [name, *sys.argv[4:]]
    if sys.version_info < OLDEST_PYTHON:
        version = ".".join(map(str, sys.version_info[:3]))
        refuse(f"it is Python {version}, and 3.10 is the oldest that works", "")
    try:
        import msgspec  # noqa: F401
    except ImportError:
        # Ours is a compiled module, which only the same version of Python can load. Last, so that it hides nothing.
        if abi() != known_abi:
            refuse("it has no msgspec", "{python} -m pip install msgspec")
        sys.path.append(fallback)
    importlib.import_module(name).main()


def refuse(missing: str, cure: str) -> None:
    """Say why nothing can run here, in the form of `jobs.Hello`, and end."""
    sys.stdout.write(json.dumps({"missing": missing, "cure": cure}) + "\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
