"""A tokenizer for models that ask one for the numbers of special tokens while they are built."""

from __future__ import annotations

import sys
import zlib
from typing import Any

import torch

from vllm_lint.runtime_verifier.targets.vllm_models.shrink import VOCABULARY


class _Vocabulary(dict[str, int]):
    def __missing__(self, token: str) -> int:
        return zlib.crc32(token.encode()) % VOCABULARY


class StandInTokenizer:
    """Knows every text as one token, of a number within the vocabulary."""

    vocab = _Vocabulary()
    bos_token_id, eos_token_id, pad_token_id = 1, 2, 0

    def get_vocab(self) -> dict[str, int]:
        """All tokens."""
        return self.vocab

    def convert_tokens_to_ids(self, token: str) -> int:
        """The number of a token."""
        return self.vocab[token]

    def encode(self, text: str, **options: Any) -> list[int]:
        """The numbers of a text."""
        del options
        return [self.vocab[text]]


def stand_in(cls: type[torch.nn.Module]) -> None:
    """Have the modules that define a model get this tokenizer: without a checkpoint there is no other."""

    def tokenizer(*arguments: object, **options: object) -> StandInTokenizer:
        del arguments, options
        return StandInTokenizer()

    for base in cls.__mro__:
        module = sys.modules[base.__module__]
        if hasattr(module, "cached_tokenizer_from_config"):
            module.cached_tokenizer_from_config = tokenizer  # type: ignore[attr-defined]
