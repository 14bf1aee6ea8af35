"""What the API answers about service levels and the board: models, and how each is made of what the pages show.

Refuses to ask and to work out anything. Called by `collector.web.routes_api`.
"""

from __future__ import annotations

from datetime import datetime

from collector.episode_runs import EpisodeAccount
from collector.web.api import Answer
from collector.web.board import Board
from collector.web.level_view import LevelView
from collector.web.standing import Day, Level
from slo.burn import Cause, TierBurn
from slo.burn_tiers import Severity
from slo.window import MINUTES_PER_DAY, instant_of_minute

__all__ = [
    "BoardAnswer",
    "DayAnswer",
    "LevelDetailAnswer",
    "LevelsAnswer",
    "TargetsAnswer",
    "board_answer",
    "day_answer",
    "detail_answer",
    "level_answer",
]


class FactAnswer(Answer):
    """A label and what there is to say."""

    label: str
    text: str


class DayAnswer(Answer):
    """What a UTC day of the window cost, of how many."""

    day: str
    bad: int
    total: int
    unknown: int
    excluded: int


class BurnRateAnswer(Answer):
    """A tier of the line's alerts: the burn rates of its windows (null: nothing conclusive in it). `cause`: why it is on."""

    severity: Severity
    long_minutes: int
    short_minutes: int
    long_burn: float | None
    short_burn: float | None
    cause: Cause | None


class LevelAnswer(Answer):
    """How a service level stands. `contract` is how the plain count stands, `verdict` what the evidence proves.

    Without a score there is a `reason`. `unit` is what budget is counted in. Shares are from 0 to 1; `left_share` is below 0
    for an overspent budget.
    """

    line: str
    name: str
    title: str
    tier: str
    window: str
    from_at: datetime | None
    until_at: datetime | None
    phase: str | None
    verdict: str | None
    contract: str
    sli: float | None
    unit: str | None
    allowed: float | None
    bad: int | None
    left_share: float | None
    burn: list[BurnRateAnswer]
    is_burning: bool
    reason: str
    facts: list[FactAnswer]
    notes: list[str]
    days: list[DayAnswer]


class LevelsAnswer(Answer):
    """All service levels of a target."""

    as_of: datetime | None
    target: str
    headline: str
    levels: list[LevelAnswer]


class EpisodeRun(Answer):
    """A run that cost budget."""

    run_id: str
    scenario: str
    region: str
    probe: str
    slot_at: datetime
    why: str


class EpisodeAnswer(Answer):
    """Minutes that cost budget and belong together; `cost` in the line's unit.

    `whys`: how often each reason was found in the `looked_into` of `candidates` stored runs.
    """

    from_at: datetime
    until_at: datetime
    cost: int
    bad_by_region: dict[str, int]
    good_by_region: dict[str, int]
    whys: dict[str, int]
    looked_into: int
    candidates: int
    runs: list[EpisodeRun]


class BurnPointAnswer(Answer):
    """What was left of the budget."""

    at: datetime
    left: float


class StretchAnswer(Answer):
    """Minutes in a row of one kind: `unknown`, or `excluded` by maintenance."""

    kind: str
    from_at: datetime
    minutes: int


class RegionAnswer(Answer):
    """The line as one region alone saw it, in words."""

    region: str
    verdict: str
    sli: str
    bad: str
    left: str
    coverage: str


class TimesAnswer(Answer):
    """Step times of a region over the window in nanoseconds, by percentile; null where there are too few to say."""

    region: str
    count: int
    at: dict[str, int | None]


class LevelDetailAnswer(Answer):
    """One service level in full.

    The costliest of `all_episodes` and the longest stretches are listed; all episodes cost `all_cost` together.
    """

    as_of: datetime
    target: str
    level: LevelAnswer
    burn_down: list[BurnPointAnswer]
    episodes: list[EpisodeAnswer]
    all_episodes: int
    all_cost: int
    stretches: list[StretchAnswer]
    more_stretches: int
    regions: list[RegionAnswer]
    limit_ns: int | None
    times: list[TimesAnswer]


class CellAnswer(Answer):
    """What a region last found of a scenario; `due` slots of the last hour should have a run, `ran` have one."""

    scenario: str
    region: str
    state: str
    word: str
    detail: str
    at: datetime | None
    ran: int
    due: int


class BoardAnswer(Answer):
    """The board as of an instant; `number` counts boards that differ, for `/live?since=`."""

    number: int
    at: datetime
    regions: list[str]
    scenarios: list[str]
    cells: list[CellAnswer]


class TargetsAnswer(Answer):
    """Everything that was measured, by name."""

    targets: list[str]


def level_answer(level: Level) -> LevelAnswer:
    """A level as the API tells it."""
    row, span = level.row, level.span
    return LevelAnswer(
        line=row.line,
        name=row.name,
        title=row.title,
        tier=row.tier.value,
        window=row.window,
        from_at=span.from_at if span else None,
        until_at=span.until_at if span else None,
        phase=level.phase.value if level.phase else None,
        verdict=level.verdict.value if level.verdict else None,
        contract=level.contract,
        sli=level.sli,
        unit=level.unit.value if level.unit else None,
        allowed=float(level.allowed) if level.allowed is not None else None,
        bad=level.bad,
        left_share=level.left_share,
        burn=[_burn(one) for one in level.burn],
        is_burning=level.is_burning,
        reason=level.reason,
        facts=[FactAnswer(label=fact.label, text=fact.text) for fact in row.facts],
        notes=list(row.notes),
        days=[day_answer(day) for day in level.days],
    )


def _burn(one: TierBurn) -> BurnRateAnswer:
    tier = one.fit.tier
    return BurnRateAnswer(
        severity=tier.severity,
        long_minutes=tier.long_minutes,
        short_minutes=tier.short_minutes,
        long_burn=None if one.long_burn is None else float(one.long_burn),
        short_burn=None if one.short_burn is None else float(one.short_burn),
        cause=one.cause,
    )


def day_answer(day: Day) -> DayAnswer:
    """A day as the API tells it."""
    return DayAnswer(
        day=instant_of_minute(day.day * MINUTES_PER_DAY).date().isoformat(),
        bad=day.bad,
        total=day.total,
        unknown=day.unknown,
        excluded=day.excluded,
    )


def _episode_answer(one: EpisodeAccount) -> EpisodeAnswer:
    return EpisodeAnswer(
        from_at=instant_of_minute(one.episode.from_minute),
        until_at=instant_of_minute(one.episode.until_minute),
        cost=one.episode.cost,
        bad_by_region=dict(one.bad_by_region),
        good_by_region=dict(one.good_by_region),
        whys=dict(one.whys),
        looked_into=one.looked_into,
        candidates=one.candidates,
        runs=[
            EpisodeRun(
                run_id=run.run_id,
                scenario=run.scenario,
                region=run.region,
                probe=run.probe,
                slot_at=run.slot_at,
                why=run.why,
            )
            for run in one.runs
        ],
    )


def detail_answer(view: LevelView) -> LevelDetailAnswer:
    """A level in full as the API tells it."""
    latency = view.latency
    return LevelDetailAnswer(
        as_of=view.asked.now,
        target=view.asked.target,
        level=level_answer(view.level),
        burn_down=[
            BurnPointAnswer(at=instant_of_minute(point.until_minute), left=point.left) for point in view.burn_down
        ],
        episodes=[_episode_answer(one) for one in view.episodes],
        all_episodes=view.all_episodes,
        all_cost=view.all_cost,
        stretches=[
            StretchAnswer(kind=one.kind, from_at=instant_of_minute(one.from_minute), minutes=one.minutes)
            for one in view.stretches
        ],
        more_stretches=view.more_stretches,
        regions=[RegionAnswer.model_validate(one) for one in view.row.regions],
        limit_ns=latency.limit_ns if latency else None,
        times=[
            TimesAnswer(
                region=region,
                count=found.count,
                at={f"p{float(share * 100):g}": time_ns for share, time_ns in found.at.items()},
            )
            for region, found in (latency.by_region.items() if latency else ())
        ],
    )


def board_answer(board: Board) -> BoardAnswer:
    """The board as the API tells it."""
    return BoardAnswer(
        number=board.number,
        at=board.at,
        regions=list(board.regions),
        scenarios=list(board.scenarios),
        cells=[
            CellAnswer(
                scenario=cell.scenario,
                region=cell.region,
                state=cell.state,
                word=cell.word,
                detail=cell.detail,
                at=cell.at,
                ran=cell.ran,
                due=cell.due,
            )
            for cell in board.cells.values()
        ],
    )
