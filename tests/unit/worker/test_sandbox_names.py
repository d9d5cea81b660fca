"""Programs change the rules of a sandbox, which there is none of; their rules are taken, and have no effect."""

from __future__ import annotations

import dataclasses

import pytest

from overwinter.runtime.worker.workflow_sandbox import (
    SandboxedWorkflowRunner,
    SandboxMatcher,
    SandboxRestrictions,
)
from overwinter.runtime.workflow import SandboxImportNotificationPolicy


def test_rules_are_taken_out_of_the_default_as_programs_do_it() -> None:
    default = SandboxRestrictions.invalid_module_members_default
    children = dict(default.children)
    del children["datetime"]
    runner = SandboxedWorkflowRunner(
        restrictions=dataclasses.replace(
            SandboxRestrictions.default,
            invalid_module_members=dataclasses.replace(default, children=children),
        )
    )
    assert "datetime" not in runner.restrictions.invalid_module_members.children
    without_now = default.with_child_unrestricted("datetime", "datetime", "now")
    assert without_now.children["datetime"].children["datetime"].use == {"today", "utcnow"}
    more = default | SandboxMatcher(children={"numpy": SandboxMatcher.all_uses})
    assert {"numpy", "random", "datetime"} <= more.children.keys()


def test_restrictions_are_made_step_by_step() -> None:
    policy = SandboxImportNotificationPolicy.SILENT
    made = (
        SandboxRestrictions.default.with_passthrough_modules("numpy")
        .with_passthrough_all_modules()
        .with_import_notification_policy(policy)
    )
    assert "numpy" in made.passthrough_modules
    assert made.passthrough_all_modules
    assert made.import_notification_policy == policy


def test_messages_are_for_what_matches_itself() -> None:
    with pytest.raises(ValueError, match="Cannot set leaf_message without match_self"):
        SandboxMatcher(leaf_message="no")
    with pytest.raises(ValueError, match="Cannot set leaf_warning without match_self"):
        SandboxMatcher(leaf_warning=UserWarning)
    assert SandboxMatcher(match_self=True, leaf_message="no").leaf_message == "no"
