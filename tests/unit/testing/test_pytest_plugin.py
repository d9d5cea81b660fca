"""The fixtures that pytest finds when Overwinter is installed, in test suites of all kinds."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(180)  # Each starts processes of pytest.

AUTOMATION = '''
"""What is tested."""

from datetime import timedelta

from overwinter import activity, workflow
from overwinter.runtime.worker import Worker

@activity.defn
async def water(day: int) -> int:
    activity.heartbeat(day)
    return day

@workflow.defn
class Season:
    @workflow.run
    async def run(self, days: int) -> int:
        watered = 0
        for day in range(days):
            await workflow.sleep(timedelta(days=1))
            watered += await workflow.execute_activity(water, day, start_to_close_timeout=timedelta(minutes=1))
        return watered

def worker(environment):
    return Worker(environment.client, task_queue="q", workflows=[Season], activities=[water])
'''

SEASON = """
    async with worker(workflow_environment):
        began = await workflow_environment.get_current_time()
        result = await workflow_environment.client.execute_workflow(Season.run, 90, id="w", task_queue="q")
        assert result == sum(range(90))
        assert await workflow_environment.get_current_time() - began >= timedelta(days=90)
"""

UNDER_ASYNCIO = f"""
import asyncio
import pytest
import pytest_asyncio
from overwinter.runtime.client import Client
from automation import *

@pytest_asyncio.fixture
async def client(local_workflow_environment):
    return local_workflow_environment.client

@pytest.mark.asyncio
async def test_time_skips(workflow_environment):
{SEASON}

@pytest.mark.asyncio(loop_scope="module")
class TestOnALoopOfTheModule:
    async def test_one(self, workflow_environment):
        TestOnALoopOfTheModule.loop = asyncio.get_running_loop()
        async with worker(workflow_environment):
            assert await workflow_environment.client.execute_workflow(Season.run, 2, id="w", task_queue="q") == 1

    async def test_another(self, workflow_environment):
        assert TestOnALoopOfTheModule.loop is asyncio.get_running_loop()
        with pytest.raises(Exception, match="not found"):
            await workflow_environment.client.get_workflow_handle("w").describe()

@pytest.mark.asyncio
async def test_both_at_once(workflow_environment, local_workflow_environment, client):
    assert workflow_environment.supports_time_skipping
    assert not local_workflow_environment.supports_time_skipping
    assert client is local_workflow_environment.client
    assert client is not workflow_environment.client

def test_an_activity_alone(activity_environment):
    beats = []
    activity_environment.on_heartbeat = beats.append
    assert asyncio.run(activity_environment.run(water, 7)) == 7
    assert beats == [7]

class TestWithOptions:
    @pytest.fixture
    def workflow_environment_options(self):
        return {{"default_workflow_query_reject_condition": 1}}

    @pytest.mark.asyncio
    async def test_options(self, workflow_environment):
        assert workflow_environment.client.config()["default_workflow_query_reject_condition"] == 1

@pytest.mark.asyncio
async def test_that_fails(workflow_environment):
    assert workflow_environment is None
"""

UNDER_ANYIO = f"""
import pytest
from automation import *

pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.fixture
async def running(workflow_environment):
    async with worker(workflow_environment):
        yield workflow_environment

async def test_time_skips(workflow_environment):
{SEASON}

async def test_a_fixture_of_the_suite(running):
    assert await running.client.execute_workflow(Season.run, 3, id="w", task_queue="q") == 3
"""

UNMARKED = """
async def test_time(workflow_environment):
    assert await workflow_environment.get_current_time()
"""

UNUSED = """
import sys

def test_nothing_is_imported():
    assert "overwinter.runtime.pytest_plugin" in sys.modules
    assert not [name for name in sys.modules if name.startswith("overwinter.runtime.") and "plugin" not in name]
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(automation=AUTOMATION)
    pytester.makeini("[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def outcome(suite: pytest.Pytester, code: str, *options: str) -> pytest.RunResult:
    suite.makepyfile(test_it=code)
    return suite.runpytest_subprocess("-q", "-p", "no:randomly", "-p", "no:cacheprovider", *options)


def test_environments_under_pytest_asyncio(suite: pytest.Pytester) -> None:
    result = outcome(suite, UNDER_ASYNCIO, "--asyncio-mode=strict")
    result.assert_outcomes(passed=6, failed=1)
    result.stdout.fnmatch_lines(["*AssertionError*", "FAILED test_it.py::test_that_fails*"])


def test_environments_under_pytest_asyncio_that_takes_all_tests(suite: pytest.Pytester) -> None:
    outcome(suite, UNMARKED, "--asyncio-mode=auto").assert_outcomes(passed=1)


def test_environments_under_anyio(suite: pytest.Pytester) -> None:
    outcome(suite, UNDER_ANYIO, "-p", "no:asyncio", "-Wignore").assert_outcomes(passed=2)
    outcome(suite, UNDER_ANYIO, "--asyncio-mode=strict").assert_outcomes(passed=2)


def test_whoever_has_no_event_loop_is_told_what_to_do(suite: pytest.Pytester) -> None:
    result = outcome(suite, UNMARKED, "-p", "no:asyncio", "-Wignore")
    result.stdout.fnmatch_lines(["*workflow_environment needs an event loop: mark the test with*"])


def test_nothing_of_it_is_imported_where_it_is_not_used(suite: pytest.Pytester) -> None:
    outcome(suite, UNUSED).assert_outcomes(passed=1)
