"""Contract: the candidate answers what its interface allows, and the serving path refuses what it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface, Scalar, Task
from roadworthy.domain.system import OnViolation
from roadworthy.domain.verdict import Judgement
from roadworthy.gates.cells import broken, json_rows, spaced
from roadworthy.gates.judging import answers, failed, finite, judged, passed
from roadworthy.gates.measures import score
from roadworthy.manifest.defaults_v1 import GATE_PARAMETERS
from roadworthy.ports.gate import Rows, Trial
from roadworthy.ports.runtime import Outputs

_OK: Final = 200
_BAD_JSON: Final = 400
_UNPROCESSABLE: Final = 422
_SERVER_ERROR: Final = 500
_NAMED: Final = 5
_UNSEEN: Final = "a category that no row has"
_BEYOND: Final = 1e6


@dataclass(frozen=True, slots=True)
class Probe:
    """One request that breaks one rule of one field; `allowed` are the answers that refuse it as they should."""

    field: str
    rule: str
    row: Mapping[str, Scalar]
    allowed: tuple[int, ...]


class ContractGate:
    """Holds the candidate, the rows it was trained on, and a real worker against the declared interface."""

    name: ClassVar[str] = "contract"
    needs: ClassVar[str] = "valid answers to valid rows, and a refusal that names field and rule for all others"
    defaults: ClassVar[Mapping[str, Any]] = GATE_PARAMETERS["contract"]

    def judge(self, trial: Trial, parameters: Mapping[str, Any]) -> Judgement:
        """Pass when the data keep the interface, the model answers them, and bad requests are refused."""
        return judged(self._judge, trial, {**self.defaults, **parameters})

    def _judge(self, trial: Trial, given: Mapping[str, Any]) -> Judgement:
        interface = trial.system.content.interface
        reference, holdout = trial.reference(), trial.holdout()
        problems: list[str] = []
        evidence: dict[str, Any] = {"rows": reference.n + holdout.n}
        for where, rows in (("the reference rows", reference), ("the hold-out rows", holdout)):
            problems += _wrong_outputs(interface, answers(trial.predict, rows.columns, where), rows.n, where)
        share, rules, good = _kept(interface, reference, holdout)
        evidence |= {"broken_share": finite(share), "broken": rules, "most_broken": given["most_broken"]}
        if share > float(given["most_broken"]):
            problems.append(f"{share:.1%} of the training data break the interface: {_worst(rules)}")
        problems += self._over_http(trial, holdout, good, int(given["rows"]), evidence)
        if problems:
            return failed("; ".join(problems), evidence)
        probes = evidence["probes"]
        reason = f"{evidence['rows']:,} rows answered, {evidence['served']} over HTTP; {probes} bad requests refused"
        return passed(reason, evidence)

    def _over_http(
        self, trial: Trial, holdout: Rows, good: NDArray[np.bool_], most: int, evidence: dict[str, Any]
    ) -> list[str]:
        """Send valid rows and rows that break one rule each through a real worker."""
        interface = trial.system.content.interface
        index = np.flatnonzero(good)
        index = index[spaced(len(index), max(1, most // 4))]
        evidence |= {"served": len(index), "probes": 0}
        if not len(index):
            return ["no hold-out row keeps the interface, so nothing could be served"]
        valid = json_rows(holdout.columns, interface.inputs, index)
        refused = [reply for reply in trial.serve(valid) if reply.get("status") != _OK or reply.get("fallback")]
        probes = list(_probes(interface, valid[0], trial.system.policy.serve.on_violation))[:most]
        replies = trial.serve([probe.row for probe in probes])
        wrong = [
            f"{probe.field} ({probe.rule}): {reply.get('status')}"
            for probe, reply in zip(probes, replies, strict=True)
            if reply.get("status") not in probe.allowed
        ]
        evidence |= {"probes": len(probes), "not_refused": wrong[:_NAMED], "valid_refused": len(refused)}
        found = [f"{len(refused)} of {len(index)} valid rows were not answered over HTTP"] if refused else []
        if wrong:
            shown = ", ".join(wrong[:_NAMED])
            found.append(f"{len(wrong)} of {len(probes)} bad requests were not refused as they should: {shown}")
        return found


def _wrong_outputs(interface: Interface, outputs: Outputs, n: int, where: str) -> list[str]:
    """Say what about the answers the interface does not allow."""
    numbers = score(interface, outputs)
    if len(numbers) != n:
        return [f"{n} answers are due on {where}, {len(numbers)} came"]
    if not np.isfinite(numbers).all():
        return [f"{int((~np.isfinite(numbers)).sum())} answers on {where} are not finite"]
    if interface.task is Task.REGRESSION:
        return []
    unknown = set(np.asarray(outputs["label"], dtype=object).tolist()) - set(interface.labels)
    if unknown:
        return [f"{len(unknown)} labels answered on {where} are none of the interface's"]
    outside = int(((numbers < 0) | (numbers > 1)).sum())
    return [f"{outside} probabilities on {where} lie outside 0..1"] if outside else []


def _kept(interface: Interface, *tables: Rows) -> tuple[float, dict[str, int], NDArray[np.bool_]]:
    """Return the share of rows that break a rule, how many break each, and which of the last table keep them all."""
    rules: dict[str, int] = {}
    bad, total, good = 0, 0, np.ones(0, dtype=np.bool_)
    for rows in tables:
        good = np.ones(rows.n, dtype=np.bool_)
        for field in interface.inputs:
            if field.name not in rows.columns:
                continue
            for rule, where in broken(field, np.asarray(rows.columns[field.name])).items():
                name = f"{field.name}: {rule}"
                rules[name] = rules.get(name, 0) + int(where.sum())
                good &= ~where
        bad, total = bad + int((~good).sum()), total + rows.n
    return (bad / total if total else 0.0), rules, good


def _worst(rules: Mapping[str, int]) -> str:
    ordered = sorted(rules.items(), key=lambda item: -item[1])[:_NAMED]
    return ", ".join(f"{name} in {count:,} rows" for name, count in ordered)


def _probes(interface: Interface, valid: Mapping[str, Scalar], policy: OnViolation) -> Iterator[Probe]:
    """Yield requests that are valid but for one rule of one field; features first, they reach the model."""
    # A policy of `default` or `flag` answers a broken row on purpose; a server error is wrong under any.
    lenient = () if policy is OnViolation.REJECT else (_OK,)
    refusals = (_UNPROCESSABLE, *lenient)
    for field in sorted(interface.inputs, key=lambda field: field.role is not FieldRole.FEATURE):
        if field.required:
            without = {name: value for name, value in valid.items() if name != field.name}
            yield Probe(field.name, "missing", without, refusals)
        if not field.nullable and field.required:
            yield Probe(field.name, "null", {**valid, field.name: None}, refusals)
        for rule, value in _bad_values(field):
            # NaN is no JSON at all, so 400 is as good a refusal.
            allowed = (*refusals, _BAD_JSON) if rule == "NaN" else refusals
            yield Probe(field.name, rule, {**valid, field.name: value}, allowed)


def _bad_values(field: Field) -> Sequence[tuple[str, Scalar]]:
    number = field.type in (FieldType.NUMBER, FieldType.INTEGER)
    found: list[tuple[str, Scalar]] = [("type", "no number" if number else 7.5)]
    if field.type is FieldType.STRING and field.categories:
        found.append(("category", _UNSEEN))
    if number:
        found.append(("NaN", float("nan")))
        if field.minimum is not None:
            found.append(("minimum", _past(field, field.minimum, -1)))
        if field.maximum is not None:
            found.append(("maximum", _past(field, field.maximum, 1)))
    return found


def _past(field: Field, end: float, direction: int) -> Scalar:
    value = end + direction * (abs(end) + 1) * _BEYOND
    return int(value) if field.type is FieldType.INTEGER else value
