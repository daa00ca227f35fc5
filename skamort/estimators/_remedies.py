"""What could help a fit: of all that can be set, what is not set so already."""

from __future__ import annotations

from ..training import Job, ResampleDead, TargetL0, TeachDead
from ._parts import is_part

SCALE_CODES = "scale the codes to the size of X, which atoms of norm 1 ask for"
# What to do about too many codes, and too few: for a price that is to be filled in.
ALPHA = "raise alpha to about {:.2g}", "lower alpha to about {:.2g}"


def remedies_of_useless(job: Job) -> str:
    """Return what to do about a fit that explains hardly more than the mean."""
    is_centered = job.net.module_.decoder.intercept is not None
    centering = ["set fit_intercept=True, or center X, where the mean is far from 0"]
    codes = "take a teacher whose codes explain X" if is_part() else SCALE_CODES
    known = [codes] * job.data.codes_known
    return _listed(
        [*known, *centering * (not is_centered), "lower learning_rate", *_more_codes(job)]
    )


def remedies_of_dead(job: Job) -> str:
    """Return what to do about latents that are dead."""
    module = job.net.module_
    callbacks = [callback for _, callback in job.net.callbacks_]
    is_looked_after = any(isinstance(c, ResampleDead | TeachDead) for c in callbacks)
    could_be = ResampleDead.requires <= module.offers
    return _listed(
        [
            *["set fit_intercept=True"] * (module.decoder.intercept is None),
            *['set dead_latents="resample"'] * (could_be and not is_looked_after),
            "lower learning_rate",
            *["take fewer n_components"] * module.decoder.dictionary.requires_grad,
            *["take a larger k"] * (module.activation.n_active is not None),
            *_more_codes(job),
        ]
    )


def remedies_of_codes(job: Job) -> tuple[str, str]:
    """Return what to do about too many codes, and about too few, where they have a price."""
    if has_target(job):
        return "lower target_l0", "raise target_l0"
    return ALPHA


def has_target(job: Job) -> bool:
    """Whether the price of codes follows their number."""
    return bool(_controllers(job))


def _controllers(job: Job) -> list[TargetL0]:
    return [callback for _, callback in job.net.callbacks_ if isinstance(callback, TargetL0)]


def _more_codes(job: Job) -> list[str]:
    """Return what makes codes cheaper, where they have a price, and training longer, where it has
    not come to its end."""
    price = getattr(job.net.criterion_, "alpha", 0) or has_target(job)
    if any(controller.is_least for controller in _controllers(job)):
        price = 0
    cheaper = [remedies_of_codes(job)[1].partition(" to ")[0]] if price else []
    return cheaper + ["raise max_iter"] * (not job.net.converged_)


def _listed(remedies: list[str]) -> str:
    *most, last = remedies
    return f"{', '.join(most)} or {last}" if most else last
