"""Names that a model file has no business importing, and what each could do.

A list of what is dangerous is never complete: what stands in no list at all is unknown, which is not clean either.
The names are those that public scanners were beaten with, and what reads the same in the standard library.
"""

from __future__ import annotations

RUNS = "runs programs"
CODE = "runs Python code"
REACHES = "reaches any attribute or function by its name"
LOADS = "loads code or unpickles more"
FILES = "reads, writes or removes files"
NET = "opens connections"
CARRIES = "the file carries Python code"
CALLS = "calls what it is given"


def _each(why: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), why)


MODULES: dict[str, str] = {  # whole modules, with all below them
    **_each(RUNS, "os posix nt subprocess _posixsubprocess commands popen2 pty multiprocessing pdb bdb distutils"),
    **_each(RUNS, "setuptools pip venv ensurepip platform _osx_support _aix_support _pyrepl mailcap"),
    **_each(RUNS, "pexpect psutil fabric invoke multiprocess pathos gunicorn uvicorn"),
    **_each(CODE, "code codeop timeit trace profile cProfile doctest runpy idlelib lib2to3 asyncio threading _thread"),
    **_each(CODE, "sched atexit signal concurrent unittest test pytest _pytest nose turtledemo turtle tkinter site"),
    **_each(CODE, "modulefinder rlcompleter sysconfig cgitb IPython jinja2 mako numexpr"),
    **_each(CODE, "Cython jsonpickle antigravity"),
    **_each(LOADS, "importlib imp _imp _frozen_importlib _frozen_importlib_external pkgutil pkg_resources zipimport"),
    **_each(LOADS, "pydoc ctypes _ctypes cffi pickle _pickle cPickle marshal shelve dbm logging.config yaml ruamel"),
    **_each(REACHES, "operator _operator functools _functools inspect gc sys"),
    **_each(
        FILES, "shutil tempfile io _io _pyio fileinput glob mmap sqlite3 zipfile tarfile linecache codecs gzip bz2"
    ),
    **_each(FILES, "lzma tokenize logging.handlers mailbox compileall py_compile zipapp fcntl resource faulthandler"),
    **_each(FILES, "tracemalloc readline fsspec smart_open"),
    **_each(NET, "socket _socket ssl http httplib urllib urllib2 urllib3 ftplib smtplib smtpd poplib imaplib nntplib"),
    **_each(NET, "requests aiohttp httpx telnetlib xmlrpc webbrowser socketserver wsgiref asyncore asynchat paramiko"),
    **_each(CARRIES, "types cloudpickle dill new pyspark.cloudpickle ray.cloudpickle srsly.cloudpickle"),
}

HARMLESS = frozenset({"types.SimpleNamespace"})  # in such a module: it holds attributes, and calls nothing

BUILTINS = {
    **_each(CODE, "eval exec execfile compile breakpoint input help"),
    **_each(LOADS, "__import__ __build_class__ reload"),
    **_each(REACHES, "getattr setattr delattr globals locals vars apply super"),
    **_each(FILES, "open file"),
    **_each(CALLS, "map filter iter"),
}
NAMES: dict[str, str] = {
    **{f"builtins.{name}": why for name, why in BUILTINS.items()},
    **_each(LOADS, "numpy.load numpy.lib.npyio.load numpy.lib._npyio_impl.load joblib.load joblib.numpy_pickle.load"),
    **_each(
        LOADS,
        "pandas.read_pickle pandas.compat.pickle_compat.load pandas.read_hdf skops.io.load keras.models.load_model",
    ),
    **_each(LOADS, "torch.load torch.jit.load torch.jit._serialization.load torch.serialization.load nltk.data.load"),
    **_each(LOADS, "mlflow.pyfunc.load_model mlflow.sklearn.load_model tensorflow.keras.models.load_model"),
    **_each(LOADS, "werkzeug.utils.import_string django.utils.module_loading.import_string"),
    **_each(CODE, "pandas.eval pandas.DataFrame.query pandas.DataFrame.eval sklearn.utils._testing.run_string"),
    **_each(CODE, "typing._eval_type typing.get_type_hints typing.ForwardRef gettext.c2py sympy.sympify"),
    **_each(CODE, "dataclasses._create_fn dataclasses.make_dataclass sympy.parsing.sympy_parser.parse_expr"),
    **_each(CODE, "torch.jit.unsupported_tensor_ops.execWrapper"),
    **_each(CALLS, "numpy.frompyfunc numpy.apply_along_axis numpy.apply_over_axes numpy.piecewise numpy.fromfunction"),
    **_each(CALLS, "itertools.starmap sklearn.metrics.pairwise._parallel_pairwise"),
    **_each(CALLS, "sklearn.metrics.pairwise._pairwise_callable"),
    **_each(REACHES, "sklearn.feature_selection._base.attrgetter numpy.core._ufunc_reconstruct copyreg.add_extension"),
    **_each(REACHES, "sklearn.feature_selection._base._get_feature_importances numpy._core._ufunc_reconstruct"),
    **_each(REACHES, "copyreg.pickle copyreg.constructor"),
    **_each(RUNS, "uuid._get_command_stdout uuid._popen"),
    **_each(FILES, "numpy.save numpy.savez numpy.savez_compressed numpy.savetxt numpy.fromfile numpy.loadtxt"),
    **_each(FILES, "numpy.genfromtxt numpy.ndarray.tofile numpy.ndarray.dump joblib.dump torch.save torch.from_file"),
    **_each(FILES, "torch.PyTorchFileWriter torch.PyTorchFileReader torch._C.PyTorchFileWriter logging.FileHandler"),
    **_each(FILES, "torch._C.PyTorchFileReader pandas.read_csv pandas.HDFStore pandas.DataFrame.to_pickle"),
    **_each(FILES, "pathlib.Path.unlink pathlib.Path.rmdir pathlib.Path.open pathlib.Path.rename pathlib.Path.chmod"),
    **_each(FILES, "pathlib.Path.write_text pathlib.Path.write_bytes pathlib.Path.replace pathlib.Path.symlink_to"),
    **_each(NET, "lightgbm.compat.Client sklearn.callback._transport.Client sklearn.callback._transport.Listener"),
    **_each(CARRIES, "torch.fx.graph_module.reduce_graph_module torch.fx.graph_module.reduce_package_graph_module"),
}
BELOW: dict[str, str] = {  # modules of harmless packages, with all that is below them
    **_each(CODE, "numpy.testing torch.utils.bottleneck torch.utils.benchmark torch._dynamo torch.testing torch.fx"),
    **_each(CODE, "pandas.core.computation joblib.memory joblib.Memory joblib.func_inspect"),
    **_each(CALLS, "joblib.parallel joblib.Parallel joblib._parallel_backends"),
    **_each(RUNS, "numpy.f2py numpy.distutils torch.utils.cpp_extension torch.utils.collect_env torch.multiprocessing"),
    **_each(RUNS, "torch._inductor scipy.weave"),
    **_each(LOADS, "numpy.ctypeslib torch.hub torch.utils._config_module torch.utils.data.datapipes torch.ops"),
    **_each(LOADS, "torch.classes torch._classes torch._ops torch.package torch.utils.model_zoo torch.export"),
    **_each(LOADS, "torch._export torch.utils.model_dump keras.saving keras.src.saving keras.utils"),
    **_each(LOADS, "keras.src.utils keras.config keras.src.backend.config statsmodels.iolib"),
    **_each(FILES, "pandas.io numpy.lib.npyio numpy.lib._npyio_impl numpy.lib._datasource numpy.lib.format"),
    **_each(FILES, "numpy.DataSource tensorflow.io joblib.numpy_pickle_utils"),
    **_each(NET, "torch.distributed sklearn.datasets"),
    **_each(CARRIES, "joblib.externals sklearn.externals.joblib.externals"),
}
