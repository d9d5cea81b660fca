"""What Temporal's SDK refuses: programs that make one mistake each, for either package.

A program is a text, since a workflow cannot be defined inside a function. It finds the modules of the package under
their names; `client` is a client that is not connected, of which only what is checked before a call is asked.
"""

from __future__ import annotations

from typing import Final

RUN: Final = """
    @workflow.run
    async def run(self) -> None: ...
"""
"""The run method that the workflows below need besides their mistake."""

WORKFLOWS: Final = {
    "no run method": """
@workflow.defn
class W: pass
""",
    "two run methods": """
@workflow.defn
class W:
    @workflow.run
    async def first(self): ...
    @workflow.run
    async def second(self): ...
""",
    "a run method that is not async": """
@workflow.defn
class W:
    @workflow.run
    def run(self): ...
""",
    "the run method of a base class": f"""
class Base:
    {RUN}
@workflow.defn
class W(Base): ...
""",
    "an override of run without its decorator": f"""
class Base:
    {RUN}
@workflow.defn
class W(Base):
    async def run(self): ...
""",
    "a workflow in a function": """
def function():
    @workflow.defn
    class W:
        @workflow.run
        async def run(self): ...
function()
""",
    "a workflow decorated twice": f"""
@workflow.defn
@workflow.defn
class W:
    {RUN}
""",
    "a dynamic workflow with arguments of its own": """
@workflow.defn(dynamic=True)
class W:
    @workflow.run
    async def run(self, name: str): ...
""",
    "a dynamic workflow without hints": """
@workflow.defn(dynamic=True)
class W:
    @workflow.run
    async def run(self, args): ...
""",
    "options of a workflow that is not dynamic": f"""
@workflow.defn
class W:
    {RUN}
    @workflow.dynamic_config
    def options(self) -> workflow.DynamicWorkflowConfig: ...
""",
    "options that are async": """
class W:
    @workflow.dynamic_config
    async def options(self) -> workflow.DynamicWorkflowConfig: ...
""",
    "options with a parameter": """
class W:
    @workflow.dynamic_config
    def options(self, more: int) -> workflow.DynamicWorkflowConfig: ...
""",
    "init on another method": """
class W:
    @workflow.init
    def other(self, name: str): ...
""",
    "init with other parameters than run": f"""
@workflow.defn
class W:
    @workflow.init
    def __init__(self, name: str): ...
    {RUN}
""",
    "init with another annotation than run": """
@workflow.defn
class W:
    @workflow.init
    def __init__(self, name: str): ...
    @workflow.run
    async def run(self, name: int): ...
""",
    "several mistakes at once": """
class Base:
    @workflow.signal
    def told(self): ...
@workflow.defn
class W(Base):
    @workflow.query(name="same")
    def one(self): ...
    @workflow.query(name="same")
    def two(self): ...
    def told(self): ...
""",
}

HANDLERS: Final = (
    {
        f"two {kind} handlers of one name": f"""
@workflow.defn
class W:
    {RUN}
    @workflow.{kind}(name="same")
    def one(self): ...
    @workflow.{kind}(name="same")
    def two(self): ...
"""
        for kind in ("signal", "query", "update")
    }
    | {
        f"two dynamic {kind} handlers": f"""
@workflow.defn
class W:
    {RUN}
    @workflow.{kind}(dynamic=True)
    def one(self, name: str, args: Sequence[common.RawValue]): ...
    @workflow.{kind}(dynamic=True)
    def two(self, name: str, args: Sequence[common.RawValue]): ...
"""
        for kind in ("signal", "query", "update")
    }
    | {
        f"a {kind} handler with a name that is dynamic": f"""
class W:
    @workflow.{kind}(name="other", dynamic=True)
    def one(self, name: str, args: Sequence[common.RawValue]): ...
"""
        for kind in ("signal", "query", "update")
    }
    | {
        f"a dynamic {kind} handler that takes nothing": f"""
class W:
    @workflow.{kind}(dynamic=True)
    def one(self): ...
"""
        for kind in ("signal", "query", "update")
    }
    | {
        f"a dynamic {kind} handler of other arguments": f"""
class W:
    @workflow.{kind}(dynamic=True)
    def one(self, name: str, args: int): ...
"""
        for kind in ("signal", "query", "update")
    }
    | {
        f"an override of a {kind} handler without its decorator": f"""
class Base:
    @workflow.{kind}
    def told(self): ...
@workflow.defn
class W(Base):
    {RUN}
    def told(self): ...
"""
        for kind in ("signal", "query")
    }
    | {
        "a dynamic update handler with varargs": """
class W:
    @workflow.update(dynamic=True)
    def one(self, name: str, *args: common.RawValue): ...
""",
        "an async validator": """
class W:
    @workflow.update
    def change(self, value: int): ...
    @change.validator
    async def check(self, value: int): ...
""",
        "two validators": """
class W:
    @workflow.update
    def change(self, value: int): ...
    @change.validator
    def check(self, value: int): ...
    @change.validator
    def check_again(self, value: int): ...
""",
        "a validator of other parameters": f"""
@workflow.defn
class W:
    {RUN}
    @workflow.update
    def change(self, value: int): ...
    @change.validator
    def check(self, value: str): ...
""",
        "a validator of no update": """
class W:
    def change(self, value: int): ...
    @change.validator
    def check(self, value: int): ...
""",
    }
)

ACTIVITIES: Final = {
    "an activity decorated twice": """
@activity.defn
@activity.defn
def a(): ...
""",
    "an activity with a keyword-only parameter": """
@activity.defn
def a(*, name: str): ...
""",
    "a dynamic activity with arguments of its own": """
@activity.defn(dynamic=True)
def a(name: str): ...
""",
    "the info of no activity": "activity.info()",
    "a beat of no activity": "activity.heartbeat()",
    "the meter of no activity": "activity.metric_meter()",
    "cancellation of no activity": "activity.is_cancelled()",
    "a client of no activity": "activity.client()",
    "the converter of no activity": "activity.payload_converter()",
}

OUTSIDE: Final = {
    f"workflow.{call} outside of a workflow": f"workflow.{call}"
    for call in (
        "info()",
        "now()",
        "time()",
        "random()",
        "uuid4()",
        "memo()",
        "instance()",
        "patched('p')",
        "deprecate_patch('p')",
        "payload_converter()",
        "metric_meter()",
        "upsert_memo({})",
        "all_handlers_finished()",
        "get_signal_handler('s')",
        "set_query_handler('q', None)",
        "continue_as_new()",
        "start_activity('a', start_to_close_timeout=timedelta(seconds=1))",
        "get_external_workflow_handle('w')",
        "get_current_details()",
        "has_last_completion_result()",
        "get_last_failure()",
        "cancellation_reason()",
    )
}

VALUES: Final = {
    f"RetryPolicy({text})": f"common.RetryPolicy({text})._validate()"
    for text in (
        "initial_interval=timedelta(seconds=-1)",
        "backoff_coefficient=0.5",
        "maximum_interval=timedelta(seconds=-1)",
        "initial_interval=timedelta(seconds=3), maximum_interval=timedelta(seconds=1)",
        "maximum_attempts=-1",
    )
} | {
    "the same search attribute twice": """
key = common.SearchAttributeKey.for_keyword("Crop")
common.TypedSearchAttributes([common.SearchAttributePair(key, "a"), common.SearchAttributePair(key, "b")])
""",
    "a search attribute that is not there": """
common.TypedSearchAttributes([])[common.SearchAttributeKey.for_int("Beds")]
""",
    "a priority that is no number": "common.Priority(priority_key='high')",
    "a priority below one": "common.Priority(priority_key=0)",
    "a deployment version without a point": "common.WorkerDeploymentVersion.from_canonical_string('one')",
    "a payload of unknown encoding": """
converter.default().payload_converter.from_payloads([common_v1.Payload(metadata={"encoding": b"none"}, data=b"")])
""",
}

CLIENT: Final = {
    "one argument and several": "await client.start_workflow('W', 1, args=[2], id='w', task_queue='q')",
    "a workflow that is no workflow": "await client.start_workflow(print, id='w', task_queue='q')",
    "a run method without a class": """
async def run(self): ...
await client.start_workflow(run, id='w', task_queue='q')
""",
    "a workflow that is a number": "await client.start_workflow(5, id='w', task_queue='q')",
    "a signal that is no handler": "await client.get_workflow_handle('w').signal(print)",
    "a query that is no handler": "await client.get_workflow_handle('w').query(print)",
    "a signal with one argument and several": "await client.get_workflow_handle('w').signal('s', 1, args=[2])",
    "an update that only waits for its admission": """
await client.get_workflow_handle('w').start_update('u', wait_for_stage=client_module.WorkflowUpdateStage.ADMITTED)
""",
    "a start with an update but without a policy": """
client_module.WithStartWorkflowOperation(
    'W', id='w', task_queue='q', id_conflict_policy=common.WorkflowIDConflictPolicy.UNSPECIFIED)
""",
    "a start with an update that only waits for its admission": """
start = client_module.WithStartWorkflowOperation(
    'W', id='w', task_queue='q', id_conflict_policy=common.WorkflowIDConflictPolicy.FAIL)
await client.start_update_with_start_workflow(
    'u', wait_for_stage=client_module.WorkflowUpdateStage.ADMITTED, start_workflow_operation=start)
""",
    "an asynchronous activity by token and ids": """
client.get_async_activity_handle(task_token=b't', workflow_id='w', run_id='r', activity_id='a')
""",
    "an asynchronous activity by half of its ids": "client.get_async_activity_handle(workflow_id='w')",
    "a backfill of nothing": "await client.get_schedule_handle('s').backfill()",
    "a schedule without an id of its workflow": """
client_module.ScheduleActionStartWorkflow('W', task_queue='q')
""",
    "a schedule without a task queue": "client_module.ScheduleActionStartWorkflow('W', id='w')",
    "a schedule of no workflow": "client_module.ScheduleActionStartWorkflow(5, id='w', task_queue='q')",
    "a schedule limited to no actions": """
await client.create_schedule('s', client_module.Schedule(
    action=client_module.ScheduleActionStartWorkflow('W', id='w', task_queue='q'),
    spec=client_module.ScheduleSpec(),
    state=client_module.ScheduleState(limited_actions=True)))
""",
    "a schedule not limited to its actions": """
await client.create_schedule('s', client_module.Schedule(
    action=client_module.ScheduleActionStartWorkflow('W', id='w', task_queue='q'),
    spec=client_module.ScheduleSpec(),
    state=client_module.ScheduleState(remaining_actions=3)))
""",
    "a dynamic workflow by its class": """
@workflow.defn(dynamic=True)
class W:
    @workflow.run
    async def run(self, args: Sequence[common.RawValue]): ...
await client.start_workflow(W.run, id='w', task_queue='q')
""",
}

WORKERS: Final[dict[str, tuple[str, Exception]]] = {
    "a worker of nothing": (
        "worker.Worker(client, task_queue='q')",
        ValueError("At least one activity, Nexus service, or workflow must be specified"),
    ),
    "two workflows of one name": (
        """
@workflow.defn(name='W')
class One:
    @workflow.run
    async def run(self): ...
@workflow.defn(name='W')
class Two:
    @workflow.run
    async def run(self): ...
worker.Worker(client, task_queue='q', workflows=[One, Two])
""",
        ValueError("More than one workflow named W"),
    ),
    "two dynamic workflows": (
        """
@workflow.defn(dynamic=True)
class One:
    @workflow.run
    async def run(self, args: Sequence[common.RawValue]): ...
@workflow.defn(dynamic=True)
class Two:
    @workflow.run
    async def run(self, args: Sequence[common.RawValue]): ...
worker.Worker(client, task_queue='q', workflows=[One, Two])
""",
        TypeError("More than one dynamic workflow"),
    ),
    "a workflow that is not one": (
        "worker.Worker(client, task_queue='q', workflows=[int])",
        ValueError("Workflow int missing attributes, was it decorated with @workflow.defn?"),
    ),
    "two activities of one name": (
        """
@activity.defn(name='same')
async def one(): ...
@activity.defn(name='same')
async def two(): ...
worker.Worker(client, task_queue='q', activities=[one, two])
""",
        ValueError("More than one activity named same"),
    ),
    "two dynamic activities": (
        """
@activity.defn(dynamic=True)
async def one(args: Sequence[common.RawValue]): ...
@activity.defn(dynamic=True)
async def two(args: Sequence[common.RawValue]): ...
worker.Worker(client, task_queue='q', activities=[one, two])
""",
        TypeError("More than one dynamic activity"),
    ),
    "an activity without its decorator": (
        """
async def one(): ...
worker.Worker(client, task_queue='q', activities=[one])
""",
        TypeError("Activity one missing attributes, was it decorated with @activity.defn?"),
    ),
    "an activity that is a class": (
        """
@activity.defn
class One:
    async def __call__(self): ...
worker.Worker(client, task_queue='q', activities=[One])
""",
        TypeError("Activity named One is a class instead of an instance"),
    ),
    "a replayer of nothing": (
        "worker.Replayer(workflows=[])",
        ValueError("At least one workflow must be specified"),
    ),
}

REFUSALS: Final[dict[str, str]] = {
    **WORKFLOWS,
    **HANDLERS,
    **ACTIVITIES,
    **OUTSIDE,
    **VALUES,
    **CLIENT,
}
