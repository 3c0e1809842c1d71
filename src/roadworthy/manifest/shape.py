"""The shape of `system.yaml`: which keys there are, of which type. What they mean together is judged in `resolve`.

Each field's description is the text of the JSON Schema and of the reference page. All top-level keys are optional
here, so that one missing key does not hide the other mistakes; `resolve` says which ones a system needs.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from roadworthy.domain.budget import Budget
from roadworthy.domain.condition import Condition
from roadworthy.manifest import conditions, stages, units

Text = Annotated[str, Field(max_length=2000)]
Line = Annotated[str, Field(min_length=1, max_length=400, pattern=r"^[^\r\n]*$")]


def _schema(json: dict[str, Any]) -> Any:
    class _As:
        @classmethod
        def __get_pydantic_json_schema__(cls, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
            return dict(json)

    return _As


DURATION_EXAMPLES: Final = ["50ms", "5m", "26h", "7d"]
Duration = Annotated[
    int,
    BeforeValidator(units.duration),
    _schema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(us|ms|s|m|h|d)$", "examples": DURATION_EXAMPLES}),
]
Share = Annotated[
    float, BeforeValidator(units.share), _schema({"type": ["string", "number"], "examples": ["2%", 0.02]})
]
Money = Annotated[
    tuple[int, str],
    BeforeValidator(units.money),
    _schema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?[A-Z]{3}$", "examples": ["1000 EUR"]}),
]
Size = Annotated[
    int, BeforeValidator(units.size), _schema({"type": ["string", "integer"], "examples": ["1MB", "64KiB"]})
]


def _condition(value: object, info: ValidationInfo) -> Condition:
    if not isinstance(value, str):
        raise ValueError("a condition is text, such as errors > 2% for 5m")  # noqa: TRY004 (pydantic collects ValueError)
    return conditions.parse(value, info.context)


When = Annotated[
    Any,
    BeforeValidator(_condition),
    _schema({"type": "string", "examples": ["errors > 2% for 5m", "no_data(quality) for 3d"]}),
]
Stage = Annotated[
    Any,
    BeforeValidator(stages.parse_stage),
    _schema({"type": ["string", "object"], "examples": ["full", {"canary": "10% for 500 records and 100 outcomes"}]}),
]


def _scalar(value: object) -> object:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise ValueError("must be text, a number, true, false or nothing")


def _parameters(value: object) -> object:
    if value is None or value is True:
        return {}
    if value is False or value == "off":
        return "off"
    if isinstance(value, dict):
        return value  # pyright: ignore[reportUnknownVariableType]
    raise ValueError("must hold parameters, such as p99_ms: 50")


Scalar = Annotated[Any, BeforeValidator(_scalar), _schema({"type": ["string", "number", "boolean", "null"]})]
GateParameters = Annotated[Any, BeforeValidator(_parameters), _schema({"type": ["object", "null"]})]


class Shape(BaseModel):
    """Strict: unknown keys and wrong types are findings. `SHORTHANDS` names the key that a bare text stands for."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _from_shorthand(cls, value: Any) -> Any:
        short = SHORTHANDS.get(cls.__name__)
        if short is None or isinstance(value, dict):
            return value  # pyright: ignore[reportUnknownVariableType]
        wanted = list if short == "rules" else str
        return {short: cast("Any", value)} if isinstance(value, wanted) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        full = handler(core)
        short = SHORTHANDS.get(cls.__name__)
        if short is None:
            return full
        plain = {"type": "array"} if short == "rules" else {"type": "string"}
        return {"anyOf": [{**plain, "description": f"short for {short}"}, full]}


SHORTHANDS: Final = {
    "OwnerShape": "contact",
    "DecisionShape": "what",
    "DataShape": "table",
    "GoalShape": "text",
    "IndexShape": "files",
    "NonGoalShape": "text",
    "ScoreShape": "suite",
    "FailureShape": "rules",
}


class OwnerShape(Shape):
    """Who answers for the system. A bare text is the contact; the name is then its part before the @."""

    name: Line | None = Field(default=None, description="The principal's id, as it appears in the ledger.")
    contact: Line | None = Field(default=None, description="Where the owner is reached.")
    backup: Line | None = Field(default=None, description="Who is paged when the owner is gone.")
    backup_contact: Line | None = Field(default=None, description="Where the backup is reached.")


class DecisionShape(Shape):
    """What the answers decide, and how much care that asks for. A bare text is `what`."""

    what: Text = Field(default="", description="The decision that the answers support, in words.")
    tier: Literal["low", "standard", "high"] = Field(default="low", description="How much depends on it.")
    cost_of_failure: Money | None = Field(default=None, description="What one failure costs; rates incidents.")
    sponsor: Line | None = Field(default=None, description="Who wants the system.")


class DataShape(Shape):
    """The table a release is trained and judged on. A bare text is `table`."""

    table: Line | None = Field(default=None, description="A Parquet or CSV file in the project's folder.")
    target: Line = Field(default="target", description="The column to predict.")
    time: Line | None = Field(default=None, description="The column of times: the hold-out is then the newest rows.")
    entity: Line | None = Field(default=None, description="The column that says whom or what a row is about.")
    holdout: Share = Field(default=0.2, description="The share of rows kept apart to judge by.")


class GoalShape(Shape):
    """What the system is for. A bare text is `text`."""

    text: Text = Field(description="The goal in words; terms in backticks must stand in the glossary.")
    measured_by: list[Line] = Field(default_factory=list, description="Gates or objectives that measure it.")


class NonGoalShape(Shape):
    """What the system must not be used for. A bare text is `text`."""

    text: Text = Field(description="The forbidden use in words.")
    purpose: Line | None = Field(default=None, description="Calls that state this purpose are refused and logged.")


class AssumptionShape(Shape):
    """Something believed of the world, and the bad case that shows it false."""

    text: Text = Field(description="The assumption in words.")
    when: When = Field(description="The condition that must not come true; it becomes an objective of the same id.")


class BreakerShape(Shape):
    """When a failing release is left alone for a while."""

    errors: Share = Field(default=0.5, description="The share of failed calls that opens the breaker.")
    window: int = Field(default=20, ge=1, le=10_000, description="Over how many calls.")
    cool_down: Duration = Field(default=5_000_000, description="How long it stays open.")


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _budget(value: object) -> Budget:
    return units.budget(value)


BudgetText = Annotated[
    Any, BeforeValidator(_budget), _schema({"type": "string", "examples": ["20 USD per day", "1 USD per day per key"]})
]


class PriceShape(Shape):
    """What a million tokens cost."""

    input: Money = Field(description="A million tokens of the question.")
    output: Money = Field(description="A million tokens of the answer.")
    cached_input: Money | None = Field(default=None, description="A million tokens that the provider had cached.")
    per_call: Money | None = Field(default=None, description="Each call, whatever its tokens.")
    version: Line = Field(default="manifest", description="The price list it is from; records name it.")


class PinShape(Shape):
    """A model at a provider, fixed as far as one can."""

    provider: Literal["openai", "anthropic", "gguf"] = Field(description="The protocol it is spoken to with.")
    model: Line | None = Field(default=None, description="The model's name there.")
    url: Line | None = Field(
        default=None, description="The base address of its API, such as https://api.openai.com/v1."
    )
    file: Line | None = Field(default=None, description="For gguf: the model's file in the project, or a package's.")
    key: Line | None = Field(default=None, description="Where its secret is: env:NAME or file:path. Never the secret.")
    version: Line | None = Field(default=None, description="The model name that its answers must carry.")
    region: Line | None = Field(default=None, description="Where it is, for people.")
    allows: list[Line] = Field(default_factory=list[str], description="Data classes that may be sent there.")
    otherwise: Literal["mask", "pass"] = Field(default="mask", description="Other classes: masked or passed over.")
    price: PriceShape | None = Field(default=None, description="What it costs; known prices need not be stated.")
    context: int = Field(default=8192, ge=64, le=10_000_000, description="The most tokens it reads.")
    max_output: int = Field(default=1024, ge=1, le=1_000_000, description="The most tokens it writes.")
    parameters: dict[str, Scalar] = Field(default_factory=dict, description="Parameters of its own.")
    lookup: bool = Field(default=False, description="Whether its books can be asked for the usage of one call.")
    probes: Line | None = Field(default=None, description="A file of prompts, one a line, that show a hidden change.")


class IndexShape(Shape):
    """The passages that answers rest on. A bare text is `files`."""

    files: Annotated[list[Line], BeforeValidator(_listed)] = Field(
        description="Files of the project, such as docs/**/*.md."
    )
    words: int = Field(default=120, ge=20, le=2000, description="The most words of a passage.")
    overlap: int = Field(default=0, ge=0, le=1000, description="Words that neighbours share.")
    top: int = Field(default=4, ge=1, le=50, description="How many passages reach the prompt.")
    embed: Line | None = Field(default=None, description="minilm, or an ONNX file. Without it: words only.")
    abstain: Share | Literal["never"] = Field(default=0.05, description="Answerable questions turned away.")


class ServeShape(Shape):
    """Limits of the serving path."""

    deadline: Duration = Field(default=250_000, description="How long an answer may take before the fallback answers.")
    max_in_flight: int = Field(default=256, ge=1, le=65_536, description="Requests at once in a worker.")
    max_body: Size = Field(default=1_048_576, description="The largest request body.")
    on_violation: Literal["reject", "default", "flag"] = Field(
        default="reject", description="What becomes of a bad request."
    )
    default: dict[str, Scalar] | None = Field(default=None, description="The answer when nothing else can.")
    breaker: BreakerShape = Field(default_factory=BreakerShape, description="The circuit breaker.")
    fallback: list[Line] | None = Field(
        default=None, description="Who answers instead: previous, baseline, default; for kind llm also pins."
    )
    budgets: list[BudgetText] = Field(default_factory=list, description="Caps, such as 20 USD per day [per key].")
    cap_per_call: Money | None = Field(default=None, description="The most that one call may cost.")
    tries: int = Field(default=2, ge=1, le=10, description="How often a pin is asked before the next one is.")
    cache: Duration = Field(default=0, description="How long an answer is given again to the same question; 0s: never.")


class ScoreShape(Shape):
    """Which live answers are scored by the scorers of a suite. A bare text is `suite`."""

    suite: Line = Field(description="A suite file; what it asks of `all` answers, and its cases where questions match.")
    share: Share = Field(default=0.1, description="The share of answers that is scored, chosen by their ids.")
    judge_budget: Money | None = Field(default=None, description="What judges may cost a day; none without it.")


class WatchShape(Shape):
    """What is observed, and which conditions must not come true."""

    objectives: dict[str, When] = Field(default_factory=dict, description="Name → the bad case.")
    harm_margin: Share = Field(default=0.05, description="How much worse than promised is not yet harm.")
    harm_alpha: Share = Field(default=0.0001, description="The chance that one run of a harm test is a false alarm.")
    window: Duration = Field(default=300_000_000, description="The span a monitor looks at.")
    drift_window: Duration = Field(default=604_800_000_000, description="The span that drift is judged over.")
    drill_every: Duration = Field(default=7_776_000_000_000, description="After how long a drill is stale.")
    probe_every: Duration | None = Field(default=None, description="Kind llm: how often pins are probed.")
    probe_budget: BudgetText | None = Field(default=None, description="Kind llm: what probing may cost a day.")
    score: ScoreShape | None = Field(default=None, description="Kind llm: which live answers are scored, and by what.")


class RuleShape(Shape):
    """From a breach to actions."""

    when: Line = Field(description="The name of an objective, or a condition, which becomes one.")
    do: list[Line] = Field(description="Actions in order. An empty list opens an incident and does nothing else.")


class FailureShape(Shape):
    """The failure plan. A bare list is `rules`."""

    rules: list[RuleShape] = Field(default_factory=list[RuleShape], description="Rules from breach to actions.")
    cool_down: Duration = Field(default=3_600_000_000, description="At most one automatic rollback within this time.")
    pager: list[Line] | None = Field(default=None, description="Where pages go: file:…, https://…, http://127.0.0.1:….")
    runbook: Line | None = Field(default=None, description="A page for whoever is woken.")


class KeepShape(Shape):
    """What is kept."""

    payload: bool = Field(default=True, description="Whether inputs and outputs are kept in the records.")
    mask: list[Literal["secrets", "pii"]] | None = Field(
        default=None, description="Kind llm: what is masked before anything is kept. Both by default."
    )


class WaiverShape(Shape):
    """A dated, named exception to one gate."""

    gate: Line = Field(description="Which gate.")
    by: Line = Field(description="Who takes the responsibility.")
    why: Line = Field(description="Why.")
    until: Line = Field(description="The day it ends, such as 2026-12-31.")


class ManifestShape(Shape):
    """A system: its content (what is released) and its policy (how it is owned, released, watched, recovered)."""

    roadworthy: int | None = Field(default=None, description="The schema version.")
    system: Line | None = Field(default=None, description="The system's name: small letters, digits and hyphens.")
    kind: Line | None = Field(default=None, description="What it is: model or llm.")
    owner: OwnerShape | None = Field(default=None, description="Who answers for it and is paged.")
    decision: DecisionShape | None = Field(default=None, description="What the answers decide.")
    use: Line | None = Field(default=None, description="The prototype: .skops, .onnx or .py; for llm a pin.")
    data: DataShape | None = Field(default=None, description="The table it is trained and judged on.")
    baseline: Line | None = Field(default=None, description="The simple rival and fallback: .sql, .md or passage.")
    interface: Line | None = Field(default=None, description="The file of typed inputs.")
    code: list[Line] | None = Field(default=None, description="Files and folders whose bytes are part of the recipe.")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="The seed handed to training.")
    parameters: dict[str, Scalar] = Field(default_factory=dict, description="Parameters handed to training.")
    prompt: Line | None = Field(default=None, description="Kind llm: the prompt's template.")
    pins: dict[str, PinShape] = Field(default_factory=dict, description="Kind llm: name → a model at a provider.")
    index: IndexShape | None = Field(default=None, description="Kind llm: the passages that answers rest on.")
    guards: dict[str, GateParameters] = Field(default_factory=dict, description="Kind llm: guard → its parameters.")
    tools: Line | None = Field(default=None, description="Kind llm: a JSON file of tools, as OpenAI's API takes them.")
    output_schema: Line | None = Field(default=None, description="Kind llm: a JSON Schema that answers must have.")
    trust: list[Line] = Field(default_factory=list[str], description="Types that a skops file may hold.")
    goals: dict[str, GoalShape] = Field(default_factory=dict, description="G1, G2, …")
    non_goals: dict[str, NonGoalShape] = Field(default_factory=dict, description="N1, N2, …")
    assumptions: dict[str, AssumptionShape] = Field(default_factory=dict, description="A1, A2, …")
    glossary: dict[str, Text] = Field(default_factory=dict, description="Term → what it means here.")
    gates: dict[str, GateParameters] = Field(default_factory=dict, description="Gate → its parameters.")
    serve: ServeShape = Field(default_factory=ServeShape, description="Limits of the serving path.")
    rollout: list[Stage] | None = Field(default=None, description="The stages a release goes through.")
    watch: WatchShape = Field(default_factory=WatchShape, description="What is observed.")
    failure: FailureShape = Field(default_factory=FailureShape, description="What happens when it fails.")
    keep: KeepShape = Field(default_factory=KeepShape, description="What is kept.")
    waivers: list[WaiverShape] = Field(default_factory=list[WaiverShape], description="Dated exceptions to gates.")
