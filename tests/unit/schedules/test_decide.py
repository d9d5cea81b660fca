"""What a schedule does when its times come, when it is asked, and when what it started has ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overwinter.runtime.schedules.decide import (
    BUFFER_MAX,
    Action,
    CancelRunning,
    Decision,
    Outcome,
    ScheduleProgress,
    ScheduleRules,
    StartAction,
    TerminateRunning,
    backfill,
    due,
    ended,
    info,
    next_action_times,
    next_wakeup,
    not_started,
    paused,
    started,
    trigger,
    unpaused,
    updated,
)
from overwinter.runtime.schedules.spec import occurrences
from overwinter.runtime.schedules.types import (
    Schedule,
    ScheduleAction,
    ScheduleActionStartWorkflow,
    ScheduleBackfill,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
)

MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
Overlap = ScheduleOverlapPolicy


def rules(overlap: ScheduleOverlapPolicy = Overlap.SKIP, **policy: object) -> ScheduleRules:
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(MINUTE)])
    return ScheduleRules(spec, SchedulePolicy(overlap, **policy), "water", "s")  # type: ignore[arg-type]


def begun(**state: object) -> ScheduleProgress:
    return ScheduleProgress.begun(ScheduleState(**state), NOW)  # type: ignore[arg-type]


def minute(number: int) -> str:
    return f"water-{NOW + number * MINUTE:%Y-%m-%dT%H:%M:%SZ}"


def what(actions: Sequence[Action]) -> list[str]:
    return [
        ("" if isinstance(action, StartAction) else type(action).__name__[:6] + " ") + action.workflow_id
        for action in actions
    ]


def running(of: ScheduleRules, **state: object) -> ScheduleProgress:
    """A schedule whose action of the first minute runs."""
    actions, progress = due(of, begun(**state), NOW + MINUTE)
    assert what(actions) == [minute(1)]
    assert isinstance(actions[0], StartAction)
    return started(progress, actions[0], "run-1", NOW + MINUTE)


def stored(progress: ScheduleProgress) -> ScheduleProgress:
    found = ScheduleProgress.from_json(json.loads(json.dumps(progress.to_json())))
    assert found == progress
    return found


# -- by time ----------------------------------------------------------------------------------------------


def test_an_action_is_taken_when_its_time_has_come_and_only_once() -> None:
    of, progress = rules(), begun()
    assert next_wakeup(of, progress, NOW) == NOW + MINUTE
    assert due(of, progress, NOW + MINUTE - timedelta(microseconds=1)) == ([], progress)
    actions, progress = due(of, progress, NOW + MINUTE)
    (start,) = actions
    assert start == StartAction(minute(1), NOW + MINUTE, NOW + MINUTE, Overlap.SKIP)
    assert due(of, progress, NOW + MINUTE) == ([], progress)
    assert next_wakeup(of, progress, NOW + MINUTE) == NOW + 2 * MINUTE


def test_the_id_is_of_the_nominal_time_in_utc_and_the_wait_is_for_the_jitter() -> None:
    of = replace(rules(), spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(MINUTE)], jitter=MINUTE))
    found = next(occurrences(of.spec, NOW, seed="s"))
    assert found.at > found.nominal
    assert next_wakeup(of, begun(), NOW) == found.at
    assert due(of, begun(), found.nominal).actions == []
    assert due(of, begun(), found.at).actions == [
        StartAction(minute(1), found.nominal, found.at, Overlap.SKIP)
    ]


def test_a_clock_that_goes_back_starts_nothing_again() -> None:
    progress = running(rules(Overlap.ALLOW_ALL))
    assert due(rules(Overlap.ALLOW_ALL), progress, NOW).actions == []


# -- overlaps: at minute 2, 3 and 4 the first one still runs ----------------------------------------------


def three_more(of: ScheduleRules) -> tuple[list[list[str]], ScheduleProgress]:
    progress, seen = running(of), []
    for number in (2, 3, 4):
        actions, progress = due(of, stored(progress), NOW + number * MINUTE)
        seen.append(what(actions))
    return seen, progress


def test_skip_starts_nothing_until_the_next_time_after_the_end() -> None:
    seen, progress = three_more(rules())
    assert seen == [[], [], []]
    assert progress.num_skipped == 3
    actions, progress = ended(rules(), progress, minute(1), Outcome.COMPLETED)
    assert actions == []
    assert what(due(rules(), progress, NOW + 5 * MINUTE).actions) == [minute(5)]


def test_buffer_one_keeps_the_first_and_starts_it_at_the_end() -> None:
    of = rules(Overlap.BUFFER_ONE)
    seen, progress = three_more(of)
    assert seen == [[], [], []]
    assert progress.num_skipped == 2
    actions, progress = ended(of, stored(progress), minute(1), Outcome.FAILED)
    assert what(actions) == [minute(2)]
    assert ended(of, progress, minute(2), Outcome.COMPLETED).actions == []


def test_buffer_all_starts_them_one_after_the_other() -> None:
    of = rules(Overlap.BUFFER_ALL)
    seen, progress = three_more(of)
    assert seen == [[], [], []]
    for number in (2, 3, 4):
        actions, progress = ended(of, stored(progress), minute(number - 1), Outcome.COMPLETED)
        assert what(actions) == [minute(number)]
    assert progress.num_skipped == 0
    assert progress.waiting == ()


def test_buffer_all_is_bounded() -> None:
    of = rules(Overlap.BUFFER_ALL)
    progress = running(of)
    later = NOW + (BUFFER_MAX + 51) * MINUTE
    while (wakeup := next_wakeup(of, progress, later)) is not None and wakeup <= later:
        progress = due(of, progress, later).progress
    assert len(progress.waiting) == BUFFER_MAX
    assert progress.num_dropped == 50


def test_cancel_other_asks_the_running_one_to_stop_and_starts_the_newest_when_it_has() -> None:
    of = rules(Overlap.CANCEL_OTHER)
    seen, progress = three_more(of)
    assert seen == [[f"Cancel {minute(1)}"]] * 3
    assert due(of, progress, NOW + 4 * MINUTE).actions == [CancelRunning(minute(1), "run-1")]
    actions, progress = ended(of, stored(progress), minute(1), Outcome.CANCELED)
    assert what(actions) == [minute(4)]
    assert progress.waiting == ()


def test_terminate_other_ends_the_running_one_and_starts_the_newest() -> None:
    of = rules(Overlap.TERMINATE_OTHER)
    seen, progress = three_more(of)
    assert seen == [[f"Termin {minute(1)}"]] * 3
    assert due(of, progress, NOW + 4 * MINUTE).actions == [TerminateRunning(minute(1), "run-1")]
    assert what(ended(of, progress, minute(1), Outcome.TERMINATED).actions) == [minute(4)]


def test_allow_all_starts_them_beside_each_other() -> None:
    of, progress = rules(Overlap.ALLOW_ALL), begun()
    for number in (1, 2, 3):
        actions, progress = due(of, progress, NOW + number * MINUTE)
        assert what(actions) == [minute(number)]
        assert isinstance(actions[0], StartAction)
        progress = started(progress, actions[0], f"run-{number}", NOW + number * MINUTE)
    assert progress.running == ()
    assert progress.num_actions == 3
    assert ended(of, progress, minute(1), Outcome.FAILED) == ([], progress)


def test_terminating_outweighs_cancelling() -> None:
    of = rules(Overlap.CANCEL_OTHER)
    progress = due(of, running(of), NOW + 2 * MINUTE).progress
    assert what(trigger(of, progress, NOW + 2.5 * MINUTE, Overlap.TERMINATE_OTHER).actions) == [
        f"Termin {minute(1)}"
    ]


def test_what_waits_follows_the_policy_that_holds_when_its_turn_comes() -> None:
    progress = due(rules(Overlap.BUFFER_ALL), running(rules(Overlap.BUFFER_ALL)), NOW + 4 * MINUTE).progress
    assert len(progress.waiting) == 3
    actions, progress = due(rules(Overlap.ALLOW_ALL), progress, NOW + 4 * MINUTE)
    assert what(actions) == [minute(2), minute(3), minute(4)]


# -- after downtime ---------------------------------------------------------------------------------------


def test_missed_times_in_the_window_are_made_up_for_and_older_ones_are_counted() -> None:
    of = rules(Overlap.ALLOW_ALL, catchup_window=3 * MINUTE)
    actions, progress = due(of, begun(), NOW + 10 * MINUTE)
    assert what(actions) == [minute(number) for number in (7, 8, 9, 10)]
    assert progress.num_missed == 6


def test_skip_takes_the_first_of_the_missed_times() -> None:
    actions, progress = due(rules(), begun(), NOW + 10 * MINUTE)
    assert what(actions) == [minute(1)]
    assert progress.num_skipped == 9


def test_the_window_is_a_year_by_default_and_ten_seconds_at_least() -> None:
    assert rules().catchup_window == timedelta(days=365)
    assert rules(catchup_window=timedelta()).catchup_window == timedelta(seconds=10)


def test_a_long_downtime_is_worked_off_in_several_decisions() -> None:
    of, progress, later = rules(Overlap.ALLOW_ALL, catchup_window=MINUTE), begun(), NOW + timedelta(days=2)
    seen: list[str] = []
    decisions = 0
    while next_wakeup(of, progress, later) == later and decisions < 10:
        actions, progress = due(of, stored(progress), later)
        seen, decisions = seen + what(actions), decisions + 1
    assert seen == [minute(2 * 24 * 60 - 1), minute(2 * 24 * 60)]
    assert progress.num_missed == 2 * 24 * 60 - 2
    assert decisions == 3


# -- limits and pauses ------------------------------------------------------------------------------------


def test_limited_actions_count_down_to_nothing() -> None:
    of = rules(Overlap.ALLOW_ALL)
    actions, progress = due(of, begun(limited_actions=True, remaining_actions=2), NOW + 5 * MINUTE)
    assert what(actions) == [minute(1), minute(2)]
    assert progress.state.remaining_actions == 0
    assert next_wakeup(of, progress, NOW) is None
    assert next_action_times(of, progress, NOW + 5 * MINUTE) == []
    assert due(of, progress, NOW + 9 * MINUTE).actions == []


def test_what_waits_when_no_action_is_left_is_dropped() -> None:
    of = rules(Overlap.BUFFER_ALL)
    progress = due(of, begun(limited_actions=True, remaining_actions=1), NOW + 4 * MINUTE).progress
    assert len(progress.waiting) == 3
    actions, progress = ended(of, progress, minute(1), Outcome.COMPLETED)
    assert (actions, progress.waiting) == ([], ())


def test_while_paused_times_pass() -> None:
    of, progress = rules(), paused(begun(), "frost")
    assert progress.state == ScheduleState(note="frost", paused=True)
    assert next_wakeup(of, progress, NOW) is None
    assert due(of, progress, NOW + 5 * MINUTE).actions == []
    progress = unpaused(progress, NOW + 10.5 * MINUTE, "thaw")
    assert progress.state == ScheduleState(note="thaw")
    assert what(due(of, progress, NOW + 11 * MINUTE).actions) == [minute(11)]


def test_unpausing_what_is_not_paused_loses_no_time() -> None:
    progress = unpaused(begun(), NOW + 1.5 * MINUTE, None)
    assert what(due(rules(), progress, NOW + 1.5 * MINUTE).actions) == [minute(1)]


@pytest.mark.parametrize(
    ("outcome", "note"),
    [
        (Outcome.FAILED, f"paused due to workflow failure: {minute(1)}: dry"),
        (Outcome.TIMED_OUT, f"paused due to workflow timeout: {minute(1)}: dry"),
    ],
)
def test_a_failure_pauses_where_the_policy_says_so(outcome: Outcome, note: str) -> None:
    of = rules(Overlap.BUFFER_ALL, pause_on_failure=True)
    progress = due(of, running(of), NOW + 3 * MINUTE).progress
    actions, progress = ended(of, progress, minute(1), outcome, "dry")
    assert progress.state == ScheduleState(note=note, paused=True)
    assert (actions, progress.waiting) == ([], ())


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.CANCELED, Outcome.TERMINATED])
def test_no_other_end_pauses(outcome: Outcome) -> None:
    of = rules(pause_on_failure=True)
    assert not ended(of, running(of), minute(1), outcome).progress.state.paused


def test_a_failure_pauses_nothing_by_default() -> None:
    assert not ended(rules(), running(rules()), minute(1), Outcome.FAILED).progress.state.paused


# -- on request ------------------------------------------------------------------------------------------


def test_a_trigger_works_while_paused_and_is_not_counted_as_limited() -> None:
    progress = begun(paused=True, limited_actions=True, remaining_actions=3)
    now = (NOW + 1.5 * MINUTE).astimezone()
    actions, progress = trigger(rules(), progress, now)
    (start,) = actions
    assert start == StartAction("water-2026-11-24T12:01:30Z", now, now, Overlap.SKIP, manual=True)
    assert progress.state.remaining_actions == 3


def test_a_trigger_follows_the_schedules_policy_or_its_own() -> None:
    progress = running(rules())
    now = NOW + 1.5 * MINUTE
    assert trigger(rules(), progress, now).actions == []
    assert trigger(rules(), progress, now).progress.num_skipped == 1
    assert len(trigger(rules(), progress, now, Overlap.ALLOW_ALL).actions) == 1
    waiting = trigger(rules(), progress, now, Overlap.BUFFER_ONE).progress
    assert what(ended(rules(), waiting, minute(1), Outcome.COMPLETED).actions) == [
        "water-2026-11-24T12:01:30Z"
    ]


def test_a_backfill_takes_both_ends() -> None:
    asked = ScheduleBackfill(NOW - 3 * MINUTE, NOW - MINUTE, Overlap.ALLOW_ALL)
    actions, progress = backfill(rules(), begun(paused=True), asked)
    assert what(actions) == [minute(-3), minute(-2), minute(-1)]
    assert all(isinstance(action, StartAction) and action.manual for action in actions)
    assert progress.backfills == ()


def test_backfills_follow_the_schedules_policy_one_after_the_other() -> None:
    of = rules(Overlap.BUFFER_ALL)
    first, second = (ScheduleBackfill(NOW - n * MINUTE, NOW - n * MINUTE) for n in (5, 9))
    actions, progress = backfill(of, begun(), first, second)
    assert what(actions) == [minute(-5)]
    assert what(ended(of, progress, minute(-5), Outcome.COMPLETED).actions) == [minute(-9)]


def test_a_backfill_without_a_zone_is_in_utc() -> None:
    naive = (NOW - MINUTE).replace(tzinfo=None)
    assert what(backfill(rules(), begun(), ScheduleBackfill(naive, naive)).actions) == [minute(-1)]


def test_a_long_backfill_goes_on_a_second_later_until_it_is_done() -> None:
    asked = ScheduleBackfill(NOW - 250 * MINUTE, NOW - MINUTE, Overlap.ALLOW_ALL)
    actions, progress = backfill(rules(), begun(), asked)
    seen, now = what(actions), NOW
    while (wakeup := next_wakeup(rules(), progress, now)) == now + timedelta(seconds=1):
        now = wakeup
        actions, progress = due(rules(), stored(progress), now)
        assert len(actions) <= 100
        seen += what(actions)
    assert seen == [minute(number) for number in range(-250, 0)]
    assert wakeup == NOW + MINUTE


def test_a_long_backfill_leaves_half_of_the_buffer_and_loses_nothing() -> None:
    of = rules(Overlap.BUFFER_ALL)
    actions, progress = backfill(of, begun(), ScheduleBackfill(NOW - 1500 * MINUTE, NOW - MINUTE))
    seen, now = what(actions), NOW
    for _ in range(20):
        now += timedelta(seconds=1)
        progress = due(of, progress, now).progress
        assert len(progress.waiting) <= BUFFER_MAX // 2
    while progress.running:
        actions, progress = ended(of, progress, progress.running[0].workflow_id, Outcome.COMPLETED)
        seen += what(actions)
    assert seen == [minute(number) for number in range(-1500, 0)]


def test_of_too_many_backfills_some_are_dropped_and_counted() -> None:
    one = ScheduleBackfill(NOW - MINUTE, NOW - MINUTE)
    assert backfill(rules(), begun(), *[one] * (BUFFER_MAX + 7)).progress.num_dropped == 7


# -- reports ---------------------------------------------------------------------------------------------


def test_what_could_not_be_started_makes_room_for_what_waits() -> None:
    of = rules(Overlap.BUFFER_ALL)
    actions, progress = due(of, begun(), NOW + 2 * MINUTE)
    assert isinstance(actions[0], StartAction)
    actions, progress = not_started(of, progress, actions[0])
    assert what(actions) == [minute(2)]
    assert progress.num_actions == 0


def test_what_could_not_be_started_beside_does_not_end_what_runs_under_its_id() -> None:
    progress = running(rules())
    asked = ScheduleBackfill(NOW + MINUTE, NOW + MINUTE, Overlap.ALLOW_ALL)
    actions, progress = backfill(rules(), progress, asked)
    assert isinstance(actions[0], StartAction)
    assert what(actions) == [minute(1)]
    assert not_started(rules(), progress, actions[0]).progress.running == progress.running != ()


def test_an_end_may_be_reported_twice() -> None:
    of = rules(Overlap.BUFFER_ALL)
    progress = due(of, running(of), NOW + 3 * MINUTE).progress
    progress = ended(of, progress, minute(1), Outcome.COMPLETED).progress
    assert ended(of, progress, minute(1), Outcome.COMPLETED) == Decision([], progress)


def test_before_its_start_is_reported_an_action_counts_as_running() -> None:
    progress = due(rules(), begun(), NOW + MINUTE).progress
    assert due(rules(), progress, NOW + 2 * MINUTE).actions == []


# -- updates ---------------------------------------------------------------------------------------------


def test_after_an_update_times_before_it_do_not_count() -> None:
    of = replace(rules(Overlap.ALLOW_ALL), spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(MINUTE / 6)]))
    rare = replace(of, spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(days=1))]))
    now = NOW + 5 * MINUTE + timedelta(seconds=1)
    assert due(rare, begun(), now).actions == []
    progress = updated(of, begun(), ScheduleState(note="denser"), now)
    assert progress.state.note == "denser"
    assert due(of, progress, now).actions == []
    assert what(due(of, progress, now + timedelta(seconds=9)).actions) == ["water-2026-11-24T12:05:10Z"]


@settings(max_examples=50, deadline=None)
@given(later=st.integers(0, 600), seed=st.text(max_size=3))
def test_an_update_takes_what_jitter_puts_off_and_nothing_older(later: int, seed: str) -> None:
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(MINUTE)], jitter=MINUTE)
    of = ScheduleRules(spec, SchedulePolicy(Overlap.ALLOW_ALL), "water", seed)
    now = NOW + timedelta(seconds=later)
    progress = updated(of, due(of, begun(), now).progress, ScheduleState(), now)
    found = due(of, progress, NOW + timedelta(hours=1)).actions
    expected = [each for each in all_until(of, NOW + timedelta(hours=1)) if each > now]
    assert [action.scheduled_at for action in found if isinstance(action, StartAction)] == expected


def all_until(of: ScheduleRules, until: datetime) -> list[datetime]:
    found = []
    for each in occurrences(of.spec, NOW, seed=of.seed):
        if each.at > until:
            break
        found.append(each.at)
    return found


# -- the record ----------------------------------------------------------------------------------------------


def test_a_description_shows_what_was_done_and_what_comes() -> None:
    of = rules()
    progress = due(of, running(of), NOW + 3 * MINUTE).progress
    found = info(of, progress, NOW + 3 * MINUTE)
    assert (found.num_actions, found.num_actions_skipped_overlap) == (1, 2)
    assert found.num_actions_missed_catchup_window == 0
    assert found.running_actions == [found.recent_actions[0].action]
    assert found.recent_actions[0].scheduled_at == found.recent_actions[0].started_at == NOW + MINUTE
    assert found.next_action_times == [NOW + number * MINUTE for number in range(4, 14)]
    assert (found.created_at, found.last_updated_at) == (NOW, None)


def test_the_last_ten_actions_are_kept() -> None:
    of = rules(Overlap.ALLOW_ALL)
    actions, progress = due(of, begun(), NOW + 12 * MINUTE)
    for action in actions:
        assert isinstance(action, StartAction)
        progress = started(progress, action, "run", NOW)
    assert [taken.workflow_id for taken in progress.recent] == [minute(number) for number in range(3, 13)]
    assert progress.num_actions == 12


def test_next_times_of_a_paused_schedule_are_in_the_future_and_of_a_limited_one_no_more_than_are_left() -> (
    None
):
    assert next_action_times(rules(), begun(paused=True), NOW + 9 * MINUTE, 1) == [NOW + 10 * MINUTE]
    limited = begun(limited_actions=True, remaining_actions=2)
    assert len(next_action_times(rules(), limited, NOW)) == 2


def test_a_record_is_read_as_it_was_written() -> None:
    of = rules(Overlap.BUFFER_ALL)
    progress = due(of, running(of, note="n"), NOW + 3 * MINUTE).progress
    progress = trigger(of, progress, NOW + 3.2 * MINUTE, Overlap.CANCEL_OTHER).progress
    progress = backfill(of, progress, ScheduleBackfill(NOW - 999 * MINUTE, NOW, Overlap.BUFFER_ALL)).progress
    progress = updated(of, progress, ScheduleState(limited_actions=True, remaining_actions=4), NOW)
    assert all([progress.running, progress.waiting, progress.backfills, progress.recent, progress.updated_at])
    stored(progress)


def test_a_record_of_fewer_fields_is_read_with_defaults() -> None:
    found = {"created_at": NOW.isoformat(), "processed_at": NOW.isoformat()}
    assert ScheduleProgress.from_json(found) == begun()


def test_the_state_of_a_schedule_is_copied() -> None:
    state = ScheduleState()
    progress = ScheduleProgress.begun(state, NOW)
    state.paused = True
    assert not progress.state.paused


def test_the_rules_of_a_schedule() -> None:
    action = ScheduleActionStartWorkflow("Water", id="water", task_queue="q")
    schedule = Schedule(action, ScheduleSpec())
    assert ScheduleRules.of(schedule, "s") == ScheduleRules(schedule.spec, schedule.policy, "water", "s")
    with pytest.raises(TypeError, match="expected ScheduleActionStartWorkflow"):
        ScheduleRules.of(Schedule(ScheduleAction(), ScheduleSpec()), "s")


@settings(max_examples=100, deadline=None)
@given(
    overlap=st.sampled_from(ScheduleOverlapPolicy),
    steps=st.lists(
        st.tuples(st.sampled_from(["due", "trigger", "ended", "refused"]), st.integers(0, 200)), max_size=30
    ),
    limit=st.one_of(st.none(), st.integers(0, 5)),
)
def test_every_time_is_taken_skipped_dropped_or_waits_and_never_two_run(
    overlap: ScheduleOverlapPolicy, steps: list[tuple[str, int]], limit: int | None
) -> None:
    of = rules(overlap)
    progress = begun(limited_actions=limit is not None, remaining_actions=limit or 0)
    now, taken = NOW, 0
    for step, seconds in steps:
        now += timedelta(seconds=seconds)
        actions: list[Action] = []
        if step == "due":
            actions, progress = due(of, progress, now)
        elif step == "trigger":
            actions, progress = trigger(of, progress, now)
        elif step == "ended" and progress.running:
            actions, progress = ended(of, progress, progress.running[0].workflow_id, Outcome.COMPLETED)
        for action in actions:
            if isinstance(action, StartAction):
                progress, taken = started(progress, action, "run", now), taken + 1
        assert len(progress.running) <= 1
        assert progress.num_actions == taken
        assert progress.state.remaining_actions >= 0
        progress = stored(progress)
    if limit is None and overlap not in (Overlap.CANCEL_OTHER, Overlap.TERMINATE_OTHER):
        triggers = sum(step == "trigger" for step, _ in steps)
        times = len(all_until(of, progress.processed_at))
        assert taken + progress.num_skipped + len(progress.waiting) == times + triggers
