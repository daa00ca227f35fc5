"""What encoders are judged by: recovery, reconstruction, sparsity, and the amortization gap."""

from ._amortization import amortization_gap
from ._flops import flops
from ._gap import AmortizationGap
from ._ksparse_gap import KSparseAmortizationGap
from ._monosemanticity import latent_variance, semantic_consistency, sources_per_latent
from ._probes import class_difference, probe_loss
from ._reconstruction import fraction_variance_unexplained, sparse_coding_objective
from ._recoverability import mutual_coherence, recovery_boundary
from ._recovery import dictionary_mcc, latent_mcc, stability
from ._scorers import neg_dead_fraction, neg_l0, neg_objective
from ._shrinkage import reconstruction_bias, reconstruction_slope
from ._sparsity import dead_fraction, mean_l0

__all__ = [
    "AmortizationGap",
    "KSparseAmortizationGap",
    "amortization_gap",
    "class_difference",
    "dead_fraction",
    "dictionary_mcc",
    "flops",
    "fraction_variance_unexplained",
    "latent_mcc",
    "latent_variance",
    "mean_l0",
    "mutual_coherence",
    "neg_dead_fraction",
    "neg_l0",
    "neg_objective",
    "probe_loss",
    "reconstruction_bias",
    "reconstruction_slope",
    "recovery_boundary",
    "semantic_consistency",
    "sources_per_latent",
    "sparse_coding_objective",
    "stability",
]
