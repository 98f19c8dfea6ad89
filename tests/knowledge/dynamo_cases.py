"""Forwards that use what the interpreter's tables of untraceable names speak of, and look-alikes that are traced."""

from __future__ import annotations

from collections.abc import Iterator

from vllm_lint.analyzer import untraceable

#: Arguments of functions that Dynamo looks into before it breaks, so that it finds no fault with the call itself.
ARGUMENTS = {
    "bisect.bisect_left": "[1, 2], 2",
    "copy.copy": "{1: 2}",
    "os.path.exists": "'/x'",
    "os.path.isfile": "'/x'",
    "os.path.isdir": "'/x'",
    "os.makedirs": "'/x/y'",
    "inspect.getsource": "torch.add",
    "warnings.simplefilter": "'ignore'",
    "warnings.filterwarnings": "'ignore'",
    "warnings.warn": "'said'",
    "torch.distributed.broadcast": "x, 0",
    "torch.distributed.isend": "x, 0",
    "torch.distributed.irecv": "x, 0",
    "torch.distributed.batch_isend_irecv": "[]",
    "torch.distributed.all_gather_object": "[None], x",
    "torch.distributed.broadcast_object_list": "[x]",
    "torch.distributed.gather_object": "x",
    "torch.distributed.scatter_object_list": "[None], [x]",
    "importlib.import_module": "'json'",
    "os.environ.pop": "'HOME'",
    "os.environ.update": "{'A': 'b'}",
    "torch.quantize_per_channel": "x, torch.ones(8), torch.zeros(8), 1, torch.quint8",
    "torch.quantize_per_tensor_dynamic": "x, torch.quint8, False",
    "torch.utils.dlpack.to_dlpack": "x",
    "torch.from_dlpack": "x",
    "contextlib.redirect_stdout": "None",
    "contextlib.closing": "open('/dev/null')",
    "re.finditer": "'a', 'ab'",
    "contextlib.redirect_stderr": "None",
    "torch.manual_seed": "0",
    "torch.set_num_threads": "2",
}
#: Calls that stand for whole packages.
OF_PACKAGES = {
    "sys.stdout.": ("sys.stdout.write('said')", "sys.stdout.flush()"),
    "sys.stderr.": ("sys.stderr.write('said')",),
    "logging.": ("logging.info('said')", "logging.getLogger('name')", "logging.warning('said')"),
    "time.": ("time.time()", "time.perf_counter()", "time.monotonic_ns()", "time.sleep(0)", "time.strftime('%Y')"),
    "subprocess.": ("subprocess.run(['true'])", "subprocess.check_output(['true'])", "subprocess.Popen(['true'])"),
    "tempfile.": ("tempfile.mkdtemp()", "tempfile.NamedTemporaryFile()", "tempfile.TemporaryDirectory()"),
    "uuid.": ("uuid.uuid4()", "uuid.uuid1()", "uuid.getnode()"),
    "gc.": ("gc.collect()", "gc.disable()", "gc.get_count()"),
    "pickle.": ("pickle.dumps(1)", "pickle.loads(b'N.')"),
    "hashlib.": ("hashlib.sha256(b'a')", "hashlib.md5(b'a')", "hashlib.new('sha1')"),
    "zlib.": ("zlib.crc32(b'a')", "zlib.compress(b'a')"),
    "bisect.": ("bisect.bisect_left([1, 2], 2)", "bisect.insort([1], 2)"),
    "traceback.": ("traceback.print_stack()", "traceback.format_stack()", "traceback.extract_stack()"),
    "json.": ("json.dumps({'a': 1})", "json.loads('{}')"),
    "datetime.": ("datetime.datetime.now()", "datetime.date.today()", "datetime.timedelta(1)"),
    "contextvars.": ("contextvars.copy_context()", "contextvars.ContextVar('name')"),
    "ctypes.": ("ctypes.sizeof(ctypes.c_int)", "ctypes.CDLL(None)", "ctypes.create_string_buffer(2)"),
    "torch.sparse.": ("torch.sparse.mm(torch.eye(8).to_sparse(), torch.eye(8))", "torch.sparse.sum(x)"),
    "torch.cuda.nvtx.": ("torch.cuda.nvtx.range_push('part')",),
    "torch.utils.dlpack.": ("torch.utils.dlpack.to_dlpack(x)",),
}
#: Calls whose result is traced, and cannot be used.
WITH_USE = {"torch.quantize_per_tensor": ("torch.quantize_per_tensor(x, 0.1, 0, torch.quint8).dequantize()",)}
#: What is seen on a GPU or between processes only, and why.
ELSEWHERE = {
    "torch.cuda.": "without a GPU some of it is traced, and the rest fails for want of one; measured on a GPU",
    "torch.distributed.": "what it does depends on the process group; without one Dynamo finds none",
}

#: Forwards that look like those that break, and are captured as one graph.
LOOK_ALIKES = {
    "randint": "return x * random.randint(1, 3)",
    "uniform": "return x * random.uniform(1, 3)",
    "math.prod": "return x.view(math.prod(x.shape))",
    "math.sqrt": "return x / math.sqrt(x.shape[-1])",
    "math.log2 of a constant": "return x * math.log(8)",
    "re": "return x + 1 if re.match('a', 'ab') else x",
    "os.path.join": "return x + len(os.path.join('a', 'b'))",
    "os.environ.get": "return x + 1 if os.environ.get('ABSENT') is None else x",
    "os.getenv": "return x + 1 if os.getenv('ABSENT') is None else x",
    "sys.platform": "return x + 1 if sys.platform == 'linux' else x",
    "itertools": "return sum((x for _ in itertools.chain([1], [2])), x)",
    "functools.reduce": "return functools.reduce(operator.add, [x, x])",
    "operator": "return operator.mul(x, 2)",
    "copy of an object": "return x + copy.deepcopy({'a': 1})['a']",
    "dict.copy": "return x + {'a': 1}.copy()['a']",
    "warning that is not given": "if torch.jit.is_scripting(): warnings.warn('said')\nreturn x + 1",
    "print that is not reached": "if torch.jit.is_scripting(): print('said')\nreturn x + 1",
    "log that is not reached": "if torch.jit.is_scripting(): logging.info('said')\nreturn x + 1",
    "is_exporting": "if torch.compiler.is_exporting(): print('said')\nreturn x + 1",
    "is_tracing": "if torch.jit.is_tracing(): print('said')\nreturn x + 1",
    "is_compiling": "if not torch.compiler.is_compiling(): print('said')\nreturn x + 1",
    "is_dynamo_compiling": "if not torch.compiler.is_dynamo_compiling(): print('said')\nreturn x + 1",
    "suppress": "with contextlib.suppress(ValueError):\n    x = x + 1\nreturn x",
    "nullcontext": "with contextlib.nullcontext():\n    x = x + 1\nreturn x",
    "no_grad": "with torch.no_grad():\n    x = x + 1\nreturn x",
    "autocast": "with torch.autocast('cpu'):\n    x = x + 1\nreturn x",
    "format of a shape": "f'{x.shape}'\nreturn x + 1",
    "str.format of a size": "'{}'.format(x.shape[0])\nreturn x + 1",
    "item": "return x * x.sum().item()",
    "nonzero": "return x.nonzero()",
    "isinstance": "return x + 1 if isinstance(x.shape[0], int) else x",
    "getattr": "return getattr(x, 'abs')()",
    "np.arange": "return x + np.arange(8).sum()",
    "sorted numbers": "return x + sorted([2, 1])[0]",
    "divmod of numbers": "return x + divmod(7, 2)[0]",
    "round of a number": "return x + round(1.5)",
    "enum of a string": "return x + string.ascii_letters.index('b')",
}

#: Arithmetic on the number of tokens `n`: what a capture makes of it, and the rule that tells about it, if any does.
SIZES = {
    "math.log(n)": ("specialised", "VL202"),
    "math.log10(n)": ("specialised", "VL202"),
    "math.pow(n, 2)": ("specialised", "VL202"),
    "np.log(n)": ("specialised", "VL202"),
    "np.prod(x.shape)": ("specialised", "VL202"),
    "n.bit_length()": ("specialised", "VL202"),
    "operator.index(n)": ("specialised", "VL202"),
    "len(f'{n}')": ("specialised", "VL202"),
    "len([0 for _ in range(n)])": ("specialised", "VL202"),
    "len(list(range(n)))": ("specialised", "VL202"),
    "{256: 1}.get(n, 2)": ("specialised", "VL202"),
    "hash(n)": ("specialised", "VL202"),
    "torch.as_tensor(n)": ("specialised", "VL202"),
    "torch.linspace(0, 1, n).sum()": ("specialised", "VL202"),
    "len(x.unbind(0))": ("specialised", "VL202"),
    "len([0] * n)": ("specialised", "VL202"),
    "divmod(n, 8)[0]": ("GB0088", "VL105"),
    "len('%d' % n)": ("GB0088", "VL103"),
    "math.gcd(n, 8)": ("GB0208", "VL105"),
    "math.isqrt(n)": ("GB0208", "VL105"),
    "len(str(n))": ("GB0059", "VL103"),
    "len(repr(n))": ("GB6053", "VL103"),
    "sorted([n, 16])[0]": ("GB0207", "VL105"),
    "hex(n) and 1": ("GB0059", "VL105"),
    "n // 2": ("captured", ""),
    "n % 8": ("captured", ""),
    "-(-n // 8)": ("captured", ""),
    "n << 1": ("captured", ""),
    "n ^ 1": ("captured", ""),
    "int(n)": ("captured", ""),
    "float(n)": ("captured", ""),
    "n / 2": ("captured", ""),
    "int(n / 2)": ("captured", ""),
    "round(n / 2)": ("captured", ""),
    "math.sqrt(n)": ("captured", ""),
    "math.log2(n)": ("captured", ""),
    "math.cos(n)": ("captured", ""),
    "math.ceil(n / 3)": ("captured", ""),
    "math.prod(x.shape)": ("captured", ""),
    "min(n, 512)": ("captured", ""),
    "max(n, 4)": ("captured", ""),
    "sum([n, 1])": ("captured", ""),
    "abs(n)": ("captured", ""),
    "x.numel()": ("captured", ""),
    "len(x)": ("captured", ""),
    "torch.tensor(n)": ("captured", ""),
    "torch.arange(n).sum()": ("captured", ""),
    "int(n > 64)": ("guarded", "VL201"),
    "(1 if n > 64 else 2)": ("guarded", "VL201"),
    "(1 if n % 8 else 2)": ("guarded", "VL201"),
    "(1 if n & (n - 1) else 2)": ("guarded", "VL201"),
    "len(x.split(64))": ("guarded", "VL204"),
    "torch.arange(n).view(-1, 4).sum()": ("guarded", "VL204"),
}

#: The oldest torch that was found to trace a look-alike or to treat a size so, where torch 2.11 does not.
SINCE = {"re": "2.13", "copy of an object": "2.13", "hash(n)": "2.13", "is_exporting": "2.13"}


def calls() -> Iterator[tuple[str, str, str, str]]:
    """What breaks the graph where it is called: its name and id in the tables, the call, and a forward around it."""
    for kind, names in untraceable.BY_NAME.items():
        for name, number in names.items():
            if name.startswith(tuple(ELSEWHERE)):
                continue
            plain = (f"{name}({ARGUMENTS.get(name, '')})",)
            for call in OF_PACKAGES[name] if name.endswith(".") else WITH_USE.get(name, plain):
                body = f"y = {call}\nreturn x, y"
                if kind == "context manager":
                    body = f"with {call}:\n    x = x + 1\nreturn x"
                yield name, number, call, body
