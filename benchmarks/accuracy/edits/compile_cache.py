"""Edits for the rules about the key of the compile cache. No capture shows what another start would load."""

from __future__ import annotations

from functools import partial

from benchmarks.accuracy.edits.edit import bad as any_bad
from benchmarks.accuracy.edits.edit import good

bad = partial(any_bad, only_static="a capture says nothing of the cache")

_IF_SET = "if self.planted:\n    {x} = {x} * 2"
_CURRENT = "from vllm.config import get_current_vllm_config\n"
_OPTIONS = "import dataclasses\nimport hashlib\n\n\n@dataclasses.dataclass\nclass planted_options:\n"
_HASHED = "        return hashlib.sha256({factors}.encode()).hexdigest()\n\n\n"
_CHOSEN = (
    "planted_chosen: planted_options = planted_options()\n\n\n"
    "def planted_choose(options):\n    global planted_chosen\n    planted_chosen = options\n\n\n"
)
_OF_GRAPH = (
    "from torch._inductor.custom_graph_pass import CustomGraphPass\n\n\nclass planted_pass(CustomGraphPass):\n"
    "    def __init__(self, limit):\n        self.limit = limit{mark}\n\n"
    "    def __call__(self, graph):\n        for node in list(graph.nodes)[: self.limit]:\n"
    "            node.meta.clear()\n\n"
    "    def uuid(self):\n        return {uuid}\n\n\nplanted_passes = [planted_pass(3), planted_pass(4)]\n\n\n"
)

COMPILE_CACHE = (
    bad("VL501", "attribute", _IF_SET, init="import os\nself.planted = os.environ.get('PLANTED') == '1'  # here"),
    bad(
        "VL501",
        "factor of the module",
        "{x} = {x} * _planted",
        top="import os\n\n_planted = float(os.getenv('PLANTED_SCALE', '1'))  # here\n\n\n",
    ),
    bad(
        "VL501",
        "choice of a function",
        "{x} = _planted({x})",
        top="import os\n\nif 'PLANTED' in os.environ:  # here\n    _planted = torch.relu\n"
        "else:\n    _planted = torch.abs\n\n\n",
    ),
    good(
        "VL501", "rank", "{x} = {x} + self.planted", init="import os\nself.planted = int(os.environ.get('RANK', '0'))"
    ),
    good(
        "VL501",
        "only raises",
        "",
        init="import os\nif os.environ.get('PLANTED') == 'strict':\n    raise ValueError('planted')",
    ),
    good(
        "VL501",
        "name",
        "",
        init="import os\nself.planted = os.environ.get('PLANTED_FOLDER', '') + '/weights'",
    ),
    bad(
        "VL502",
        "seed",
        _IF_SET,
        init=_CURRENT + "self.planted = get_current_vllm_config().model_config.seed == 1  # here",
        provider="vllm",
    ),
    bad(
        "VL502",
        "memory",
        "{x} = {x} * self.planted",
        init=_CURRENT + "planted = get_current_vllm_config()\n"
        "self.planted = planted.cache_config.gpu_memory_utilization  # here",
        provider="vllm",
    ),
    bad(
        "VL502",
        "own options",
        "{x} = {x} * 2 if planted_chosen.exact else {x}  # here",
        top=_OPTIONS + "    exact: bool = False\n    tile: int = 8\n\n    def compute_hash(self):\n"
        "        ignored = {'exact'}\n        fields = [f for f in dataclasses.fields(self) if f.name not in ignored]\n"
        "        factors = {f.name: getattr(self, f.name) for f in fields}\n"
        + _HASHED.replace("{factors}", "repr(factors)")
        + _CHOSEN,
    ),
    good(
        "VL502",
        "dtype",
        _IF_SET,
        init=_CURRENT + "self.planted = get_current_vllm_config().model_config.dtype == torch.float16",
        provider="vllm",
    ),
    good(
        "VL502",
        "own options that are hashed",
        "{x} = {x} * 2 if planted_chosen.exact else {x}",
        top=_OPTIONS
        + "    exact: bool = False\n    tile: int = 8\n\n    def compute_hash(self):\n"
        + _HASHED.replace("{factors}", "repr(dataclasses.asdict(self))")
        + _CHOSEN,
    ),
    bad(
        "VL503",
        "a field left out",
        "",
        top=_OPTIONS
        + "    exact: bool = False\n    tile: int = 8\n\n    def compute_hash(self) -> str:  # here\n"
        + _HASHED.replace("{factors}", "str(self.tile)"),
    ),
    bad(
        "VL503",
        "always the same",
        "",
        top=_OPTIONS
        + "    exact: bool = False\n\n    def compute_hash(self) -> str:  # here\n        return 'planted'\n\n\n",
    ),
    good(
        "VL503",
        "all fields by name",
        "",
        top=_OPTIONS
        + "    exact: bool = False\n    tile: int = 8\n\n    def compute_hash(self) -> str:\n"
        + _HASHED.replace("{factors}", "f'{self.tile} {self.exact}'"),
    ),
    bad("VL504", "constant", "", top=_OF_GRAPH.replace("{mark}", "  # here").replace("{uuid}", "'planted'")),
    bad(
        "VL504",
        "its source",
        "",
        top="import inspect\n"
        + _OF_GRAPH.replace("{mark}", "  # here").replace("{uuid}", "inspect.getsource(type(self)).encode()"),
    ),
    good("VL504", "its argument", "", top=_OF_GRAPH.replace("{mark}", "").replace("{uuid}", "f'planted {self.limit}'")),
    bad(
        "VL505",
        "processors",
        "{x} = {x}.chunk(_planted, -1)[0].sum() + {x}",
        top="import os\n\n_planted = (os.cpu_count() or 1) % 3 + 1  # here\n\n\n",
    ),
    bad(
        "VL505",
        "kind of machine",
        _IF_SET,
        init="import platform\nself.planted = platform.machine() == 'arm64'  # here",
    ),
    bad("VL505", "threads", _IF_SET, init="self.planted = torch.get_num_threads() > 8  # here"),
    good("VL505", "for loading", "", init="import os\nself.planted = [None] * (os.cpu_count() or 1)"),
    good("VL505", "GPU", _IF_SET, init="self.planted = torch.cuda.is_available()"),
)
