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

from harness.scanner.dangerous import BELOW, BUILTINS, HARMLESS, MODULES, NAMES, REACHES

_CLASS = r"_*[A-Z]\w*"
_ANY = r"[A-Za-z_]\w*"
_DUNDER = re.compile(r"__pyx_unpickle_\w+|__newobj(?:_ex)?__|__\w+_ctor")  # those that pickles really name
_BELOW = r"(?:\.(?!tests\b|_precompute\b)\w+)*"  # tests import what they like, and a class is reached through them

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
_SCORES = (
    r"auc|[a-z]\w*_(?:score|loss|error|kernels?|distances?|similarit(?:y|ies)|deviance|matrix|curve|report|ratios?|"
    r"argmin|argmin_min|samples|fscore_support|corrcoef|thresholds|v_measure)"
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
    (r"pytz", r"_UTC|_utc|_p"),
    (r"dateutil\.(?:relativedelta|tz\.tz|tz)", r"relativedelta|tz(?:utc|local|offset|file)"),
    (r"string", r"Template"),
    (r"types", r"SimpleNamespace"),
    (r"numpy", rf"{_NUMPY_TYPES}|{_NUMPY_MATH}"),
    (r"numpy\._?core\.(?:_?multiarray|_multiarray_umath|umath)", rf"_reconstruct|scalar|{_NUMPY_TYPES}|{_NUMPY_MATH}"),
    (r"numpy\._?core\.numeric", r"_frombuffer"),
    (r"numpy\._?core\._internal", r"_convert_to_stringdtype_kwargs"),
    (r"numpy(?:\.polynomial\.\w+|\.lib\._?polynomial(?:_impl)?)?", r"poly1d|ABCPolyBase|Polynomial|Chebyshev|Legendre"),
    (r"numpy\._?core\.(?:fromnumeric|_methods|function_base)", _NUMPY_MATH),
    (r"numpy\.lib\.(?:_?function_base|_function_base_impl|_?nanfunctions|_nanfunctions_impl)(?:_impl)?", _NUMPY_MATH),
    (r"numpy\.(?:rec|ma|ma\.core|dtypes|_?core\.(?:memmap|records))", rf"{_CLASS}|_mareconstruct|recarray|memmap"),
    (r"numpy\.matrixlib(?:\.defmatrix)?", r"matrix"),
    (r"numpy\.random(?:\.\w+)?", rf"__\w+_ctor|{_CLASS}|__pyx_unpickle_\w+"),
    (r"scipy\.sparse(?:\.\w+)*", r"(?:csr|csc|coo|bsr|dia|dok|lil)_(?:matrix|array)"),
    (rf"scipy\.spatial{_BELOW}", rf"c?KDTree|{_CLASS}"),
    (rf"scipy\.interpolate{_BELOW}", rf"{_CLASS}|interp1d"),
    (r"scipy\.special(?:\._(?:special_)?ufuncs)?", r"expit|logit|xlogy|gammaln|erf"),
    (r"(?:scipy\._lib|sklearn\.externals)\.array_api_compat\.numpy(?:\._aliases)?", _NUMPY_MATH),
    (r"(?:sklearn\.externals\.)?joblib\.numpy_pickle(?:_compat)?", r"(?:Z?ND|Numpy)ArrayWrapper"),
    (rf"sklearn(?!\.(?:externals|callback|utils\._test)){_BELOW}", rf"{_CLASS}|__pyx_unpickle_\w+|newObj"),
    (rf"sklearn\.metrics(?!\._plot){_BELOW}", rf"{_SCORES}|_passthrough_scorer"),
    (
        rf"sklearn\.feature_selection{_BELOW}",
        r"f_classif|f_oneway|[fr]_regression|chi2|mutual_info_(?:classif|regression)",
    ),
    (
        rf"sklearn\.preprocessing{_BELOW}",
        r"scale|normalize|binarize|label_binarize|add_dummy_feature|[a-z]+_(?:scale|transform)",
    ),
    (r"sklearn\.cluster\._kmeans", r"_kmeans_single_(?:lloyd|elkan)"),
    (r"imblearn(?:\.\w+)*", _CLASS),
    (r"pandas\.(?:arrays|api\.types)", _CLASS),
    (r"pandas", r"DataFrame|Series|\w*Index|Categorical|\w*Dtype|Timestamp|Timedelta|Period|Interval|NA|DateOffset"),
    (r"pandas\._libs(?:\.\w+)*", rf"{_CLASS}|_unpickle_block|__pyx_unpickle_\w+|_nat_unpickle|_unpickle_timestamp"),
    (
        r"pandas\.core\.(?:indexes|internals|arrays|dtypes)(?:\.\w+)*",
        rf"{_CLASS}|_new_\w*Index|_unpickle_block|new_block",
    ),
    (r"pandas\.core\.(?:series|frame|generic|flags)", _CLASS),
    (r"pyarrow\.lib", r"_restore_array|py_buffer|type_for_alias|chunked_array|_rebuild\w*|\w+Type|\w*Array"),
    (r"(?:tf_)?keras(?:\.\w+)*", _CLASS),
    (r"(?:tf_)?keras\.(?:src\.)?(?:activations|losses|metrics|initializers|constraints)(?:\.\w+)*", r"[a-z]\w*"),
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
_CLASS_NAME = re.compile(_CLASS)
_METHODS = (  # the few functions of classes that a harmless file names
    (re.compile(r"zoneinfo"), re.compile(r"ZoneInfo\._unpickle")),
    (re.compile(r"scipy\.interpolate\._?interpolate"), re.compile(r"interp1d\._call_\w+")),
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
    found = {name.partition(".")[0] for name in (*MODULES, *NAMES, *BELOW)}
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
    full = f"{module}.{name}"
    if full in HARMLESS:
        return ""
    if why := next((MODULES[part] for part in _prefixes(module) if part in MODULES), ""):
        return why
    if why := NAMES.get(full) or next((BELOW[part] for part in _prefixes(full) if part in BELOW), ""):
        return why
    return REACHES if _goes_through(module, name) else ""


def _goes_through(module: str, name: str) -> bool:
    """Whether a name leads out of its module: `numpy` with `f2py.os.system`, or `__builtins__` of any module."""
    *outer, last = name.split(".")
    if last.startswith("__") and not _DUNDER.fullmatch(last):
        return True
    if not outer:
        return False
    first = _CLASS_NAME.fullmatch(outer[0]) or _is_known(module, outer[0])
    return last in BUILTINS or not first or not all(map(_CLASS_NAME.fullmatch, outer[1:]))


def _prefixes(full: str) -> list[str]:
    """Return a dotted name and those that it lies below, the shortest first."""
    parts = full.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


def _is_known(module: str, name: str) -> bool:
    """Whether a harmless list has it. Of a nested name all but the last part must be classes."""
    outer, _, last = name.rpartition(".")
    if outer and not all(re.fullmatch(_CLASS, part) for part in (*outer.split("."), last)):
        return any(m.fullmatch(module) and n.fullmatch(name) for m, n in _METHODS)
    last = last if outer else name
    return any(m.fullmatch(module) and n.fullmatch(last) for m, n in _PATTERNS)
