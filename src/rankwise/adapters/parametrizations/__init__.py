"""Axis *parametrization*: what shape the update has. One file per choice, one line here."""

from rankwise.adapters.axis import register
from rankwise.adapters.parametrizations.base import Delta, Drop, Factors, Host, Parametrization, Shapes, project
from rankwise.adapters.parametrizations.bias_shift import BiasShift
from rankwise.adapters.parametrizations.blocks import Blocks
from rankwise.adapters.parametrizations.bottleneck import Bottleneck
from rankwise.adapters.parametrizations.butterfly import Butterfly
from rankwise.adapters.parametrizations.core import Core
from rankwise.adapters.parametrizations.deep import Deep
from rankwise.adapters.parametrizations.diagonal import Diagonal
from rankwise.adapters.parametrizations.encoded_prompt import EncodedPrompt
from rankwise.adapters.parametrizations.feature_scaled import FeatureScaled
from rankwise.adapters.parametrizations.fourier import Fourier
from rankwise.adapters.parametrizations.gains import Gains
from rankwise.adapters.parametrizations.gated import Gated
from rankwise.adapters.parametrizations.hadamard import Hadamard
from rankwise.adapters.parametrizations.householder import Householder
from rankwise.adapters.parametrizations.hybrid import Hybrid
from rankwise.adapters.parametrizations.ia3 import IA3
from rankwise.adapters.parametrizations.kronecker import Kronecker
from rankwise.adapters.parametrizations.long_context import LongContext
from rankwise.adapters.parametrizations.low_rank import LowRank
from rankwise.adapters.parametrizations.masked_difference import MaskedDifference
from rankwise.adapters.parametrizations.norm_tuning import NormTuning
from rankwise.adapters.parametrizations.orthogonal_blocks import OrthogonalBlocks
from rankwise.adapters.parametrizations.prefix import Prefix
from rankwise.adapters.parametrizations.pseudo_singular import PseudoSingular
from rankwise.adapters.parametrizations.random_basis import RandomBasis
from rankwise.adapters.parametrizations.shards import Shards
from rankwise.adapters.parametrizations.shared_core import SharedCore
from rankwise.adapters.parametrizations.slices import Slices
from rankwise.adapters.parametrizations.soft_prompt import SoftPrompt
from rankwise.adapters.parametrizations.spectral import Spectral
from rankwise.adapters.parametrizations.spectrum import Spectrum
from rankwise.adapters.parametrizations.stacks import ExpertLowRank
from rankwise.adapters.parametrizations.tensor_train import TensorTrain
from rankwise.adapters.parametrizations.tensor_train_bottleneck import TensorTrainBottleneck
from rankwise.adapters.parametrizations.tied import Tied
from rankwise.adapters.parametrizations.vector_bank import VectorBank
from rankwise.adapters.parametrizations.vera import VeRA
from rankwise.adapters.parametrizations.weight_decomposed import WeightDecomposed
from rankwise.adapters.parametrizations.whole_matrix import WholeMatrix

PARAMETRIZATIONS = register(
    LowRank,
    WeightDecomposed,
    Diagonal,
    Core,
    VeRA,
    IA3,
    BiasShift,
    PseudoSingular,
    TensorTrain,
    RandomBasis,
    Tied,
    SharedCore,
    VectorBank,
    Blocks,
    Hadamard,
    Kronecker,
    OrthogonalBlocks,
    Butterfly,
    Householder,
    Fourier,
    Shards,
    Spectrum,
    Spectral,
    Gains,
    Bottleneck,
    TensorTrainBottleneck,
    NormTuning,
    Slices,
    SoftPrompt,
    Prefix,
    Gated,
    WholeMatrix,
    FeatureScaled,
    Hybrid,
    LongContext,
    ExpertLowRank,
    Deep,
    EncodedPrompt,
    MaskedDifference,
)

__all__ = [
    "IA3",
    "PARAMETRIZATIONS",
    "BiasShift",
    "Blocks",
    "Bottleneck",
    "Butterfly",
    "Core",
    "Deep",
    "Delta",
    "Diagonal",
    "Drop",
    "EncodedPrompt",
    "ExpertLowRank",
    "Factors",
    "FeatureScaled",
    "Fourier",
    "Gains",
    "Gated",
    "Hadamard",
    "Host",
    "Householder",
    "Hybrid",
    "Kronecker",
    "LongContext",
    "LowRank",
    "MaskedDifference",
    "NormTuning",
    "OrthogonalBlocks",
    "Parametrization",
    "Prefix",
    "PseudoSingular",
    "RandomBasis",
    "Shapes",
    "Shards",
    "SharedCore",
    "Slices",
    "SoftPrompt",
    "Spectral",
    "Spectrum",
    "TensorTrain",
    "TensorTrainBottleneck",
    "Tied",
    "VeRA",
    "VectorBank",
    "WeightDecomposed",
    "WholeMatrix",
    "project",
]
