"""Every public callable of the packages that the tables of untraceable names speak of as a whole, with a call of it."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator

from vllm_lint.analyzer import untraceable

#: Packages of the standard library that the tables name with all that is in them.
PACKAGES = sorted(
    name[:-1]
    for names in untraceable.BY_NAME.values()
    for name in names
    if name.endswith(".") and name[:-1] in sys.stdlib_module_names
)
_NULL = "open('/dev/null', 'wb')"
_DATE = "(2020, 1, 1, 0, 0, 0, 0, 1, -1)"
_ERROR = "ValueError('a')"
#: Arguments of what cannot be called without any.
ARGUMENTS = {
    **dict.fromkeys(("bisect.bisect", "bisect.bisect_left", "bisect.bisect_right"), "[1, 2], 2"),
    **dict.fromkeys(("bisect.insort", "bisect.insort_left", "bisect.insort_right"), "[1], 2"),
    "contextvars.ContextVar": "'a'",
    **{f"ctypes.{name}": "ctypes.c_int" for name in ("POINTER", "alignment", "sizeof")},
    **{f"ctypes.{name}": "ctypes.c_int(1)" for name in ("addressof", "byref", "pointer")},
    **{f"ctypes.{name}": "2" for name in ("c_buffer", "create_string_buffer", "create_unicode_buffer")},
    **{f"ctypes.{name}": "None" for name in ("CDLL", "CFUNCTYPE", "PYFUNCTYPE", "PyDLL")},
    "ctypes.ARRAY": "ctypes.c_int, 2",
    "ctypes.LibraryLoader": "ctypes.CDLL",
    "ctypes.SetPointerType": "ctypes.POINTER(ctypes.c_int), ctypes.c_int",
    "ctypes.cast": "None, ctypes.c_void_p",
    **dict.fromkeys(("ctypes.string_at", "ctypes.wstring_at"), "0"),
    "datetime.date": "2020, 1, 1",
    "datetime.datetime": "2020, 1, 1",
    "datetime.timezone": "datetime.timedelta(1)",
    **{f"gc.{name}": "[]" for name in ("get_referents", "get_referrers", "is_finalized", "is_tracked")},
    "gc.set_debug": "0",
    "gc.set_threshold": "700",
    "hashlib.file_digest": "open('/dev/null', 'rb'), 'sha1'",
    "hashlib.new": "'sha1'",
    "hashlib.pbkdf2_hmac": "'sha1', b'a', b'b', 1",
    "hashlib.scrypt": "b'a', salt=b'b', n=2, r=1, p=1",
    "json.JSONDecodeError": "'a', 'b', 0",
    "json.detect_encoding": "b'a'",
    "json.dump": "{}, open('/dev/null', 'w')",
    "json.dumps": "{}",
    "json.load": "open('/dev/null')",
    "json.loads": "'{}'",
    "logging.FileHandler": "'/dev/null'",
    "logging.LogRecord": "'a', 20, 'p', 1, 'm', None, None",
    "logging.Logger": "'a'",
    "logging.LoggerAdapter": "logging.root",
    "logging.addLevelName": "3, 'a'",
    "logging.captureWarnings": "True",
    **{f"logging.{name}": "'a'" for name in ("critical", "debug", "error", "exception", "fatal", "info", "warn")},
    "logging.getHandlerByName": "'a'",
    "logging.getLevelName": "20",
    "logging.getLogger": "'a'",
    "logging.log": "20, 'a'",
    "logging.makeLogRecord": "{}",
    "logging.setLogRecordFactory": "logging.LogRecord",
    "logging.setLoggerClass": "logging.Logger",
    "logging.warning": "'a'",
    "pickle.PickleBuffer": "b'a'",
    "pickle.Pickler": _NULL,
    "pickle.Unpickler": _NULL,
    "pickle.dump": f"1, {_NULL}",
    "pickle.dumps": "1",
    "pickle.load": _NULL,
    "pickle.loads": "b'N.'",
    **{f"subprocess.{name}": "['true']" for name in ("Popen", "call", "check_call", "check_output", "run")},
    "subprocess.CalledProcessError": "1, 'true'",
    "subprocess.CompletedProcess": "['true'], 0",
    "subprocess.TimeoutExpired": "'true', 1",
    "subprocess.getoutput": "'true'",
    "subprocess.getstatusoutput": "'true'",
    "subprocess.list2cmdline": "['true']",
    "time.asctime": "",
    **{f"time.{name}": "0" for name in ("clock_getres", "clock_gettime", "clock_gettime_ns", "sleep")},
    "time.clock_settime": "0, 1.0",
    "time.clock_settime_ns": "0, 1",
    "time.get_clock_info": "'time'",
    "time.mktime": _DATE,
    "time.pthread_getcpuclockid": "1",
    "time.strftime": "'%Y'",
    "time.strptime": "'2020', '%Y'",
    "time.struct_time": _DATE,
    "traceback.FrameSummary": "'a', 1, 'f'",
    "traceback.TracebackException": f"ValueError, {_ERROR}, None",
    **{f"traceback.{name}": _ERROR for name in ("format_exception", "format_exception_only", "print_exception")},
    **{f"traceback.{name}": "[]" for name in ("format_list", "print_list")},
    **{f"traceback.{name}": "None" for name in ("clear_frames", "extract_tb", "format_tb", "print_tb")},
    **{f"traceback.{name}": "None" for name in ("walk_stack", "walk_tb")},
    "uuid.UUID": "int=1",
    **dict.fromkeys(("uuid.uuid3", "uuid.uuid5"), "uuid.NAMESPACE_DNS, 'a'"),
    "zlib.decompress": "zlib.compress(b'a')",
    **{f"zlib.{name}": "b'a'" for name in ("adler32", "compress", "crc32")},
}
#: What no forward can call in a way that tells something.
NOT_CALLED = {
    "traceback.print_list": "of an empty list it does nothing, and what gives another list is not traced",
    "uuid.SafeUUID": "an enumeration",
}
#: What Python 3.10 does not have yet.
NEWER = {"logging.getLevelNamesMapping"}


def members() -> Iterator[tuple[str, str | None]]:
    """Dotted names of all, with a call; None for one that needs arguments which nobody has said."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        own = (package, f"_{package}", None)
        names = getattr(module, "__all__", None) or [
            n for n in dir(module) if n[0] != "_" and getattr(getattr(module, n), "__module__", "") in own
        ]
        for name in sorted(names):
            full, member = f"{package}.{name}", getattr(module, name)
            if callable(member) and full not in NOT_CALLED:
                arguments = ARGUMENTS.get(full, None if _needs_some(member) else "")
                yield full, None if arguments is None else f"{full}({arguments})"


def _needs_some(member: object) -> bool:
    try:
        parameters = inspect.signature(member).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):  # written in C, without a signature
        return False
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(p.default is p.empty and p.kind not in kinds for p in parameters)
