"""Addresses that open one clip for some hours: what holds, and that nothing else does."""

from __future__ import annotations

from urllib.parse import parse_qs

from hypothesis import assume, given
from hypothesis import strategies as st

from ui.signatures import STEP_S, Signatures

SIGNATURES = Signatures(b"a secret of this data folder")
JOBS = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
OWNERS = st.text(min_size=1, max_size=40)
TIMES = st.floats(0, 4e9)


def query(text: str) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(text).items()}


@given(JOBS, OWNERS, TIMES, st.floats(0, 0.999))
def test_what_was_signed_holds_for_twelve_hours_at_least_and_a_day_at_most(
    job: str, owner: str, now: float, part: float
) -> None:
    signed = query(SIGNATURES.query(job, owner, now))
    assert SIGNATURES.hold(job, owner, signed, now + part * STEP_S)
    assert not SIGNATURES.hold(job, owner, signed, now + 2 * STEP_S + 1)


@given(JOBS, OWNERS, JOBS, OWNERS, TIMES)
def test_it_holds_for_no_other_clip_owner_or_data_folder(
    job: str, owner: str, other_job: str, other_owner: str, now: float
) -> None:
    assume((job, owner) != (other_job, other_owner))
    signed = query(SIGNATURES.query(job, owner, now))
    assert not SIGNATURES.hold(other_job, other_owner, signed, now)
    assert not Signatures(b"another secret").hold(job, owner, signed, now)


@given(JOBS, OWNERS, TIMES, st.data())
def test_no_change_to_it_holds(job: str, owner: str, now: float, data: st.DataObject) -> None:
    signed = query(SIGNATURES.query(job, owner, now))
    field = data.draw(st.sampled_from(["until", "sign"]))
    changed = data.draw(st.text(max_size=40) | st.integers(0, 10**14).map(str))
    assume(changed != signed[field])
    assert not SIGNATURES.hold(job, owner, signed | {field: changed}, now)
    assert not SIGNATURES.hold(job, owner, {k: v for k, v in signed.items() if k != field}, now)


@given(JOBS, OWNERS, TIMES)
def test_an_address_stays_the_same_for_a_while(job: str, owner: str, now: float) -> None:
    start = now // STEP_S * STEP_S
    signed = SIGNATURES.query(job, owner, start)
    assert signed == SIGNATURES.query(job, owner, start + STEP_S - 1)
