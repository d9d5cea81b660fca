"""Fixtures for tests of workflows and activities; pytest finds them when Overwinter is installed.

Environments live on the event loop of the test that has them, be it run by pytest-asyncio (in any mode, on the loop of any scope)
or by the plugin of anyio. Nothing of Overwinter is imported before a test asks for one, and nothing changes for other tests.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from .testing import ActivityEnvironment, WorkflowEnvironment

_LOOP_SCOPES: Final = ("function", "class", "module", "package", "session")

_Start = Callable[..., Coroutine[Any, Any, "WorkflowEnvironment"]]


@pytest.fixture
def workflow_environment_options() -> Mapping[str, Any]:
    """What the workflow environments of a test are started with, such as `data_converter`: for the test suite to override."""
    return {}


@pytest.fixture
def workflow_environment(request: pytest.FixtureRequest) -> WorkflowEnvironment:
    """A workflow environment whose time skips, for one test; see `WorkflowEnvironment.start_time_skipping`."""
    return _on_loop_of_test(request, "time_skipping")


@pytest.fixture
def local_workflow_environment(request: pytest.FixtureRequest) -> WorkflowEnvironment:
    """A workflow environment on real time, for one test; see `WorkflowEnvironment.start_local`."""
    return _on_loop_of_test(request, "local")


@pytest.fixture
def activity_environment() -> ActivityEnvironment:
    """Runs the function of one activity alone; see `ActivityEnvironment`."""
    from .testing import ActivityEnvironment

    return ActivityEnvironment()


async def _start_time_skipping(**options: Any) -> WorkflowEnvironment:
    from .testing import WorkflowEnvironment

    return await WorkflowEnvironment.start_time_skipping(**options)


async def _start_local(**options: Any) -> WorkflowEnvironment:
    from .testing import WorkflowEnvironment

    return await WorkflowEnvironment.start_local(**options)


_STARTS: Final[Mapping[str, _Start]] = {"time_skipping": _start_time_skipping, "local": _start_local}


# -- on the right loop -------------------------------------------------------------------------------


def _on_loop_of_test(request: pytest.FixtureRequest, kind: str) -> WorkflowEnvironment:
    """Both plugins run asynchronous fixtures, each in its way: which one is known when the test is."""
    if "anyio_backend" in request.fixturenames:
        name = _name(kind, "anyio")
    elif request.config.pluginmanager.hasplugin("asyncio"):
        name = _name(kind, _loop_scope(request))
    else:
        pytest.fail(
            f"{request.fixturename} needs an event loop: mark the test with @pytest.mark.anyio, or install pytest-asyncio",
            pytrace=False,
        )
    environment: WorkflowEnvironment = request.getfixturevalue(name)
    return environment


def _name(kind: str, loop: str) -> str:
    return f"_{kind}_workflow_environment_on_{loop}_loop"


def _loop_scope(request: pytest.FixtureRequest) -> str:
    """The scope of the loop that pytest-asyncio runs this test on."""
    marker = request.node.get_closest_marker("asyncio")
    options: Mapping[str, Any] = {} if marker is None else marker.kwargs
    default = request.config.getini("asyncio_default_test_loop_scope")
    return str(options.get("loop_scope") or options.get("scope") or default or "function")


def _environment(start: _Start) -> Callable[..., AsyncGenerator[WorkflowEnvironment]]:
    async def environment(
        workflow_environment_options: Mapping[str, Any],
    ) -> AsyncGenerator[WorkflowEnvironment]:
        async with await start(**workflow_environment_options) as started:
            yield started

    return environment


def pytest_configure(config: pytest.Config) -> None:
    """Add the fixtures that the plugins of the event loops know how to run."""
    fixtures = ModuleType(
        "overwinter-environments"
    )  # As pytest looks for fixtures in modules and classes only.
    for kind, start in _STARTS.items():
        name = _name(kind, "anyio")
        setattr(fixtures, name, pytest.fixture(name=name)(_environment(start)))
        if config.pluginmanager.hasplugin("asyncio"):
            import pytest_asyncio

            for scope in _LOOP_SCOPES:
                name = _name(kind, scope)
                fixture = pytest_asyncio.fixture(loop_scope=scope, name=name)
                setattr(fixtures, name, fixture(_environment(start)))
    config.pluginmanager.register(fixtures, fixtures.__name__)
