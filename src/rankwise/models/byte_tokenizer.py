"""A tokenizer of the 256 bytes, built in code: any text, any language, no file, no network."""

from __future__ import annotations

from typing import Any

START, END = "<|im_start|>", "<|im_end|>"
VOCABULARY = 258  # 256 bytes, START, END

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_tokenizer() -> Any:
    """Build a ``PreTrainedTokenizerFast``: id = byte value, then 256 ``<|im_start|>`` and 257 ``<|im_end|>``.

    End and padding are both ``<|im_end|>``, as in the default model, so that masking by pad id shows up in
    tests. It has a minimal ChatML template and maps offsets: each byte of a character points to the character.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {character: byte for byte, character in enumerate(_printable_bytes())}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in (START, END)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        chat_template=CHATML,
        clean_up_tokenization_spaces=False,
    )


def _printable_bytes() -> list[str]:
    """Spell each byte as ByteLevel does: printable ones as themselves, the rest shifted past 255 in order."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    shifted = (chr(256 + n) for n in range(256))
    return [chr(byte) if byte in printable else next(shifted) for byte in range(256)]
