"""The evaluator of saliency: densities against recorded fixations."""

from __future__ import annotations

from typing import Any

from reverie.evaluation.eval_config import EvalConfig
from reverie.evaluation.evaluators_base import SplitEvaluator, training_data_notes
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource


class SaliencyEvaluator(SplitEvaluator):
    """Compares with the fixations of a split."""

    max_default_n, max_quick_n = 1_000, 32

    def evaluate(
        self, result: Evaluation, source: SampleSource, config: EvalConfig, method_options: dict[str, Any]
    ) -> None:
        """The method's own scores."""
        method, n = source.method, config.n or self.default_n(source, config.full)
        assert method is not None
        result.notes += training_data_notes(source, self.data)
        result.scores += list(method.method_scores(self.data, n, config.seed, **method_options))
