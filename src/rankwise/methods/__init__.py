"""Named recipes: a published method is one choice per axis, with its citation. One file per method."""

from __future__ import annotations

import inspect
from typing import Any

from rankwise.adapters import Adapter, Full
from rankwise.errors import UsageError, unknown
from rankwise.methods import adalora as _adalora
from rankwise.methods import aflora as _aflora
from rankwise.methods import asymmetric_lora as _asymmetric_lora
from rankwise.methods import bilora as _bilora
from rankwise.methods import bitfit as _bitfit
from rankwise.methods import boft as _boft
from rankwise.methods import bottleneck as _bottleneck
from rankwise.methods import cola as _cola
from rankwise.methods import corda as _corda
from rankwise.methods import deep_lora as _deep_lora
from rankwise.methods import delta_lora as _delta_lora
from rankwise.methods import diff_pruning as _diff_pruning
from rankwise.methods import dora as _dora
from rankwise.methods import dora_dyn as _dora_dyn
from rankwise.methods import dropbp as _dropbp
from rankwise.methods import dylora as _dylora
from rankwise.methods import eva as _eva
from rankwise.methods import flora_core as _flora_core
from rankwise.methods import flora_gc as _flora_gc
from rankwise.methods import fourierft as _fourierft
from rankwise.methods import full as _full
from rankwise.methods import galore as _galore
from rankwise.methods import hidden_key as _hidden_key
from rankwise.methods import hra as _hra
from rankwise.methods import hybrid as _hybrid
from rankwise.methods import ia3 as _ia3
from rankwise.methods import init_b as _init_b
from rankwise.methods import ln_tuning as _ln_tuning
from rankwise.methods import loftq as _loftq
from rankwise.methods import loha as _loha
from rankwise.methods import lokr as _lokr
from rankwise.methods import longlora as _longlora
from rankwise.methods import lora as _lora
from rankwise.methods import lora_drop as _lora_drop
from rankwise.methods import lora_fa as _lora_fa
from rankwise.methods import lora_ga as _lora_ga
from rankwise.methods import lora_plus as _lora_plus
from rankwise.methods import lora_xs as _lora_xs
from rankwise.methods import loretta as _loretta
from rankwise.methods import loretta_adapter as _loretta_adapter
from rankwise.methods import lotr as _lotr
from rankwise.methods import melora as _melora
from rankwise.methods import mica as _mica
from rankwise.methods import milora as _milora
from rankwise.methods import miss as _miss
from rankwise.methods import nola as _nola
from rankwise.methods import oft as _oft
from rankwise.methods import olora as _olora
from rankwise.methods import p_tuning as _p_tuning
from rankwise.methods import pissa as _pissa
from rankwise.methods import prefix_tuning as _prefix_tuning
from rankwise.methods import prilora as _prilora
from rankwise.methods import prompt_tuning as _prompt_tuning
from rankwise.methods import qlora as _qlora
from rankwise.methods import qpissa as _qpissa
from rankwise.methods import relora as _relora
from rankwise.methods import riemannian_lora as _riemannian_lora
from rankwise.methods import roselora as _roselora
from rankwise.methods import rslora as _rslora
from rankwise.methods import sam_parser as _sam_parser
from rankwise.methods import sora as _sora
from rankwise.methods import sparse_adapter as _sparse_adapter
from rankwise.methods import spectral_adapter as _spectral_adapter
from rankwise.methods import ssb as _ssb
from rankwise.methods import ssl as _ssl
from rankwise.methods import svdiff as _svdiff
from rankwise.methods import tied_lora as _tied_lora
from rankwise.methods import trilora as _trilora
from rankwise.methods import vb_lora as _vb_lora
from rankwise.methods import vera as _vera
from rankwise.methods import xgblora as _xgblora
from rankwise.methods.card import Card
from rankwise.methods.placing import placement

_METHODS = (
    _full,
    _lora,
    _rslora,
    _olora,
    _pissa,
    _dora,
    _lora_plus,
    _adalora,
    _vera,
    _lora_xs,
    _lora_fa,
    _milora,
    _corda,
    _eva,
    _lora_ga,
    _ia3,
    _bitfit,
    _qlora,
    _loftq,
    _qpissa,
    _relora,
    _cola,
    _xgblora,
    _delta_lora,
    _dylora,
    _prilora,
    _sora,
    _roselora,
    _sparse_adapter,
    _lora_drop,
    _flora_gc,
    _galore,
    _riemannian_lora,
    _bilora,
    _dora_dyn,
    _aflora,
    _dropbp,
    _hidden_key,
    _loretta,
    _trilora,
    _flora_core,
    _deep_lora,
    _lotr,
    _nola,
    _tied_lora,
    _vb_lora,
    _melora,
    _loha,
    _lokr,
    _oft,
    _boft,
    _hra,
    _fourierft,
    _miss,
    _sam_parser,
    _svdiff,
    _spectral_adapter,
    _ssl,
    _ssb,
    _init_b,
    _asymmetric_lora,
    _mica,
    _bottleneck,
    _loretta_adapter,
    _ln_tuning,
    _prompt_tuning,
    _p_tuning,
    _diff_pruning,
    _prefix_tuning,
    _hybrid,
    _longlora,
)
_CARDS = tuple(module.CARD for module in _METHODS)

adalora = _adalora.adalora
aflora = _aflora.aflora
bilora = _bilora.bilora
bitfit = _bitfit.bitfit
cola = _cola.cola
asymmetric_lora = _asymmetric_lora.asymmetric_lora
bitfit = _bitfit.bitfit
boft = _boft.boft
bottleneck = _bottleneck.bottleneck
corda = _corda.corda
deep_lora = _deep_lora.deep_lora
delta_lora = _delta_lora.delta_lora
diff_pruning = _diff_pruning.diff_pruning
dora = _dora.dora
dora_dyn = _dora_dyn.dora_dyn
dropbp = _dropbp.dropbp
dylora = _dylora.dylora
eva = _eva.eva
flora_gc = _flora_gc.flora_gc
full = _full.full
galore = _galore.galore
flora_core = _flora_core.flora_core
fourierft = _fourierft.fourierft
full = _full.full
hidden_key = _hidden_key.hidden_key
hra = _hra.hra
hybrid = _hybrid.hybrid
ia3 = _ia3.ia3
init_b = _init_b.init_b
ln_tuning = _ln_tuning.ln_tuning
loftq = _loftq.loftq
loha = _loha.loha
lokr = _lokr.lokr
longlora = _longlora.longlora
lora = _lora.lora
lora_drop = _lora_drop.lora_drop
lora_fa = _lora_fa.lora_fa
lora_ga = _lora_ga.lora_ga
lora_plus = _lora_plus.lora_plus
lora_xs = _lora_xs.lora_xs
loretta = _loretta.loretta
loretta_adapter = _loretta_adapter.loretta_adapter
lotr = _lotr.lotr
melora = _melora.melora
mica = _mica.mica
milora = _milora.milora
miss = _miss.miss
nola = _nola.nola
oft = _oft.oft
olora = _olora.olora
p_tuning = _p_tuning.p_tuning
pissa = _pissa.pissa
prilora = _prilora.prilora
prefix_tuning = _prefix_tuning.prefix_tuning
prompt_tuning = _prompt_tuning.prompt_tuning
qlora = _qlora.qlora
qpissa = _qpissa.qpissa
relora = _relora.relora
riemannian_lora = _riemannian_lora.riemannian_lora
roselora = _roselora.roselora
rslora = _rslora.rslora
sora = _sora.sora
sparse_adapter = _sparse_adapter.sparse_adapter
sam_parser = _sam_parser.sam_parser
spectral_adapter = _spectral_adapter.spectral_adapter
ssb = _ssb.ssb
ssl = _ssl.ssl
svdiff = _svdiff.svdiff
tied_lora = _tied_lora.tied_lora
trilora = _trilora.trilora
vb_lora = _vb_lora.vb_lora
vera = _vera.vera
xgblora = _xgblora.xgblora

__all__ = [
    "Card",
    "adalora",
    "aflora",
    "asymmetric_lora",
    "bilora",
    "bitfit",
    "boft",
    "bottleneck",
    "build",
    "catalogue",
    "cola",
    "corda",
    "deep_lora",
    "delta_lora",
    "diff_pruning",
    "dora",
    "dora_dyn",
    "dropbp",
    "dylora",
    "eva",
    "flora_core",
    "flora_gc",
    "fourierft",
    "full",
    "galore",
    "hidden_key",
    "hra",
    "hybrid",
    "ia3",
    "init_b",
    "ln_tuning",
    "loftq",
    "loha",
    "lokr",
    "longlora",
    "lora",
    "lora_drop",
    "lora_fa",
    "lora_ga",
    "lora_plus",
    "lora_xs",
    "loretta",
    "loretta_adapter",
    "lotr",
    "melora",
    "mica",
    "milora",
    "miss",
    "nola",
    "oft",
    "olora",
    "p_tuning",
    "pissa",
    "placement",
    "prefix_tuning",
    "prilora",
    "prompt_tuning",
    "qlora",
    "qpissa",
    "relora",
    "riemannian_lora",
    "roselora",
    "rslora",
    "sam_parser",
    "sora",
    "sparse_adapter",
    "spectral_adapter",
    "ssb",
    "ssl",
    "svdiff",
    "tied_lora",
    "trilora",
    "vb_lora",
    "vera",
    "xgblora",
]


def catalogue() -> tuple[Card, ...]:
    """Return the card of every method."""
    return _CARDS


def card(name: str) -> Card:
    """Return one method's card.

    Raises:
        UsageError: unknown name, with near misses.
    """
    for found in _CARDS:
        if found.name == name:
            return found
    raise unknown("method", name, (c.name for c in _CARDS))


def build(name: str, **options: Any) -> Adapter | Full:
    """Build a method's spec by catalogue name, for instance ``build("olora", rank=16)``.

    Raises:
        UsageError: an unknown method, an option the method does not take, or an illegal value.
    """
    found = card(name)
    accepted = inspect.signature(found.build).parameters
    for option in options:
        if option not in accepted:
            takes = ", ".join(accepted) or "no options"
            raise UsageError(f"method {name!r} has no option {option!r}; it takes {takes}.")
    return found.build(**options)
