"""Named recipes: a published method is one choice per axis, with its citation.

One file per method and one line here, which makes it ``rankwise.methods.NAME`` and puts its card into the catalogue, at
the place where the line stands; one that builds on another stands below it.
"""

# isort: off
from rankwise.methods.full import full as full
from rankwise.methods.lora import lora as lora
from rankwise.methods.rslora import rslora as rslora
from rankwise.methods.olora import olora as olora
from rankwise.methods.pissa import pissa as pissa
from rankwise.methods.dora import dora as dora
from rankwise.methods.lora_plus import lora_plus as lora_plus
from rankwise.methods.adalora import adalora as adalora
from rankwise.methods.vera import vera as vera
from rankwise.methods.lora_xs import lora_xs as lora_xs
from rankwise.methods.lora_fa import lora_fa as lora_fa
from rankwise.methods.milora import milora as milora
from rankwise.methods.corda import corda as corda
from rankwise.methods.eva import eva as eva
from rankwise.methods.lora_ga import lora_ga as lora_ga
from rankwise.methods.ia3 import ia3 as ia3
from rankwise.methods.bitfit import bitfit as bitfit
from rankwise.methods.qlora import qlora as qlora
from rankwise.methods.loftq import loftq as loftq
from rankwise.methods.qpissa import qpissa as qpissa
from rankwise.methods.relora import relora as relora
from rankwise.methods.cola import cola as cola
from rankwise.methods.xgblora import xgblora as xgblora
from rankwise.methods.delta_lora import delta_lora as delta_lora
from rankwise.methods.dylora import dylora as dylora
from rankwise.methods.prilora import prilora as prilora
from rankwise.methods.sora import sora as sora
from rankwise.methods.roselora import roselora as roselora
from rankwise.methods.sparse_adapter import sparse_adapter as sparse_adapter
from rankwise.methods.lora_drop import lora_drop as lora_drop
from rankwise.methods.galore import galore as galore
from rankwise.methods.flora_gc import flora_gc as flora_gc
from rankwise.methods.riemannian_lora import riemannian_lora as riemannian_lora
from rankwise.methods.bilora import bilora as bilora
from rankwise.methods.dora_dyn import dora_dyn as dora_dyn
from rankwise.methods.aflora import aflora as aflora
from rankwise.methods.dropbp import dropbp as dropbp
from rankwise.methods.hidden_key import hidden_key as hidden_key
from rankwise.methods.loretta import loretta as loretta
from rankwise.methods.trilora import trilora as trilora
from rankwise.methods.flora_core import flora_core as flora_core
from rankwise.methods.lotr import lotr as lotr
from rankwise.methods.nola import nola as nola
from rankwise.methods.tied_lora import tied_lora as tied_lora
from rankwise.methods.vb_lora import vb_lora as vb_lora
from rankwise.methods.melora import melora as melora
from rankwise.methods.deep_lora import deep_lora as deep_lora
from rankwise.methods.loha import loha as loha
from rankwise.methods.lokr import lokr as lokr
from rankwise.methods.oft import oft as oft
from rankwise.methods.boft import boft as boft
from rankwise.methods.hra import hra as hra
from rankwise.methods.fourierft import fourierft as fourierft
from rankwise.methods.miss import miss as miss
from rankwise.methods.sam_parser import sam_parser as sam_parser
from rankwise.methods.svdiff import svdiff as svdiff
from rankwise.methods.spectral_adapter import spectral_adapter as spectral_adapter
from rankwise.methods.ssl import ssl as ssl
from rankwise.methods.ssb import ssb as ssb
from rankwise.methods.init_b import init_b as init_b
from rankwise.methods.asymmetric_lora import asymmetric_lora as asymmetric_lora
from rankwise.methods.mica import mica as mica
from rankwise.methods.bottleneck import bottleneck as bottleneck
from rankwise.methods.loretta_adapter import loretta_adapter as loretta_adapter
from rankwise.methods.ln_tuning import ln_tuning as ln_tuning
from rankwise.methods.prompt_tuning import prompt_tuning as prompt_tuning
from rankwise.methods.p_tuning import p_tuning as p_tuning
from rankwise.methods.diff_pruning import diff_pruning as diff_pruning
from rankwise.methods.prefix_tuning import prefix_tuning as prefix_tuning
from rankwise.methods.hybrid import hybrid as hybrid
from rankwise.methods.longlora import longlora as longlora
# isort: on

import typing

from rankwise.methods.card import Card as Card
from rankwise.methods.cards import build as build
from rankwise.methods.cards import card as card
from rankwise.methods.cards import catalogue as catalogue
from rankwise.methods.placement_names import placement as placement

# Called as rankwise.methods.lora(ranks=8), a method refuses the option like everywhere else, with the nearest name.
globals().update({found.name: found.build for found in catalogue()})

if not typing.TYPE_CHECKING:  # a type checker knows which names there are

    def __getattr__(name: str) -> typing.Any:
        from rankwise.errors import no_attribute

        raise no_attribute(__name__, name, (card.name for card in catalogue()))


PUBLIC = (
    "card",
    "compatibility_table",
    "dora",
    "event_names",
    "lora",
    "rate_rule",
    "taxonomy",
)
"""Modules that other rooms import."""
