"""Which imports of an artifact are known to be harmless, and which are dangerous.

The lists name what frameworks really write into their files, as narrowly as they can: a whole package is never
harmless (`numpy.testing` runs strings, `pandas.read_pickle` and `torch.load` unpickle more). Of a package of many
classes only names of classes are taken, in modules that open no files. A dangerous name is dangerous however it is
reached: under its name of Python 2, or through another module (`numpy.f2py.os.system`).
"""

from __future__ import annotations

import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Sequence
from enum import StrEnum
from fnmatch import fnmatchcase

_CLASS = r"_*[A-Z]\w*"
_ANY = r"[A-Za-z_]\w*"

_RUNS = "runs programs"
_CODE = "runs Python code"
_REACHES = "reaches any attribute or function by its name"
_LOADS = "loads code or unpickles more"
_FILES = "reads, writes or removes files"
_NET = "opens connections"
_CARRIES = "the file carries Python code"

DANGEROUS_MODULES: dict[str, str] = {
    **dict.fromkeys(("os", "posix", "nt", "subprocess", "_posixsubprocess", "commands", "popen2", "pty"), _RUNS),
    **dict.fromkeys(("multiprocessing", "pdb", "bdb", "distutils", "setuptools", "pip", "venv"), _RUNS),
    **dict.fromkeys(("code", "codeop", "timeit", "trace", "profile", "cProfile", "doctest", "runpy"), _CODE),
    **dict.fromkeys(("idlelib", "lib2to3", "asyncio", "threading", "_thread", "sched", "atexit", "signal"), _CODE),
    **dict.fromkeys(("importlib", "imp", "pkgutil", "zipimport", "pydoc", "ctypes", "_ctypes", "cffi"), _LOADS),
    **dict.fromkeys(("pickle", "_pickle", "cPickle", "marshal", "shelve", "dbm", "logging.config"), _LOADS),
    **dict.fromkeys(("operator", "_operator", "functools", "_functools", "inspect", "gc", "sys"), _REACHES),
    **dict.fromkeys(("shutil", "tempfile", "io", "_io", "fileinput", "glob", "mmap", "sqlite3", "zipfile"), _FILES),
    **dict.fromkeys(("tarfile", "linecache"), _FILES),
    **dict.fromkeys(("socket", "_socket", "ssl", "http", "httplib", "urllib", "urllib2", "ftplib", "smtplib"), _NET),
    **dict.fromkeys(("requests", "aiohttp", "telnetlib", "xmlrpc", "webbrowser", "antigravity", "socketserver"), _NET),
    **dict.fromkeys(("types", "cloudpickle", "dill", "new"), _CARRIES),
}

_BUILTINS = {
    **dict.fromkeys(("eval", "exec", "execfile", "compile", "breakpoint", "input", "help"), _CODE),
    **dict.fromkeys(("__import__", "__build_class__", "reload"), _LOADS),
    **dict.fromkeys(("getattr", "setattr", "delattr", "globals", "locals", "vars", "apply"), _REACHES),
    **dict.fromkeys(("open", "file"), _FILES),
    **dict.fromkeys(("map", "filter"), "calls what it is given"),
}
_NAMES: dict[str, str] = {
    **{f"builtins.{name}": why for name, why in _BUILTINS.items()},
    **dict.fromkeys(("numpy.load", "numpy.lib.npyio.load", "numpy.lib._npyio_impl.load"), _LOADS),
    **dict.fromkeys(("joblib.load", "joblib.numpy_pickle.load", "pandas.read_pickle"), _LOADS),
    **dict.fromkeys(("pandas.eval", "pandas.core.computation.eval.eval"), _CODE),
    "sklearn.utils._testing.run_string": _CODE,
    "torch.load": _LOADS,
    "torch.jit.load": _LOADS,
    "torch.jit._serialization.load": _LOADS,
    "torch.serialization.load": _LOADS,
    "torch.fx.graph_module.reduce_graph_module": _CARRIES,
    "torch.fx.graph_module.reduce_package_graph_module": _CARRIES,
    "copyreg.add_extension": _REACHES,
}
_BELOW: dict[str, str] = {  # modules of harmless packages, with all that is below them
    "numpy.testing": _CODE,
    "numpy.f2py": _RUNS,
    "numpy.distutils": _RUNS,
    "numpy.ctypeslib": _LOADS,
    "pandas.io": _FILES,
    "torch.hub": _LOADS,
    "torch.utils.cpp_extension": _RUNS,
    "torch.utils.bottleneck": _CODE,
    "torch.utils.collect_env": _RUNS,
    "torch.utils._config_module": _LOADS,
    "torch.distributed": _NET,
    "torch.multiprocessing": _RUNS,
    "torch._dynamo": _CODE,
    "torch._inductor": _RUNS,
    "torch.ops": _LOADS,
    "torch.package": _LOADS,
    "scipy.weave": _RUNS,
    "sklearn.datasets": _NET,
    "joblib.memory": _CODE,
    "joblib.externals": _CARRIES,
}

_NUMPY_MATH = (
    "abs|absolute|add|arccos|arccosh|arcsin|arcsinh|arctan|arctan2|arctanh|array|asarray|cbrt|ceil|clip|cos|cosh|"
    "cumsum|deg2rad|divide|equal|exp|exp2|expm1|fabs|float_power|floor|fmax|fmin|greater|greater_equal|hypot|identity|"
    "isfinite|isinf|isnan|less|less_equal|log|log10|log1p|log2|logaddexp|logical_and|logical_not|logical_or|max|"
    "maximum|mean|median|min|minimum|mod|multiply|nan_to_num|nanmax|nanmean|nanmedian|nanmin|nansum|negative|"
    "nextafter|not_equal|percentile|positive|power|quantile|rad2deg|reciprocal|rint|round|sign|sin|sinh|sqrt|square|"
    "std|subtract|sum|tan|tanh|true_divide|trunc|unique|var|zeros|ones"
)
_NUMPY_TYPES = (
    r"dtype|ndarray|matrix|recarray|record|memmap|generic|bool_?|object_?|str_|bytes_|void|"
    r"u?int(?:8|16|32|64|p|c)?|float(?:16|32|64|128)|complex(?:64|128|256)|(?:long)?double|single|half|"
    r"u?(?:long|longlong|short|byte)|datetime64|timedelta64|int_|float_|complex_|intp|RandomState|Generator"
)
_BUILTIN_TYPES = (
    "object|bool|int|long|float|complex|str|unicode|bytes|bytearray|list|tuple|dict|set|frozenset|slice|range|xrange|"
    "NoneType|Ellipsis|NotImplemented|len|abs|min|max|sum|sorted|round|repr|" + r"\w+(?:Error|Warning|Exception)"
)

# Module pattern -> name pattern; both match the whole.
_KNOWN: tuple[tuple[str, str], ...] = (
    (r"builtins", _BUILTIN_TYPES),
    (r"copyreg", r"_reconstructor|__newobj__|__newobj_ex__"),
    (r"_codecs", r"encode"),
    (r"collections", r"OrderedDict|defaultdict|Counter|deque|ChainMap"),
    (r"datetime", r"date|datetime|time|timedelta|timezone"),
    (r"zoneinfo", r"ZoneInfo(?:\._unpickle)?"),
    (r"decimal|_decimal|_pydecimal", r"Decimal"),
    (r"fractions", r"Fraction"),
    (r"uuid", r"UUID|SafeUUID"),
    (r"random", r"Random"),
    (r"math", _ANY),
    (r"pathlib(?:\._local)?", r"(?:Pure)?(?:Posix|Windows)?Path"),
    (r"re", r"_compile"),
    (r"string", r"Template"),
    (r"numpy", rf"{_NUMPY_TYPES}|{_NUMPY_MATH}"),
    (r"numpy\._?core\.(?:_?multiarray|_multiarray_umath|umath)", rf"_reconstruct|scalar|{_NUMPY_TYPES}|{_NUMPY_MATH}"),
    (r"numpy\._?core\.numeric", r"_frombuffer"),
    (r"numpy\._?core(?:\._internal)?", r"_ufunc_reconstruct|_convert_to_stringdtype_kwargs"),
    (r"numpy\._?core\.(?:fromnumeric|_methods|function_base)", _NUMPY_MATH),
    (r"numpy\.lib\.(?:_?function_base|_function_base_impl|_?nanfunctions|_nanfunctions_impl)(?:_impl)?", _NUMPY_MATH),
    (r"numpy\.(?:rec|ma|ma\.core|dtypes|_?core\.(?:memmap|records))", rf"{_CLASS}|_mareconstruct|recarray|memmap"),
    (r"numpy\.matrixlib(?:\.defmatrix)?", r"matrix"),
    (r"numpy\.random(?:\.\w+)?", rf"__\w+_ctor|{_CLASS}|__pyx_unpickle_\w+"),
    (r"scipy\.sparse(?:\.\w+)*", r"(?:csr|csc|coo|bsr|dia|dok|lil)_(?:matrix|array)"),
    (r"scipy\.spatial(?:\.\w+)*", rf"c?KDTree|{_CLASS}"),
    (r"scipy\.(?:interpolate|special)(?:\.\w+)*", rf"{_CLASS}|interp1d|expit|logit|xlogy|gammaln|erf"),
    (r"(?:scipy\._lib|sklearn\.externals)\.array_api_compat\.numpy(?:\._aliases)?", _NUMPY_MATH),
    (r"joblib\.numpy_pickle(?:_compat)?", r"(?:Z?ND|Numpy)ArrayWrapper"),
    (r"sklearn(?:\.\w+)*", rf"{_CLASS}|__pyx_unpickle_\w+|newObj"),
    (r"sklearn\.(?:metrics|feature_selection|preprocessing|kernel_approximation)(?:\.\w+)*", _ANY),
    (r"sklearn\.ensemble\._gb_losses|sklearn\._loss(?:\.\w+)*", _ANY),
    (r"imblearn(?:\.\w+)*", _CLASS),
    (r"pandas\.(?:arrays|api\.types)", _CLASS),
    (r"pandas", r"DataFrame|Series|\w*Index|Categorical|\w*Dtype|Timestamp|Timedelta|Period|Interval|NA"),
    (r"pandas\._libs(?:\.\w+)*", rf"{_CLASS}|_unpickle_block|__pyx_unpickle_\w+|_nat_unpickle|_timestamp_unpickle"),
    (
        r"pandas\.core\.(?:indexes|internals|arrays|dtypes)(?:\.\w+)*",
        rf"{_CLASS}|_new_\w*Index|_unpickle_block|new_block",
    ),
    (r"pandas\.core\.(?:series|frame|generic|flags)", _CLASS),
    (r"xgboost\.(?:core|sklearn|compat|_data_utils)", _CLASS),
    (r"lightgbm\.(?:basic|sklearn|compat)", _CLASS),
    (r"catboost\.core", _CLASS),
    (r"torch", rf"{_CLASS}|device|dtype|b?float\d*|u?int\d*|complex\d+|double|half|bool|long|short|qu?int\d+"),
    (r"torch\._utils", r"_rebuild_\w+"),
    (r"torch\._tensor", r"_rebuild_from_type_v2|Tensor"),
    (r"torch\.jit\._pickle", r"build_\w+"),
    (r"torch\.storage", r"_load_from_bytes|TypedStorage|UntypedStorage"),
    (r"torch\.serialization", r"_get_layout"),
    (r"torch\.nn(?:\.\w+)*", rf"{_CLASS}|relu6?|gelu|silu|elu|leaky_relu|sigmoid|tanh|softmax|log_softmax|softplus"),
    (r"torch\.optim(?:\.\w+)*", _CLASS),
    (r"__torch__(?:\.\w+)*", _ANY),  # TorchScript: names inside the archive, which nothing imports
    (r"skorch(?:\.\w+)*", _CLASS),
)
_PATTERNS = tuple((re.compile(module), re.compile(name)) for module, name in _KNOWN)


class Category(StrEnum):
    """What is known about an import."""

    KNOWN = "known"
    OWN = "own"
    UNKNOWN = "unknown"
    DANGEROUS = "dangerous"


def dangerous_roots() -> set[str]:
    """Return the top-level modules that a dangerous import can begin with, those of Python 2 too."""
    found = {name.partition(".")[0] for name in (*DANGEROUS_MODULES, *_NAMES, *_BELOW)}
    return found | {old.partition(".")[0] for old, new in IMPORT_MAPPING.items() if new.partition(".")[0] in found}


def danger(module: str, name: str) -> str:
    """Return what a dangerous import could do; empty where it is not known to be dangerous."""
    for whose, what in _spellings(module, name):
        if why := _danger(whose, what):
            return why
    return ""


def is_dangerous(module: str, name: str) -> bool:
    """Whether an import is known to be dangerous."""
    return bool(danger(module, name))


def categorise(module: str, name: str, *, own: Sequence[str] = (), allow: Sequence[str] = ()) -> Category:
    """Say what is known about an import.

    `own` are modules of the project, with all below them. `allow` are patterns as in fnmatch(3) over
    `module.name`; a dangerous import is allowed only by its full name, never by a wildcard.
    """
    full = f"{module}.{name}"
    if is_dangerous(module, name):
        return Category.KNOWN if full in allow else Category.DANGEROUS
    if any(fnmatchcase(full, pattern) for pattern in allow):
        return Category.KNOWN
    if module == "__main__" or any(module == root or module.startswith(f"{root}.") for root in own):
        return Category.OWN
    return (
        Category.KNOWN if any(_is_known(whose, what) for whose, what in _spellings(module, name)) else Category.UNKNOWN
    )


def _spellings(module: str, name: str) -> set[tuple[str, str]]:
    """Return an import as it is written and as Python 3 reads it in a file of protocol 0 to 2."""
    mapped = NAME_MAPPING.get((module, name)) or (IMPORT_MAPPING.get(module, module), name)
    return {(module, name), mapped}


def _danger(module: str, name: str) -> str:
    if "<" in name or "<" in module:
        return "the name is not in the file: it is computed, or registered elsewhere"
    parts = name.split(".")
    if len(parts) > 1 and any(p in DANGEROUS_MODULES or p in _BUILTINS or p.startswith("__") for p in parts):
        return _REACHES  # `numpy.f2py.os.system`: attributes of attributes
    below = next((why for root, why in _BELOW.items() if module == root or module.startswith(f"{root}.")), "")
    named = _NAMES.get(f"{module}.{name}", "")
    return DANGEROUS_MODULES.get(module.partition(".")[0]) or DANGEROUS_MODULES.get(module) or named or below


def _is_known(module: str, name: str) -> bool:
    """Whether a harmless list has it. Of a nested name all but the last part must be classes."""
    outer, _, last = name.rpartition(".")
    if outer and not all(re.fullmatch(_CLASS, part) for part in (*outer.split("."), last)):
        return (module, name) == ("zoneinfo", "ZoneInfo._unpickle")
    last = last if outer else name
    return any(m.fullmatch(module) and n.fullmatch(last) for m, n in _PATTERNS)
