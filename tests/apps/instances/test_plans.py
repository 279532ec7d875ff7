"""The whole table: every situation there can be has one sane next step, and every road has an end."""

from itertools import product

import pytest

from apps.instances.plans import Act, Sight, Situation, Step, plan
from apps.instances.states import MACHINE, Desired, State, Work

FLAGS = ("is_asked", "is_overdue", "is_impatient", "is_fulfilled", "is_released")
GONE_FOR_GOOD = (State.FAILED, State.INTERRUPTED, State.DELETED)


def situations():
    for desired, state, sight, work in product(Desired, State, Sight, Work):
        for flags in product((False, True), repeat=len(FLAGS)):
            yield Situation(desired, state, sight, work, **dict(zip(FLAGS, flags, strict=True)))


EVERYTHING = list(situations())


def test_every_situation_has_a_step_that_the_machine_allows():
    assert len(EVERYTHING) == 3 * 10 * 8 * 6 * 32
    for now in EVERYTHING:
        step = plan(now)
        if step.event:
            assert MACHINE.allows(step.event, now.state), (now, step)


def test_nothing_is_asked_of_a_machine_that_cannot_be_seen():
    concluding = {Act.WAIT, Act.GIVE_UP}
    assert all(plan(now).act in concluding for now in EVERYTHING if now.sight == Sight.UNKNOWN)


def test_nothing_is_created_but_what_is_wanted_and_not_there():
    for now in EVERYTHING:
        if plan(now).act == Act.CREATE:
            assert now.desired != Desired.DELETED
            assert now.sight in (Sight.GONE, Sight.PARTIAL)
            assert now.state in (State.PENDING, State.PROVISIONING, State.STARTING)


def test_a_wish_to_delete_wins_over_everything():
    for now in EVERYTHING:
        if now.desired != Desired.DELETED or now.state == State.DELETED:
            continue
        step = plan(now)
        if now.state != State.DELETING:
            assert step.event == "delete", now
        assert step.act in (Act.DELETE, Act.WAIT)


def test_only_absence_proves_that_a_machine_is_gone():
    for now in EVERYTHING:
        step = plan(now)
        if step.event == "vanish" or step.act == Act.RELEASE:
            assert now.sight == Sight.GONE, now


def test_what_ended_is_cleared_away_once_and_then_left_alone():
    for now in EVERYTHING:
        if now.state not in (State.FAILED, State.INTERRUPTED) or now.desired == Desired.DELETED:
            continue
        step = plan(now)
        assert step.event is None
        expected = {Sight.GONE: Act.RELEASE, Sight.UNKNOWN: Act.WAIT}.get(now.sight, Act.DELETE)
        assert step.act == (Act.WAIT if now.is_released else expected)
    assert all(plan(now) == Step() for now in EVERYTHING if now.state == State.DELETED)


def test_running_means_it_was_seen_to_have_booted():
    for now in EVERYTHING:
        if plan(now).event == "run":
            assert now.sight == Sight.BOOTED
            assert not now.is_overdue


def test_nothing_stays_on_the_way_past_its_deadline():
    moving = (State.PENDING, State.PROVISIONING, State.STARTING)
    for now in EVERYTHING:
        if now.is_overdue and now.state in moving and now.desired != Desired.DELETED:
            assert plan(now).event in {"fail", "stop", "lose", "interrupt"}, now
        if now.is_overdue and now.work and now.state == State.STOPPED and now.desired != Desired.DELETED:
            step = plan(now)
            assert step.act == Act.GIVE_UP or step.event in {"lose", "interrupt"}, now


def test_power_is_cut_only_when_the_guest_had_its_time_or_a_start_was_broken_off():
    for now in EVERYTHING:
        if plan(now).act == Act.FORCE_STOP:
            assert (now.state == State.STOPPING and now.is_impatient) or now.state == State.STARTING


def follow(now, sights):
    """Walk on from a situation while the world shows one sight after another."""
    walked = [now.state]
    for sight in sights:
        step = plan(Situation(now.desired, now.state, sight))
        if step.event:
            now = Situation(now.desired, State(MACHINE.target(step.event, now.state)), sight)
        walked.append(now.state)
    return walked


@pytest.mark.parametrize(
    ("desired", "state", "sights", "end"),
    [
        (
            Desired.RUNNING,
            State.PENDING,
            [Sight.GONE, Sight.CHANGING, Sight.RUNNING, Sight.BOOTED],
            State.RUNNING,
        ),
        (Desired.RUNNING, State.PROVISIONING, [Sight.PARTIAL, Sight.STOPPED, Sight.BOOTED], State.RUNNING),
        (Desired.STOPPED, State.RUNNING, [Sight.BOOTED, Sight.CHANGING, Sight.STOPPED], State.STOPPED),
        (Desired.RUNNING, State.STOPPED, [Sight.STOPPED, Sight.RUNNING, Sight.BOOTED], State.RUNNING),
        (Desired.RUNNING, State.RUNNING, [Sight.STOPPED], State.STOPPED),
        (Desired.RUNNING, State.RUNNING, [Sight.GONE], State.FAILED),
        (Desired.RUNNING, State.RUNNING, [Sight.RECLAIMED], State.INTERRUPTED),
        (Desired.STOPPED, State.STARTING, [Sight.RUNNING, Sight.STOPPED], State.STOPPED),
        *(
            (Desired.DELETED, state, [Sight.UNKNOWN, Sight.BOOTED, Sight.PARTIAL, Sight.GONE], State.DELETED)
            for state in State
        ),
    ],
)
def test_the_road_leads_where_it_should(desired, state, sights, end):
    assert follow(Situation(desired, state, Sight.UNKNOWN), sights)[-1] == end
