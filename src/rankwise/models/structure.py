"""Which part of a transformer a module is, told by its name: the names that published families use."""

from __future__ import annotations

import re

QUERY_KEY_VALUE = re.compile(
    r"(^|\.)(q_proj|k_proj|v_proj|query|key|value|q|k|v|c_attn|query_key_value|qkv_proj|W_pack)$"
)
ATTENTION_OUTPUT = re.compile(
    r"(^|\.)(o_proj|out_proj|attn\.c_proj|attention\.dense|self_attention\.dense|attention\.output\.dense)$"
)
LAST_PROJECTION = re.compile(
    r"(^|\.)(down_proj|w2|fc2|fc_out|dense_4h_to_h|wo|mlp\.c_proj)$|(?<!attention)\.output\.dense$"
)
"""The last linear layer of a feed-forward part, which reads its hidden numbers."""
