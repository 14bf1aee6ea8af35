"""The pure rules of the stand-in: prices, fault plans, rate limit, rays and bodies of meshes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fixtures.platform.fault_plan import FaultPlan
from fixtures.platform.faults import FAULTS, FaultError, parse_fault, parse_fault_text
from fixtures.platform.geometry.bodies import count_bodies, split_bodies, touching_vertices
from fixtures.platform.geometry.rays import Floats, Ints, Target
from fixtures.platform.limiter import RateLimiter
from fixtures.platform.pricing import MATERIALS, PartFacts, price_tiers

sizes = st.floats(min_value=1e-6, max_value=1e6)

BOX_FACES = [
    (0, 2, 1), (1, 2, 3), (4, 5, 6), (5, 7, 6), (0, 1, 4), (1, 5, 4),
    (2, 6, 3), (3, 6, 7), (0, 4, 2), (2, 4, 6), (1, 3, 5), (3, 7, 5),
]  # fmt: skip


def box(origin: tuple[float, float, float], side: float) -> Floats:
    """The eight corners of a cube."""
    corners: Floats = np.array([[x, y, z] for z in (0, side) for y in (0, side) for x in (0, side)]) + np.array(origin)
    return corners


def meshed(boxes: list[Floats], *, inside_out: int = -1) -> tuple[Floats, Ints, Ints]:
    """Cubes as one mesh: vertices, faces, and which faces share an edge."""
    faces = np.array(BOX_FACES)
    turned = [faces[:, ::-1] if index == inside_out else faces for index in range(len(boxes))]
    every = np.concatenate([8 * index + found for index, found in enumerate(turned)])
    edges: dict[frozenset[int], list[int]] = {}
    for index, face in enumerate(every.tolist()):
        for pair in itertools.combinations(face, 2):
            edges.setdefault(frozenset(pair), []).append(index)
    shared = [pair for pair in edges.values() if len(pair) == 2]
    return np.concatenate(boxes), every, np.array(shared)


def bodies_of(boxes: list[Floats], *, inside_out: int = -1) -> tuple[int, str]:
    """How many bodies the cubes make, and what is wrong with them."""
    _, bodies = split_bodies(*meshed(boxes, inside_out=inside_out))
    return count_bodies(bodies)


@settings(deadline=None)  # a busy machine is no failure of a rule
@given(volume=sizes, area=sizes, holes=st.integers(0, 50), quantities=st.lists(st.integers(1, 10**6), min_size=2))
def test_a_price_never_rises_with_the_quantity(volume: float, area: float, holes: int, quantities: list[int]) -> None:
    """For any part and material: whole cents, totals exact, more pieces never dearer each, never for nothing."""
    for material in MATERIALS.values():
        tiers = price_tiers(PartFacts(volume, area, holes), material, sorted(quantities))
        for tier in tiers:
            assert tier.total_price == tier.unit_price * tier.quantity
            assert tier.unit_price * 100 == int(tier.unit_price * 100) > 0
        assert all(one.unit_price >= two.unit_price for one, two in itertools.pairwise(tiers))


def test_a_plan_is_repeatable_and_its_faults_do_not_disturb_each_other() -> None:
    """The sequence of one fault is the same with and without another one beside it, and the rate is kept."""
    one = parse_fault_text("zero-price@0.25")
    alone = FaultPlan(seed=3, faults=[one])
    beside = FaultPlan(seed=3, faults=[parse_fault_text("slow@0.5"), one])
    first = [alone.strike("zero-price") is not None for _ in range(2000)]
    second = [(beside.strike("slow"), beside.strike("zero-price"))[1] is not None for _ in range(2000)]
    assert first == second
    assert sum(first) == pytest.approx(500, abs=100)
    assert alone.hit["zero-price"] == sum(first)


def test_slow_follows_the_distribution_it_names() -> None:
    """Fixed is fixed, uniform stays within its bounds, lognormal has the median it was given."""
    fixed = parse_fault_text("slow:ms=120")
    uniform = parse_fault_text("slow:dist=uniform,min_ms=100,max_ms=300")
    lognormal = parse_fault_text("slow:dist=lognormal,ms=200,sigma=0.6")
    for fault, check in (
        (fixed, lambda found: set(found) == {0.12}),
        (uniform, lambda found: 0.1 <= min(found) < 0.12 and 0.28 < max(found) <= 0.3),
        (lognormal, lambda found: math.isclose(sorted(found)[500], 0.2, rel_tol=0.1) and max(found) > 0.5),
    ):
        plan = FaultPlan(seed=1, faults=[fault])
        delays = [plan.delay_s(struck) for _ in range(1001) if (struck := plan.strike("slow", route="price"))]
        assert len(delays) == 1001
        assert check(delays), (min(delays), max(delays))


def test_a_route_means_itself_and_what_belongs_to_it() -> None:
    """`upload` reaches every upload, `upload.put` one of them, `up` none."""
    for wanted, reached in (
        ("upload", True),
        ("upload.put", True),
        ("all", True),
        ("up", False),
        ("upload.url", False),
    ):
        assert parse_fault("slow", args={"route": wanted}).reaches("upload.put") is reached


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_can_be_switched_on_by_name_alone(name: str) -> None:
    """Its defaults are complete and pass its own checks."""
    fault = parse_fault_text(name)
    assert parse_fault(name, args=fault.args) == fault


@pytest.mark.parametrize(
    "text", ["", "slow:", "slow@", "slow@2", "slow:ms=-1", "slow:ms=x", "refuse:site=control", "stall:="]
)
def test_a_fault_that_makes_no_sense_is_refused(text: str) -> None:
    """Each with its own message; only a colon without arguments is harmless."""
    if text == "slow:":
        assert parse_fault_text(text).name == "slow"
        return
    with pytest.raises(FaultError, match=r"\S"):
        parse_fault_text(text)


def test_the_rate_limit_counts_a_minute_per_route_and_source() -> None:
    """The limit is exact, says when it ends, and begins anew with the next minute."""
    limiter = RateLimiter(2)
    taken = [limiter.take("price", "a", 130.5) for _ in range(3)]
    assert [one.retry_after_s for one in taken] == [0, 0, 50]
    assert [one.remaining for one in taken] == [1, 0, 0]
    assert limiter.take("price", "b", 130.5).retry_after_s == 0
    assert limiter.take("quote", "a", 130.5).retry_after_s == 0
    assert limiter.take("price", "a", 180.0).remaining == 1


@settings(deadline=None)  # a busy machine is no failure of a rule
@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.floats(0.5, 50))
def test_a_ray_meets_a_box_where_it_should(x: float, y: float, distance: float) -> None:
    """From outside, straight at it: at its distance, twice in all; turned away: never."""
    assume(min(abs(x - y), abs(x + y - 1)) > 1e-3)  # on a diagonal it meets the triangles on both sides
    corners, faces, _ = meshed([box((0, 0, 0), 1.0)])
    target = Target(corners[faces])
    origin = np.array([[x, y, -distance]])
    up = np.array([[0.0, 0.0, 1.0]])
    assert target.first_hits(origin, up)[0][0] == pytest.approx(distance)
    assert target.count_crossings(origin, up)[0] == 2
    assert target.first_hits(origin, -up)[1][0] == -1


def test_bodies_are_told_apart() -> None:
    """Two cubes are two bodies; a cavity is none; cubes that cut, swallow or are inside out are a problem."""
    assert bodies_of([box((0, 0, 0), 20)]) == (1, "")
    assert bodies_of([box((0, 0, 0), 20), box((30, 0, 0), 20)]) == (2, "")
    assert bodies_of([box((0, 0, 0), 20), box((5, 5, 5), 5)], inside_out=1) == (1, "")
    assert bodies_of([box((0, 0, 0), 20), box((5, 5, 5), 5)])[1] == "one body lies inside another"
    assert bodies_of([box((0, 0, 0), 20), box((10, 10, 10), 20)])[1] == "two bodies cut each other"
    assert "inside out" in bodies_of([box((0, 0, 0), 20), box((30, 0, 0), 5)], inside_out=1)[1]


def test_bodies_that_share_a_corner_are_noticed() -> None:
    """The corner belongs to both."""
    vertices, faces, adjacency = meshed([box((0, 0, 0), 20), box((20, 20, 20), 20)])
    joined = np.where(faces == 8, 7, faces)
    labels, bodies = split_bodies(vertices, joined, adjacency)
    assert (len(bodies), touching_vertices(joined, labels)) == (2, 1)
    assert touching_vertices(faces, labels) == 0
