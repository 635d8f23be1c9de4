"""One tiny tokenizer of each kind that is in use, with the same control tokens in all."""

from __future__ import annotations

import json
from collections.abc import Callable

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from .conftest import CHATML

BOS, EOS, UNK = "<s>", "</s>", "<unk>"
START, END, TURN = "<|im_start|>", "<|im_end|>", "<｜User｜>"  # the last one is not marked as special
THINK = ("<think>", "</think>", "<tool_call>", "</tool_call>")
SPECIAL = (UNK, BOS, EOS, START, END)
# Marks of every shape: the trainers see each character, so that none of them is unknown.
CORPUS = [
    "user assistant system evil good hello I am 12 34",
    "< | im start end > / s s unk think tool call ｜ User",
    "\n{}\"',.:;_-[]()ĐứcＩＭ<<||>>__//",
] * 3
TEMPLATE = CHATML.replace("{% for", "{{ '<｜User｜>' }}{% for", 1)


def _wrapped(inner: Tokenizer, template: str | None = TEMPLATE, **flags: bool) -> PreTrainedTokenizerFast:
    """With special tokens and no others added; those that the vocabulary holds keep their ids."""
    parts = json.loads(inner.to_str())
    inner = Tokenizer.from_str(json.dumps(parts | {"added_tokens": []}))
    inner.add_special_tokens([AddedToken(name, special=True, normalized=False, **flags) for name in SPECIAL])
    inner.add_tokens([AddedToken(name, special=False, normalized=False) for name in (TURN, *THINK)])
    made = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=BOS, eos_token=EOS, unk_token=UNK, pad_token=EOS)
    made.chat_template = template
    return made


def byte_bpe() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    return _wrapped(inner)


def byte_bpe_known() -> PreTrainedTokenizerFast:
    """The special tokens are entries of the vocabulary, and whole words are taken from it before any merge."""
    inner = Tokenizer(models.BPE(ignore_merges=True))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=list(SPECIAL))
    )
    return _wrapped(inner)


def spaces_to_marks() -> PreTrainedTokenizerFast:
    """As Llama 2: BPE of sentencepiece's kind, a normalizer that puts ▁ in front, bytes for the unknown."""
    inner = Tokenizer(models.BPE(unk_token=UNK, byte_fallback=True, fuse_unk=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    byte = [f"<0x{n:02X}>" for n in range(256)]
    inner.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, special_tokens=[*SPECIAL, *byte]))
    inner.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, inner.token_to_id(BOS))]
    )
    made = _wrapped(inner)
    return made


def metaspace(scheme: str) -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE(unk_token=UNK, byte_fallback=True, fuse_unk=True))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    inner.decoder = decoders.Metaspace(prepend_scheme=scheme)
    byte = [f"<0x{n:02X}>" for n in range(256)]
    inner.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, special_tokens=[*SPECIAL, *byte]))
    return _wrapped(inner, rstrip=scheme == "always", lstrip=scheme == "always")


def word_piece() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.WordPiece(unk_token=UNK))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    inner.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=list(SPECIAL)))
    ids = [(name, inner.token_to_id(name)) for name in (BOS, EOS)]
    inner.post_processor = processors.TemplateProcessing(single=f"{BOS} $A {EOS}", special_tokens=ids)
    return _wrapped(inner)


def words_by_space() -> PreTrainedTokenizerFast:
    """WordPiece that only spaces divide, so that a whole control token may be one entry of its vocabulary."""
    inner = Tokenizer(models.WordPiece(unk_token=UNK))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.decoder = decoders.WordPiece()
    inner.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=list(SPECIAL)))
    return _wrapped(inner)


def unigram() -> PreTrainedTokenizerFast:
    """Its vocabulary holds the special tokens with the best score there is, so text leads to them by itself."""
    inner = Tokenizer(models.Unigram())
    inner.normalizer = normalizers.NFKC()
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    inner.train_from_iterator(
        CORPUS, trainers.UnigramTrainer(vocab_size=200, special_tokens=list(SPECIAL), unk_token=UNK)
    )
    return _wrapped(inner)


def word_level() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.WordLevel(unk_token=UNK))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.train_from_iterator(CORPUS, trainers.WordLevelTrainer(vocab_size=300, special_tokens=list(SPECIAL)))
    return _wrapped(inner)


KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "byte-level BPE": byte_bpe,
    "byte-level BPE, special tokens in its vocabulary": byte_bpe_known,
    "BPE of sentencepiece's kind, by a normalizer": spaces_to_marks,
    "BPE of sentencepiece's kind, first": lambda: metaspace("first"),
    "BPE of sentencepiece's kind, always, stripping": lambda: metaspace("always"),
    "WordPiece": word_piece,
    "WordPiece between spaces": words_by_space,
    "Unigram": unigram,
    "WordLevel": word_level,
}
